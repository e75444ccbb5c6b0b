"""Where the films of a COCO file are, unless somebody says so."""

from __future__ import annotations

from pathlib import Path


def data_root_of(annotations: Path) -> Path:
    """The folder that film names of `annotations` are below: that above ``annotations/``, else the file's own."""
    folder = annotations.parent
    return folder.parent if folder.name == "annotations" else folder
