"""Where a COCO file is, and its films."""

from __future__ import annotations

from pathlib import Path

from hipdet.errors import ConfigError


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
