"""Checkpoints, read without running any code in them, also by mmengine: ``hipdet test``, ``DetInferencer``, ``load_from``.

mmengine runs the config in a checkpoint as Python and, as torch below 2.6 does, unpickles what it is given.  Its loaders of
local files and of addresses are therefore exchanged, by the function that mmengine has for that.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from zipfile import BadZipFile

import torch
from mmengine.dist import get_dist_info
from mmengine.runner import CheckpointLoader
from torch import Tensor

from hipdet.core.errors import CheckpointError, ConfigError

SUFFIX = ".safetensors"
KEY = "hipdet"  # of the header's metadata


def safetensors_bytes(weights: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """The file's content; same input, same bytes."""
    content: bytes = _library(SUFFIX).torch.save(dict(weights), metadata={KEY: to_json(meta)})
    return content


def read_safetensors(path: Path) -> dict[str, Any]:
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
            f"{path}: has weights, but not the config and classes that hipdet publish adds; publish the .pth again"
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


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Load a ``.pth`` (with ``weights_only=True``) or ``.safetensors`` checkpoint on the CPU: no code in it is run.

    Raises:
        CheckpointError: a file that is missing, empty, damaged, unsafe, or has no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; expected a .pth or .safetensors file written by training")
    content = read_safetensors(path) if path.suffix == SUFFIX else read_pth(path)
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
        if "cfg" in meta:
            from hipdet.engine.safe_settings import rewritten  # imports mmdet

            try:
                meta["cfg"] = rewritten(meta["cfg"])
            except ConfigError as error:
                reason = f"{path}: its config isn't used: {error}. Give a config of your own beside these weights."
                meta = _RefusedConfig(meta, reason)
        content["meta"] = meta
    return content


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


@CheckpointLoader.register_scheme(prefixes="", force=True)
def load_from_local(filename: str, map_location: Any = None) -> Any:
    """What is in a local file: one that torch wrote, or a ``.safetensors`` checkpoint, on the CPU.

    Raises:
        FileNotFoundError: no such file, as mmengine's own loader.
        CheckpointError: a damaged or unsafe file.
    """
    path = Path(filename).expanduser()
    if path.suffix == SUFFIX:
        return without_code(read_checkpoint(path), path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} can not be found.")
    return without_code(read_pth(path, map_location), path)


@CheckpointLoader.register_scheme(prefixes=["http://", "https://"], force=True)
def load_from_http(filename: str, map_location: Any = None, model_dir: str | None = None) -> Any:
    """What torch wrote to an address; the file is kept where torch's hub keeps it.

    Raises:
        CheckpointError: a damaged or unsafe file.
        URLError: nothing there.
    """
    folder = Path(model_dir or os.path.join(torch.hub.get_dir(), "checkpoints"))
    path = folder / os.path.basename(urlparse(filename).path)
    rank, ranks = get_dist_info()
    if rank > 0:
        torch.distributed.barrier()  # the first one fetches the file, the others only where they are on other machines
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(filename, str(path))
    if rank == 0 and ranks > 1:
        torch.distributed.barrier()
    return without_code(read_pth(path, map_location), path)
