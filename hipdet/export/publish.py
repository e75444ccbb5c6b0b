"""Publish a trained checkpoint: its weights, and what a user needs to know about them, such as measured metrics."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import torch
from torch import Tensor

from hipdet.core.configs import annotation_files, portable, read_settings
from hipdet.core.errors import CheckpointError, ConfigError, DatasetError
from hipdet.core.files import is_file_name, replacing, write_json
from hipdet.core.records import plain, read_json
from hipdet.core.versions import REQUIREMENTS, installed
from hipdet.engine.checkpoint import SUFFIX, from_json, read_checkpoint, safetensors_bytes, to_json
from hipdet.engine.safe_settings import safe_text
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
        report = _read_report(path)
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


def _read_report(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = read_json(path, "a report of hipdet test")
    try:
        dict(report["figures"]), report["epoch"]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: expected a report as hipdet test writes it ({error!r})") from error
    return report


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
    meta = _meta(checkpoint, content.get("meta"))
    meta["measured"] = load_reports(checkpoint, meta, reports) or meta["measured"]
    meta["name"] = name = _file_name(name or meta["name"] or checkpoint.stem)
    try:  # write and read back, as pickle's bytes depend on which strings are one object
        meta = from_json(to_json(meta))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{checkpoint}: its metadata can't be written as JSON ({error})") from error
    weights = get_weights(content)
    memory = io.BytesIO()  # not a file, as torch would write its name into it
    torch.save(dict(meta=meta, state_dict=weights), memory)
    files = {".pth": memory.getvalue(), SUFFIX: safetensors_bytes(weights, meta)}
    return _write(out, name, files, meta)


def get_weights(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights that were validated, sorted by name.

    If training kept a moving average, mmengine's ``EMAHook`` writes it to ``state_dict``, and the latest weights, which are
    only needed to resume, to ``ema_state_dict``.
    """
    named = {key.removeprefix("module."): value for key, value in content.get("state_dict", content).items()}
    return {key: named[key].detach().cpu().contiguous().clone() for key in sorted(named)}


def _meta(checkpoint: Path, found: Any) -> dict[str, Any]:
    """The part of a checkpoint's own metadata that is published: nothing about the machine, no time of day."""
    try:
        dataset_meta, text = plain(dict(found["dataset_meta"])), found["cfg"]
        if not dataset_meta["classes"] or not text:
            raise ValueError("empty")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{checkpoint}: has no config and classes, expected both: publish a checkpoint that hipdet train wrote"
        ) from error
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
        dataset_meta=dataset_meta,
        films={part: annotation_files(settings.get(f"{part}_dataloader")) for part in ("train", "val", "test")},
        measured=found.get("measured") or [],
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
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        card["files"][path.name] = dict(sha256=digest, bytes=len(content))
        written.append(path)
    written.append(written[0].with_suffix(".json"))
    write_json(written[-1], card)
    return written
