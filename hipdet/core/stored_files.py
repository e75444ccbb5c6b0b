"""Files of a data set, in folders or inside zip archives, which needn't be unpacked."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from hipdet.core.errors import DatasetError
from hipdet.core.files import escaped, leads_out, name_of

MAX_MEMBER = 1 << 30  # bytes; a 16-bit film of 20,000 px a side has 0.8e9
_ZIP_ERRORS = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError)

COPIES = ".hipdet-copies"  # marks a folder of copies that hipdet convert made: no films of their own

NameRule = Callable[[str], bool]
_SPECIAL = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def special_kind(path: str | os.PathLike[str]) -> str:
    """``a named pipe``, ``a socket`` or ``a device``, whose opening may take for ever; empty for anything else."""
    try:
        return _SPECIAL.get(stat.S_IFMT(os.stat(path).st_mode), "")
    except OSError:  # opening it gives the reason
        return ""
    except ValueError:
        return "a name that no file can have"


def holds_copies(folder: Path) -> bool:
    """Whether `folder` has copies of films that ``hipdet convert --copies`` made."""
    return (folder / COPIES).is_file()


@dataclass(frozen=True, order=True)
class StoredFile:
    """One file, on disk or inside a zip.

    Attributes:
        name: Path below the root of the data set, see :func:`hipdet.core.files.name_of`; a zip is treated as a folder
            of its name without ``.zip``.
        path: Path of the file, or of the zip that has it.
        member: Name inside the zip; None for a file on disk.
    """

    name: str
    path: Path = field(compare=False)
    member: str | None = field(default=None, compare=False)

    @property
    def base(self) -> str:
        """The last part of `name`."""
        return PurePosixPath(self.name).name

    def source(self) -> Path | bytes:
        """The path, or the bytes of a file in a zip: :func:`hipdet.radiographs.read.read_radiograph` takes both.

        Raises:
            DatasetError: the file can't be read from the zip.
        """
        return self.path if self.member is None else _read_member(self.path, self.member)

    def read(self) -> bytes:
        """The content of the file.

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

    Hidden files and folders are skipped, among them macOS's copies ``._a.jpg``; links to folders aren't followed.

    Args:
        root: Folder, or with `zips` a zip.
        zips: Also list the files in zip archives.
        keep: Takes the path of a folder below `root`; if it returns False, that folder isn't listed.
        wanted: Takes the name of a file on disk; if it returns False, that file is skipped.

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
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else f"{name_of(below)}/"
        _refuse_twins(folder, [*folders, *names])
        folders[:] = sorted(name for name in folders if not name.startswith(".") and keep(prefix + name_of(name)))
        for name in sorted(names):
            path = Path(folder, name)
            shown = name_of(name)
            if name.startswith(".") or not wanted(shown):
                continue
            if path.is_symlink() and inside not in Path(os.path.realpath(path)).parents:  # resolve() raises on a loop
                raise DatasetError(f"{name_of(str(path))} is a link out of its folder: put the file itself there")
            if zips and name.lower().endswith(".zip"):
                yield from _members(path, prefix + shown[:-4] + "/", keep)
            else:
                yield StoredFile(prefix + shown, path)


def _refuse_twins(folder: str, names: Sequence[str]) -> None:
    """Refuse two names that :func:`name_of` makes one: the byte 255 and ``%FF``, say.  Labels of one would be the other's."""
    odd = {name for name in names if name_of(name) != name}
    if twins := {name_of(name) for name in odd} & ({*names} - odd):
        raise DatasetError(
            f"{name_of(folder)}: two files are called {min(twins)}, one with bytes that aren't UTF-8: rename it"
        )


def _members(path: Path, prefix: str, keep: NameRule) -> Iterator[StoredFile]:
    for name in sorted(_open_zip(path).namelist()):
        parts = PurePosixPath(name).parts
        if parts and leads_out(name):  # "./" is the archive itself
            raise DatasetError(f"{path}: member {name!r} leads out of the archive: create the zip again")
        hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
        if name.endswith("/") or hidden or not all(keep(prefix + "/".join(parts[:n])) for n in range(1, len(parts))):
            continue
        yield StoredFile(prefix + escaped(name), path, name)


@lru_cache(maxsize=16)
def _open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip and keep it open: listing thousands of films takes longer than reading one of them."""
    try:
        if kind := special_kind(path):
            raise OSError(f"it is {kind}")
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
