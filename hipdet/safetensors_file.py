"""Weights with metadata as a ``.safetensors`` file, which can't hold code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hipdet.errors import CheckpointError

SUFFIX = ".safetensors"
KEY = "hipdet"  # of the header's metadata


def to_bytes(weights: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """The file's content; same input, same bytes."""
    content: bytes = _library(SUFFIX).torch.save(dict(weights), metadata={KEY: to_json(meta)})
    return content


def read(path: Path) -> dict[str, Any]:
    """``state_dict`` and ``meta`` of `path`, on the CPU.

    Raises:
        CheckpointError: a damaged file, one that hipdet didn't publish, or no safetensors package.
    """
    library = _library(path)
    try:
        with library.safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (library.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged, perhaps cut short ({error}). Get it again from its source.") from error
    try:
        meta = from_json(header[KEY])
        if not isinstance(meta["cfg"], str):
            raise TypeError("cfg is no text")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: has weights, but not the config and classes that tools/publish_model.py adds; publish the .pth again"
        ) from error
    return dict(state_dict=weights, meta=meta)


def to_json(meta: Mapping[str, Any]) -> str:
    """Metadata as text.

    Raises:
        TypeError, ValueError: something that isn't plain, or not a number.
    """
    return json.dumps(meta, sort_keys=True, allow_nan=False)


def from_json(text: str) -> dict[str, Any]:
    """Metadata of `text`, with the tuples that mmdet expects: JSON has lists only."""
    meta: dict[str, Any] = json.loads(text)
    classes = meta["dataset_meta"]
    classes["classes"] = tuple(classes["classes"])
    if isinstance(classes.get("palette"), list):
        classes["palette"] = [tuple(colour) for colour in classes["palette"]]
    return meta


def _library(wanted_for: str | Path) -> Any:
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise CheckpointError(f"{wanted_for}: needs the package safetensors: pip install 'safetensors>=0.4'") from error
    return safetensors
