"""Lets mmengine, and so ``tools/test.py``, ``DetInferencer`` and ``load_from``, take ``.safetensors`` files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.runner import CheckpointLoader

from hipdet.checkpoint import read_checkpoint
from hipdet.safetensors_file import SUFFIX


@CheckpointLoader.register_scheme(prefixes=rf".*\{SUFFIX}$", force=True)
def load_safetensors(filename: str, map_location: Any = None, **_: Any) -> dict[str, Any]:
    """The checkpoint in a local ``.safetensors`` file, on the CPU.

    Raises:
        CheckpointError: as :func:`hipdet.checkpoint.read_checkpoint`.
    """
    return read_checkpoint(Path(filename).expanduser())
