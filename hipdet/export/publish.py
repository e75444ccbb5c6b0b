"""Publish a trained checkpoint: its weights, and what a user needs to know about them, such as measured metrics."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import torch

from hipdet.core.configs import annotation_files, portable, read_settings
from hipdet.core.errors import CheckpointError, ConfigError, DatasetError
from hipdet.core.files import is_file_name, write_json, write_synced
from hipdet.core.records import Record, plain
from hipdet.core.versions import REQUIREMENTS, installed
from hipdet.data.copies import DIGITS
from hipdet.engine.checkpoint import (
    SUFFIX,
    WRITTEN,
    from_json,
    get_classes,
    get_meta,
    get_weights,
    read_checkpoint,
    safetensors_bytes,
    to_json,
)
from hipdet.engine.safe_settings import safe_text
from hipdet.evaluation.report import read_report
from hipdet.version import __version__

VALIDATED, TESTED = "val_report.json", "test_report.json"
HASH_DIGITS = 8  # in file names, as mim checks them


def load_reports(checkpoint: Path, meta: Mapping[str, Any], paths: Sequence[Path] | None) -> list[dict[str, Any]]:
    """``ann_file``, ``figures`` and ``versions`` of every report.

    Args:
        checkpoint: The checkpoint.
        meta: Its epoch and seed.
        paths: Reports (default: those beside the checkpoint, without reports of another epoch).

    Raises:
        DatasetError: a report can't be read, or one of `paths` belongs to another checkpoint.
    """
    beside = [path for name in (VALIDATED, TESTED) if (path := checkpoint.with_name(name)).is_file()]
    measured = []
    for path in beside if paths is None else paths:
        report = read_report(path)
        if _is_measured_on(report, path, checkpoint, meta):
            # only the file name, as a report may have any path
            ann_file = PureWindowsPath(str(report.get("ann_file"))).name
            measured.append(dict(ann_file=ann_file, figures=report["figures"], versions=report.get("versions")))
        elif paths is not None:
            raise DatasetError(
                f"{path}: measured on {report.get('checkpoint')} at epoch {report['epoch']}, expected "
                f"{checkpoint.name} at epoch {meta['epoch']} with seed {meta['seed']}; test it with hipdet test"
            )
    return measured


def _is_measured_on(report: Mapping[str, Any], path: Path, checkpoint: Path, meta: Mapping[str, Any]) -> bool:
    """Whether `report`, read from `path`, was measured on this checkpoint.

    A test report names the tested checkpoint.  A training report names the one that training started from, if any; its own
    is known by epoch and seed.
    """
    if report["epoch"] != meta["epoch"]:
        return False
    if path.name == VALIDATED:
        return report.get("seed", meta["seed"]) == meta["seed"]
    return report.get("checkpoint", checkpoint.name) == checkpoint.name


def publish(checkpoint: Path, out: Path, name: str | None = None, reports: Sequence[Path] | None = None) -> list[Path]:
    """Write ``<name>-<hash>.pth``, ``<name>-<hash>.safetensors`` and their card ``<name>-<hash of .pth>.json`` into `out`.

    The hash is the beginning of each file's own SHA-256.  The same input and the same versions give the same bytes.

    Args:
        checkpoint: Checkpoint that training wrote, or that was published before.
        out: Output folder.
        name: Name of the model (default: that of the config).
        reports: ``val_report.json`` and ``test_report.json`` of this checkpoint (default: those beside it).

    Raises:
        CheckpointError: the checkpoint can't be read, or has no config or classes.
        ConfigError: no file can have this name.
        DatasetError: a report can't be read, or belongs to another checkpoint.
    """
    content = read_checkpoint(checkpoint)
    meta = _meta(checkpoint, get_meta(content, checkpoint).values)
    meta["measured"] = load_reports(checkpoint, meta, reports) or meta["measured"]
    meta["name"] = name = _file_name(name or meta["name"] or checkpoint.stem)
    try:  # write and read back, as pickle's bytes depend on which strings are one object
        text = to_json(meta)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{checkpoint}: its metadata can't be written as JSON ({error})") from error
    meta = from_json(text, checkpoint)
    _check(Record(meta, f"{checkpoint}: its metadata", CheckpointError, WRITTEN))
    weights = get_weights(content)
    memory = io.BytesIO()  # not a file, as torch would write its name into it
    torch.save(dict(meta=meta, state_dict=weights), memory)
    files = {".pth": memory.getvalue(), SUFFIX: safetensors_bytes(weights, meta)}
    return _write(out, name, files, meta)


def _check(meta: Record) -> None:
    """Check what a checkpoint that was published elsewhere says of itself."""
    for key in ("epoch", "iter", "seed"):
        meta.whole(key, 0, default=None)
    meta.text("mmengine_version", None)
    if meta.values.get("seen") is not None:
        seen = meta.record("seen")
        seen.flag("known")
        seen.texts("films", longest=DIGITS)
    for each in meta.records("measured"):
        each.text("ann_file")
        figures = each.record("figures")
        for name in figures.values:
            figures.number(name)
    versions = meta.record("published_with")
    for name in versions.values:
        versions.text(name)


def _meta(checkpoint: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a checkpoint's own metadata that is published: nothing about the machine, no time of day."""
    text, dataset_meta = found.get("cfg"), found.get("dataset_meta")
    if not text or not dataset_meta:
        raise CheckpointError(f"{checkpoint}: has no config and classes, expected both: {WRITTEN}")
    classes = get_classes(dataset_meta, checkpoint)
    try:
        settings = portable(read_settings(text))
        cfg = safe_text(settings)
    except (ConfigError, KeyError) as error:
        raise CheckpointError(f"{checkpoint}: {error}; publish a checkpoint that hipdet train wrote") from error
    experiment = PurePath(str(found.get("experiment_name") or "")).name
    versions = {
        "hipdet": __version__,
        **dict(filter(None, (installed(names) for names, _, _ in REQUIREMENTS.values()))),
    }
    return dict(
        name=found.get("name") or "_".join(experiment.split("_")[:-2]),  # without date and time
        cfg=cfg,
        dataset_meta=plain(dict(dataset_meta, classes=classes)),
        films={part: annotation_files(settings.get(f"{part}_dataloader")) for part in ("train", "val", "test")},
        measured=found.get("measured") or [],
        seen=found.get("seen"),
        published_with=found.get("published_with") or versions,
        **{key: found.get(key) for key in ("epoch", "iter", "seed", "mmengine_version")},
    )


def _file_name(name: Any) -> str:
    """`name`, if a file name can begin with it: a published file may come from anywhere and must not choose a folder.

    Raises:
        ConfigError: a file name can't begin with it.
    """
    if not isinstance(name, str) or not name.isprintable() or name.startswith(".") or not is_file_name(name):
        raise ConfigError(f"{name!r} can't be a model's name, as files are named after it; give another with --name")
    return name


def _write(out: Path, name: str, files: Mapping[str, bytes], meta: Mapping[str, Any]) -> list[Path]:
    written, card = [], dict(meta, files={})
    for suffix, content in files.items():
        digest = hashlib.sha256(content).hexdigest()
        path = out / f"{name}-{digest[:HASH_DIGITS]}{suffix}"
        write_synced(path, content)
        card["files"][path.name] = dict(sha256=digest, bytes=len(content))
        written.append(path)
    written.append(written[0].with_suffix(".json"))
    write_json(written[-1], card)
    return written
