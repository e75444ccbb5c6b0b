"""Checkpoints are read without running code in them, also by mmengine: ``hipdet test``, ``DetInferencer``, ``load_from``.

mmengine runs the config in a checkpoint as Python and unpickles any object, as torch below 2.6 does.  Its loaders of local
files and URLs are therefore replaced, through mmengine's own registry of loaders.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from zipfile import BadZipFile

import torch
from mmengine.dist import get_dist_info
from mmengine.runner import CheckpointLoader
from torch import Tensor

from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.core.records import Record, parse_json, shown
from hipdet.core.resumable import fingerprint

SUFFIX = ".safetensors"
KEY = "hipdet"  # in the header's metadata
MOST_CHARACTERS = 1_000_000  # of a config
MOST_REPEATED = 1 << 28  # bytes of a tensor of which less is stored, as its numbers are repeated
WRITTEN = "take a checkpoint that hipdet train wrote"
PUBLISH_AGAIN = "publish the .pth file again with hipdet publish"
NAMED = re.compile(r"(?:GLOBAL|type) '?([\w.]+)")  # what torch's refusal names


def safetensors_bytes(weights: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """The file's content; the same input gives the same bytes."""
    content: bytes = _library(SUFFIX).torch.save(dict(weights), metadata={KEY: to_json(meta)})
    return content


