"""Lets mmengine, and so ``tools/test.py``, ``DetInferencer`` and ``load_from``, read checkpoints without running any code.

mmengine runs the config in a checkpoint as Python and, as torch below 2.6 does, unpickles what it is given.  Its loaders of
local files and of addresses are therefore exchanged, by the function that mmengine has for that.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.dist import get_dist_info
from mmengine.runner import CheckpointLoader

from hipdet.checkpoint import read_checkpoint, read_pth, without_code
from hipdet.safetensors_file import SUFFIX


@CheckpointLoader.register_scheme(prefixes=rf".*\{SUFFIX}$", force=True)
def load_safetensors(filename: str, map_location: Any = None, **_: Any) -> dict[str, Any]:
    """The checkpoint in a local ``.safetensors`` file, on the CPU.

    Raises:
        CheckpointError: as :func:`hipdet.checkpoint.read_checkpoint`.
    """
    path = Path(filename).expanduser()
    content: dict[str, Any] = without_code(read_checkpoint(path), path)
    return content


@CheckpointLoader.register_scheme(prefixes="", force=True)
def load_from_local(filename: str, map_location: Any = None) -> Any:
    """What is in a local file that torch wrote.

    Raises:
        FileNotFoundError: no such file, as mmengine's own loader.
        CheckpointError: a damaged or unsafe file.
    """
    path = Path(filename).expanduser()
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
    if rank == 0:
        _fetch(filename, path)
    if ranks > 1:
        torch.distributed.barrier()
        _fetch(filename, path)  # on other machines
    return without_code(read_pth(path, map_location), path)


def _fetch(address: str, path: Path) -> None:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(path))
