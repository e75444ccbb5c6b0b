"""Where a COCO file is, and its films."""

from __future__ import annotations

import os
from pathlib import Path

from hipdet.core.errors import ConfigError

DEFAULT = "data"  # the data root of configs: the folder in the working directory, or $HIPDET_DATA
DATA, FOLD = "HIPDET_DATA", "HIPDET_FOLD"
FOLD_PLACE = f"{{{FOLD}}}"  # in names of files


def default_root() -> str:
    """The folder of films and annotations where none is given: ``$HIPDET_DATA`` as a whole path, else ``data``."""
    root = os.environ.get(DATA)
    return os.path.abspath(root) if root else DEFAULT  # whole, as `in_place` would take data/films for one of a config


def in_place(path: str) -> str:
    """`path` of a config, a data root or what begins with one: its ``data`` is :func:`default_root`, its fold `in_fold`.

    What it gives stays as it is when it comes here again: commands put the root in place, then data sets and metrics do.

    This is done here and not by mmengine's placeholders, which paste the value into the config's source, where a folder's
    name would run.

    Raises:
        ConfigError: a ``$HIPDET_FOLD`` that isn't a number.
    """
    path = in_fold(path)
    if path == DEFAULT:
        return default_root()
    return default_root().rstrip("/") + path[len(DEFAULT) :] if path.startswith(f"{DEFAULT}/") else path


def in_fold(name: str) -> str:
    """`name` of an annotation file of a config; its ``{HIPDET_FOLD}`` is that of the environment, else 0.

    Raises:
        ConfigError: a ``$HIPDET_FOLD`` that isn't a number.
    """
    fold = os.environ.get(FOLD) or "0"
    if FOLD_PLACE in name and not (fold.isascii() and fold.isdigit()):
        raise ConfigError(f"${FOLD} is {fold!r}: expected the number of a fold, such as 0")
    return name.replace(FOLD_PLACE, fold)


def data_root_of(annotations: Path) -> Path:
    """The folder that film names of `annotations` are below: that above ``annotations/``, else the file's own."""
    folder = annotations.parent
    return folder.parent if folder.name == "annotations" else folder


def coco_file(name: Path, root: Path | None) -> Path:
    """The COCO file called `name`, under the data root or from here.

    Raises:
        ConfigError: no such file.
    """
    places = [name] if root is None else [root / name, name]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise ConfigError(f"--ann {name}: no such file" + ("" if root is None else f", neither in {root} nor here"))
    return found