def read_safetensors(path: Path) -> dict[str, Any]:
    """``state_dict`` of `path`, and ``meta`` if hipdet published it, on the CPU.

    Raises:
        CheckpointError: the file or hipdet's metadata is damaged, a weight is NaN or infinite, or the package safetensors
            is missing.
    """
    library = _library(path)
    try:
        with library.safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (library.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged, perhaps cut short ({error}). Get it again from its source.") from error
    require_finite(weights, path)
    return dict(state_dict=weights, meta=from_json(header[KEY], path)) if KEY in header else dict(state_dict=weights)


def to_json(meta: Mapping[str, Any]) -> str:
    """Metadata as JSON text.

    Raises:
        TypeError, ValueError: JSON can't hold a value, or a number isn't finite.
    """
    return json.dumps(meta, sort_keys=True, allow_nan=False)


def from_json(text: str, source: object) -> dict[str, Any]:
    """Metadata from `text`, with the tuples that mmdet expects, as JSON has only lists; errors name `source`, the file.

    Raises:
        CheckpointError: `text` isn't what hipdet publish writes.
    """
    where = f"{source}: its metadata"
    content = parse_json(text, where, "an object", CheckpointError)
    meta = Record.of(content, where, CheckpointError, PUBLISH_AGAIN)
    meta.text("cfg", longest=MOST_CHARACTERS)
    classes = meta.record("dataset_meta")
    own = dict(classes.values, classes=tuple(classes.texts("classes")))
    if isinstance(own.get("palette"), list):
        own["palette"] = [tuple(colour) if isinstance(colour, list) else colour for colour in own["palette"]]
    return dict(meta.values, dataset_meta=own)


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
        CheckpointError: the file is missing, empty, damaged or unsafe, has no weights, or one that is NaN or infinite.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; expected a .pth or .safetensors file written by training")
    content = read_safetensors(path) if path.suffix == SUFFIX else read_pth(path)
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else None
    pairs = weights.items() if isinstance(weights, Mapping) else ()
    tensors = all(isinstance(name, str) and isinstance(value, Tensor) for name, value in pairs)
    if not pairs or not tensors:
        raise CheckpointError(f"{path}: has no weights; expected a dict with 'state_dict'")
    return dict(content)


def get_meta(content: Mapping[str, Any], path: Path) -> Record:
    """The metadata in the `content` of the checkpoint `path`; empty where it has none.

    Raises:
        CheckpointError: it isn't a dictionary.
    """
    return Record.of(content.get("meta") or {}, f"{path}: its metadata", CheckpointError, WRITTEN)


def get_classes(dataset_meta: Any, path: Path) -> tuple[str, ...]:
    """The classes in the ``dataset_meta`` of the checkpoint `path`.

    Raises:
        CheckpointError: it has none, or they aren't names.
    """
    classes = dataset_meta.get("classes") if isinstance(dataset_meta, Mapping) else None
    if not isinstance(classes, (list, tuple)) or not classes or not all(isinstance(name, str) for name in classes):
        raise CheckpointError(f"{path}: its classes are {shown(classes)}, expected names: {WRITTEN}")
    return tuple(classes)


def training_times(path: Path) -> dict[str, float]:
    """How long the training took that wrote the checkpoint `path`.

    Returns:
        ``seconds``, and ``cpu_seconds`` of its process with the workers if the checkpoint says so.

    Raises:
        CheckpointError: it can't be read, or doesn't say ``seconds``.
    """
    meta = get_meta(read_checkpoint(path), path)
    cpu = meta.number("cpu_seconds", 0, default=None)
    return dict(seconds=meta.number("seconds", 0), **({} if cpu is None else {"cpu_seconds": cpu}))


def get_weights(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights that were validated, sorted by name.

    If training kept a moving average, mmengine's ``EMAHook`` writes it to ``state_dict``, and the latest weights, which are
    only needed to resume, to ``ema_state_dict``.
    """
    named = {key.removeprefix("module."): value for key, value in content.get("state_dict", content).items()}
    return {key: named[key].detach().cpu().contiguous().clone() for key in sorted(named)}


def weights_fingerprint(content: Mapping[str, Any]) -> str:
    """SHA-256 of the validated weights in a checkpoint's `content`: the same for a checkpoint and what is published of it."""
    digest = hashlib.sha256()
    for name, tensor in get_weights(content).items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def model_fingerprint(model: Any) -> str:
    """SHA-256 of the settings of a config's `model`, whatever weights they start from."""

    def kept(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): kept(item) for key, item in value.items() if key != "init_cfg"}
        return [kept(item) for item in value] if isinstance(value, (list, tuple)) else value

    return fingerprint(json.dumps(kept(model), sort_keys=True, default=str))


def without_code(content: Any, path: Path) -> Any:
    """`content` of `path`, made safe for mmengine, which runs the config in a checkpoint as Python.

    A config of safe settings is replaced by new source with these settings.  Any other config isn't used: access to it, as
    by ``DetInferencer`` without a config of its own, raises the reason.  Its weights can be used with another config.
    """
    if not isinstance(content, Mapping):
        return content
    content = dict(content)
    hub, meta = content.get("message_hub"), content.get("meta")
    if isinstance(hub, Mapping) and isinstance(hub.get("runtime_info"), Mapping):  # mmengine looks here first
        runtime = {key: value for key, value in hub["runtime_info"].items() if key != "cfg"}
        content["message_hub"] = {**hub, "runtime_info": runtime}
    if isinstance(meta, Mapping):
        meta = {key: value for key, value in meta.items() if key != "config"}  # from mmcv 1; run when resuming
        if "cfg" in meta:
            from hipdet.engine.safe_settings import rewritten  # imports mmdet

            try:
                meta["cfg"] = rewritten(meta["cfg"])
            except ConfigError as error:
                reason = f"{path}: its config isn't used: {error}. Give a config of your own for these weights."
                meta = _RefusedConfig(meta, reason)
        content["meta"] = meta
    return content


class _RefusedConfig(dict):
    """Metadata that raises an error on access to ``cfg``."""

    def __init__(self, meta: Mapping[str, Any], reason: str) -> None:
        super().__init__(meta, cfg="")
        self._reason = reason

    def __getitem__(self, key: Any) -> Any:
        if key == "cfg":
            raise CheckpointError(self._reason)
        return super().__getitem__(key)


def read_pth(path: Path, map_location: Any = "cpu") -> Any:
    """The content of a file that torch wrote; no code in it is run.

    Raises:
        CheckpointError: the file is damaged or unsafe, or a number of its weights or optimizer is NaN or infinite.
    """
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        named = NAMED.search(str(error))  # not more of it: torch advises to load the file all the same
        raise CheckpointError(
            f"{path}: refused, as it holds something other than weights and numbers, which could run code on this machine, "
            f"or is damaged{f' ({named[1]})' if named else ''}. "
            f"Checkpoints written by hipdet load safely; get this one again from its source."
        ) from error
    except (RuntimeError, EOFError, BadZipFile, OSError, ValueError, KeyError, AttributeError, IndexError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{path}: damaged, perhaps cut short ({path.stat().st_size} bytes; {reason}). Copy or train it again."
        ) from error
    require_finite(content, path)
    return content


def require_finite(content: Any, path: Path) -> None:
    """Check every tensor in `content` of `path`: a detector with NaN finds nothing, or boxes that mean nothing.

    Raises:
        CheckpointError: a number is NaN or infinite, or a tensor isn't one of a detector, and the message names its layer; or
            `content` is nested too deeply.
    """
    try:
        for name, tensor in _tensors(content):
            if not _is_plain(tensor):
                kind = f"{tensor.dtype}, {tensor.layout}, {tensor.device.type}, {shown([*tensor.shape])}"
                raise CheckpointError(f"{path}: {name} is no tensor of a detector ({kind}): {WRITTEN}")
        faulty = [name for name, tensor in _tensors(content) if not tensor.isfinite().all()]
    except RecursionError as error:
        raise CheckpointError(f"{path}: nested too deeply, expected weights: get it again from its source") from error
    if faulty:
        others = f" and {len(faulty) - 1} more" if len(faulty) > 1 else ""
        raise CheckpointError(
            f"{path}: refused, as numbers of {faulty[0]}{others} are NaN or infinite: its training diverged, or the file was "
            f"changed. Take an earlier checkpoint, or train again with a lower learning rate."
        )


def _is_plain(tensor: Tensor) -> bool:
    """Whether `tensor` has numbers that can be read: it isn't sparse, quantized, of 8-bit floats, or on no device.

    Nor do a few bytes stand for a tensor that no memory holds.
    """
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        return False
    size = tensor.numel() * tensor.element_size()
    small = tensor.is_floating_point() and tensor.element_size() == 1
    return not small and (size <= MOST_REPEATED or size <= tensor.untyped_storage().nbytes())


def _tensors(content: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield name.removeprefix("state_dict."), content
    elif isinstance(content, (Mapping, list, tuple)):
        for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
            yield from _tensors(value, f"{name}.{key}" if name else str(key))


def state_dict_faults(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """How the names and shapes of two sets of weights differ, in words; empty if they agree."""
    found = {name.removeprefix("module."): value for name, value in found.items()}
    missing = sorted(set(expected) - set(found))
    unknown = sorted(set(found) - set(expected))
    shapes = [
        f"{name} is {tuple(found[name].shape)}, but {tuple(expected[name].shape)} in the model"
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
    """The content of a local file that torch wrote, or of a ``.safetensors`` checkpoint (on the CPU).

    Raises:
        FileNotFoundError: there is no such file; mmengine's own loader raises the same.
        CheckpointError: the file is damaged or unsafe.
    """
    path = Path(filename).expanduser()
    if path.suffix == SUFFIX:
        return without_code(read_checkpoint(path), path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} can not be found.")
    return without_code(read_pth(path, map_location), path)


@CheckpointLoader.register_scheme(prefixes=["http://", "https://"], force=True)
def load_from_http(filename: str, map_location: Any = None, model_dir: str | None = None) -> Any:
    """The content of a file that torch wrote, from a URL; it is cached in torch hub's folder.

    Raises:
        CheckpointError: the file is damaged or unsafe.
        URLError: the URL can't be read.
    """
    folder = Path(model_dir or os.path.join(torch.hub.get_dir(), "checkpoints"))
    path = folder / os.path.basename(urlparse(filename).path)
    rank, ranks = get_dist_info()
    if rank > 0:
        torch.distributed.barrier()  # rank 0 downloads the file, the others only if they are on other machines
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(filename, str(path))
    if rank == 0 and ranks > 1:
        torch.distributed.barrier()
    return without_code(read_pth(path, map_location), path)
