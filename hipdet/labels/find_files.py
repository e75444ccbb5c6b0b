"""Which files of a folder are label files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hipdet.errors import DatasetError
from hipdet.labels.yolo_classes import TEXTS


def label_files_below(root: Path, suffixes: Iterable[str]) -> list[Path]:
    """All files below `root` that end with one of `suffixes`, sorted; links to folders aren't followed.

    Hidden files, among them macOS's copies ``._a.xml``, lists of classes and READMEs are no label files.

    Raises:
        DatasetError: a folder can't be read, or a link leads out of `root`.
    """
    wanted = tuple(suffixes)
    found = []
    for folder, folders, names in os.walk(root, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if name.lower().endswith(wanted) and not _is_other(name)]
    inside = root.resolve()
    for path in found:
        if path.is_symlink() and inside not in path.resolve().parents:
            raise DatasetError(f"{path} is a link out of its folder: put the label file itself there")
    return sorted(found)


def _is_other(name: str) -> bool:
    return name.startswith(".") or name.lower() in TEXTS or name.lower().startswith("readme")


def _refuse(error: OSError) -> None:
    raise DatasetError(f"{error.filename}: can't be read: {error.strerror}") from error
