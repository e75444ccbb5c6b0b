"""A trained checkpoint as a file to hand on: weights, and what one needs to know of them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from hipdet import safetensors_file
from hipdet.checkpoint import read_checkpoint
from hipdet.config_text import portable, read_settings
from hipdet.errors import CheckpointError, ConfigError, DatasetError
from hipdet.files import replacing, write_json
from hipdet.plain import plain

HASH_DIGITS = 8  # in file names, as mim checks them
REPORTS = ("val_report.json", "test_report.json")


def publish(checkpoint: Path, out: Path, name: str | None = None, reports: Sequence[Path] | None = None) -> list[Path]:
    """Write ``<name>-<hash>.pth``, ``<name>-<hash>.safetensors`` and their card ``<name>.json`` into `out`.

    The hash is the beginning of each file's own SHA-256; same input, same bytes.

    Args:
        checkpoint: Written by training, or published before.
        out: Folder.
        name: Of the model; that of the config if not given.
        reports: ``val_report.json`` and ``test_report.json`` of this checkpoint; those beside it if not given.

    Raises:
        CheckpointError: a checkpoint that can't be read, or without config or classes.
        DatasetError: a report that can't be read or belongs to another checkpoint.
    """
    content = read_checkpoint(checkpoint)
    meta = _meta(checkpoint, content.get("meta", {}))
    if reports is None:
        beside = [checkpoint.with_name(report) for report in REPORTS]
        found = [read_report(path) for path in beside if path.is_file()]
        measured = [report for report in found if is_of(report, checkpoint, meta)]
    else:
        measured = [read_report(path) for path in reports]
        for path, report in zip(reports, measured):
            if not is_of(report, checkpoint, meta):
                raise DatasetError(
                    f"{path}: measured on {report.get('checkpoint')} at epoch {report.get('epoch')}, and this is "
                    f"{checkpoint.name} at epoch {meta['epoch']}; test this checkpoint with tools/test.py"
                )
    keys = ("ann_file", "figures", "versions")
    meta["measured"] = [{key: report.get(key) for key in keys} for report in measured] or meta["measured"]
    weights = weights_of(content)
    name = name or meta["name"] or checkpoint.stem
    meta["name"] = name
    meta = safetensors_file.from_json(
        safetensors_file.to_json(meta)
    )  # pickle's bytes depend on which strings are one object
    files = {".pth": pth_bytes(weights, meta), safetensors_file.SUFFIX: safetensors_file.to_bytes(weights, meta)}
    return _write(out, name, files, meta)


def weights_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights to hand on: the moving average where training kept one, which is what it validated; sorted by name."""
    weights = content.get("ema_state_dict") or content.get("state_dict", content)
    named = {key.removeprefix("module."): value for key, value in weights.items() if key != "steps"}
    return {key: named[key].detach().cpu().contiguous().clone() for key in sorted(named)}


def pth_bytes(weights: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """A checkpoint as mmengine reads it; written to memory, as torch puts the file's name into the file otherwise."""
    memory = io.BytesIO()
    torch.save(dict(meta=dict(meta), state_dict=dict(weights)), memory)
    return memory.getvalue()


def read_report(path: Path) -> dict[str, Any]:
    """A report of tools/train.py or tools/test.py.

    Raises:
        DatasetError: something else.
    """
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        report["figures"], report["epoch"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: expected a report as tools/test.py writes it ({error!r})") from error
    return report


def is_of(report: Mapping[str, Any], checkpoint: Path, meta: Mapping[str, Any]) -> bool:
    """Whether `report` was measured on this checkpoint: same epoch, and same name where one is given."""
    return report["epoch"] == meta["epoch"] and report.get("checkpoint") in (None, checkpoint.name)


def _meta(checkpoint: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """What is handed on of a checkpoint's own metadata: nothing of the machine, no time of day."""
    classes = (found.get("dataset_meta") or {}).get("classes")
    if not found.get("cfg") or not classes:
        raise CheckpointError(
            f"{checkpoint}: has no config and classes; publish a checkpoint that tools/train.py wrote"
        )
    try:
        settings = portable(read_settings(found["cfg"]))
    except ConfigError as error:
        raise CheckpointError(f"{checkpoint}: {error}; publish a checkpoint that tools/train.py wrote") from error
    loaders = {part: settings.get(f"{part}_dataloader") or {} for part in ("train", "val", "test")}
    experiment = PurePath(found.get("experiment_name") or "").name
    return dict(
        name=found.get("name") or "_".join(experiment.split("_")[:-2]),  # less date and time
        cfg=Config(settings).pretty_text,
        dataset_meta=plain(dict(found["dataset_meta"])),
        films={part: loader["dataset"].get("ann_file") for part, loader in loaders.items() if "dataset" in loader},
        measured=list(found.get("measured", [])),
        **{key: found.get(key) for key in ("epoch", "iter", "seed", "mmengine_version")},
    )


def _write(out: Path, name: str, files: Mapping[str, bytes], meta: Mapping[str, Any]) -> list[Path]:
    written, card = [], dict(meta, files={})
    for suffix, content in files.items():
        digest = hashlib.sha256(content).hexdigest()
        path = out / f"{name}-{digest[:HASH_DIGITS]}{suffix}"
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        card["files"][path.name] = dict(sha256=digest, bytes=len(content))
        written.append(path)
    write_json(out / f"{name}.json", card)
    return [*written, out / f"{name}.json"]
