"""Configs by name, from any working directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config

from hipdet.coco.data_root import DATA, DEFAULT
from hipdet.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
PLACES = (Path(), PACKAGE.parent, PACKAGE / ".mim")  # of configs: the working directory, a clone, an installed package


def read_config(name: str, components: bool = True) -> Config:
    """The config at `name`, relative to the working directory, the clone or the installed package.

    Args:
        name: Path such as ``configs/hip_ssd_exp3.py``.
        components: Also import what it registers; without, neither torch nor mmdet is loaded.

    Raises:
        ConfigError: a config that isn't there.
    """
    path = next((path for place in PLACES if (path := place / name).is_file()), None)
    if path is None:
        known = next((place / "configs" for place in PLACES[1:] if (place / "configs").is_dir()), "configs")
        raise ConfigError(f"{name}: no such config; see {known}")
    with _default_data_root():
        return Config.fromfile(path, import_custom_modules=components)


@contextmanager
def _default_data_root() -> Iterator[None]:
    """``$HIPDET_DATA`` as if it weren't set: mmengine pastes it into configs that have it as a placeholder.

    There it would run.  :func:`hipdet.coco.data_root.in_place` says what stands in its place afterwards.
    """
    root = os.environ.get(DATA)
    try:
        if root:
            os.environ[DATA] = DEFAULT
        yield
    finally:
        if root:
            os.environ[DATA] = root
