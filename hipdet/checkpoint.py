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
from hipdet.errors import CheckpointError


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Load a ``.pth`` (with ``weights_only=True``) or ``.safetensors`` checkpoint on the CPU: no code in it is run.

    Raises:
        CheckpointError: a file that is missing, empty, damaged, unsafe, or has no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; expected a .pth or .safetensors file written by training")
    content = safetensors_file.read(path) if path.suffix == safetensors_file.SUFFIX else _read_pth(path)
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else None
    tensors = isinstance(weights, Mapping) and all(isinstance(value, Tensor) for value in weights.values())
    if not weights or not tensors:
        raise CheckpointError(f"{path}: has no weights; expected a dict with 'state_dict'")
    return dict(content)


def _read_pth(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
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
