"""Files of a data set where they lie: in folders, or in zip archives that stay packed."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from hipdet.core.errors import DatasetError
from hipdet.core.files import leads_out

MAX_MEMBER = 1 << 30  # bytes; a film of 20,000 px a side and 16 bits has 0.8e9
_ZIP_ERRORS = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError)

NameRule = Callable[[str], bool]


@dataclass(frozen=True, order=True)
class StoredFile:
    """One file.

    Attributes:
        name: Path below the root of the data set with ``/``; a zip counts as a folder, without its ``.zip``.
        path: Of the file, or of the zip it is in.
        member: Name inside the zip; None for a file on disk.
    """

    name: str
    path: Path = field(compare=False)
    member: str | None = field(default=None, compare=False)

    @property
    def base(self) -> str:
        """Last part of `name`."""
        return PurePosixPath(self.name).name

    def source(self) -> Path | bytes:
        """What :func:`hipdet.radiographs.read.read_radiograph` takes: the path, or the bytes of a packed file.

        Raises:
            DatasetError: a packed file that can't be read.
        """
        return self.path if self.member is None else _read_member(self.path, self.member)

    def read(self) -> bytes:
        """The content.

        Raises:
            DatasetError: it can't be read.
        """
        source = self.source()
        if isinstance(source, bytes):
            return source
        try:
            return source.read_bytes()
        except OSError as error:
            raise DatasetError(f"{self.name}: can't be read: {error.strerror}") from error


def files_below(
    root: Path, zips: bool = False, keep: NameRule = lambda name: True, wanted: NameRule = lambda name: True
) -> Iterator[StoredFile]:
    """All files below `root` in the order of their names; with `zips` also those inside ``*.zip``.

    Hidden files and folders are passed over, among them macOS's copies ``._a.jpg``; links to folders aren't followed.

    Args:
        root: Folder, or with `zips` a zip.
        zips: Whether to look into archives.
        keep: Whether to go into a folder, by its path below `root`: what isn't needed isn't listed.
        wanted: Whether to take a file on disk, by its own name.

    Raises:
        DatasetError: no such folder, a folder or zip that can't be read, or a link that leads out of `root`.
    """
    if zips and root.is_file():
        yield from _members(root, "", keep)
        return
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder: check the path")
    inside = root.resolve()
    for folder, folders, names in os.walk(root, onerror=_refuse):
        below = Path(folder).relative_to(root).as_posix()
        prefix = "" if below == "." else f"{below}/"
        folders[:] = sorted(name for name in folders if not name.startswith(".") and keep(prefix + name))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith(".") or not wanted(name):
                continue
            if path.is_symlink() and inside not in path.resolve().parents:
                raise DatasetError(f"{path} is a link out of its folder: put the file itself there")
            if zips and name.lower().endswith(".zip"):
                yield from _members(path, prefix + name[:-4] + "/", keep)
            else:
                yield StoredFile(prefix + name, path)


def _members(path: Path, prefix: str, keep: NameRule) -> Iterator[StoredFile]:
    for name in sorted(_open_zip(path).namelist()):
        parts = PurePosixPath(name).parts
        if parts and leads_out(name):  # "./" stands for the archive itself
            raise DatasetError(f"{path}: member {name!r} leads out of the archive: pack it anew")
        hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
        if name.endswith("/") or hidden or not all(keep(prefix + "/".join(parts[:n])) for n in range(1, len(parts))):
            continue
        yield StoredFile(prefix + name, path, name)


@lru_cache(maxsize=16)
def _open_zip(path: Path) -> zipfile.ZipFile:
    """Kept open: reading the list of an archive of thousands of films takes longer than reading a film."""
    try:
        return zipfile.ZipFile(path)
    except _ZIP_ERRORS as error:
        raise DatasetError(f"{path}: not a readable zip ({error}): download it again") from error


def _read_member(path: Path, member: str) -> bytes:
    try:
        info = _open_zip(path).getinfo(member)
        if info.file_size > MAX_MEMBER:
            raise DatasetError(f"{path}: {member} unpacks to {info.file_size} bytes, expected at most {MAX_MEMBER}")
        return _open_zip(path).read(info)
    except (*_ZIP_ERRORS, KeyError, ValueError) as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise DatasetError(f"{path}: {member} can't be unpacked ({reason}): download the zip again") from error


def _refuse(error: OSError) -> None:
    raise DatasetError(f"{error.filename}: can't be read: {error.strerror}") from error
