"""Reading checkpoints without running what is in them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor

from hipdet import safetensors_file
from hipdet.errors import CheckpointError, ConfigError


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Load a ``.pth`` (with ``weights_only=True``) or ``.safetensors`` checkpoint on the CPU: no code in it is run.

    Raises:
        CheckpointError: a file that is missing, empty, damaged, unsafe, or has no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; expected a .pth or .safetensors file written by training")
    content = safetensors_file.read(path) if path.suffix == safetensors_file.SUFFIX else read_pth(path)
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else None
    tensors = isinstance(weights, Mapping) and all(isinstance(value, Tensor) for value in weights.values())
    if not weights or not tensors:
        raise CheckpointError(f"{path}: has no weights; expected a dict with 'state_dict'")
    return dict(content)


def without_code(content: Any, path: Path) -> Any:
    """`content` of `path`, fit for mmengine, which runs the config in a checkpoint as Python.

    A config of safe settings becomes new source of just these; one of others stays unread, and whoever asks for it, as
    ``DetInferencer`` does when it is given none, gets the reason.  Weights with such a config can be used with another.
    """
    if not isinstance(content, Mapping):
        return content
    content = dict(content)
    hub, meta = content.get("message_hub"), content.get("meta")
    if isinstance(hub, Mapping) and isinstance(hub.get("runtime_info"), Mapping):  # where it looks before meta
        runtime = {key: value for key, value in hub["runtime_info"].items() if key != "cfg"}
        content["message_hub"] = {**hub, "runtime_info": runtime}
    if isinstance(meta, Mapping):
        meta = {key: value for key, value in meta.items() if key != "config"}  # of mmcv 1; run when resuming
        content["meta"] = _with_safe_config(meta, path) if "cfg" in meta else meta
    return content


def _with_safe_config(meta: dict[str, Any], path: Path) -> dict[str, Any]:
    from hipdet.safe_settings import rewritten  # imports mmdet

    try:
        return {**meta, "cfg": rewritten(meta["cfg"])}
    except ConfigError as error:
        reason = f"{path}: its config isn't used: {error}. Give a config of your own beside these weights."
        return _RefusedConfig(meta, reason)


class _RefusedConfig(dict):
    """Metadata whose ``cfg`` is an error."""

    def __init__(self, meta: Mapping[str, Any], reason: str) -> None:
        super().__init__(meta, cfg="")
        self._reason = reason

    def __getitem__(self, key: Any) -> Any:
        if key == "cfg":
            raise CheckpointError(self._reason)
        return super().__getitem__(key)


def read_pth(path: Path, map_location: Any = "cpu") -> Any:
    """What is in a file that torch wrote, whatever that is; no code in it is run.

    Raises:
        CheckpointError: a damaged or unsafe file.
    """
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: refused, as it holds something other than weights and numbers, which could run code on this machine, "
            f"or is damaged ({reason}). Checkpoints written by hipdet load safely; get this one again from its source."
        ) from error
    except (RuntimeError, EOFError, BadZipFile, OSError, ValueError, KeyError, AttributeError, IndexError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{path}: damaged, perhaps cut short ({path.stat().st_size} bytes; {reason}). Copy or train it again."
        ) from error


def state_dict_faults(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """How the names and shapes of two sets of weights differ, in words; empty where they agree."""
    found = {name.removeprefix("module."): value for name, value in found.items()}
    missing = sorted(set(expected) - set(found))
    unknown = sorted(set(found) - set(expected))
    shapes = [
        f"{name} is {tuple(found[name].shape)} and the model's {tuple(expected[name].shape)}"
        for name in expected
        if name in found and found[name].shape != expected[name].shape
    ]
    parts = [
        f"{len(names)} {what}, such as {names[0]}"
        for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
        if names
    ]
    return "; ".join(parts)
