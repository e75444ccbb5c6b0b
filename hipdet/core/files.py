"""Files: atomic writes, journals that grow by lines, and names that stay below a folder."""

from __future__ import annotations

import codecs
import csv
import errno
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote_to_bytes

from hipdet.core.errors import DatasetError, StorageError
from hipdet.core.records import Record, parse_json

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@contextmanager
def stored_in(path: str | os.PathLike[str], temporary: Path | None = None) -> Iterator[None]:
    """Put the name of `path` into errors of a full disk during the block, which name no file or its `temporary` one."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM and error.filename in (None, str(temporary)):
            error.filename = os.fspath(path)
        raise


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; it replaces `path` if the block ends without an error.

    Readers never see half a file, and an interrupted writer leaves the old one.  A missing folder is made.

    Raises:
        OSError: `path` is a folder, or a pipe or device, which a file would replace for all programs.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if (target.exists() and not target.is_file()) or str(target.parent) == "/dev":  # also a link there, as /dev/stdout
        raise FileExistsError(errno.EEXIST, "no regular file, which could be replaced", str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.stem[:50]}."
    try:
        # the suffix is kept: writers such as Pillow choose the format by it
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=target.suffix)
    except OSError as error:
        error.filename = str(target)
        raise
    os.close(handle)
    temporary = Path(name)
    try:
        with stored_in(target, temporary):
            yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_synced(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all; it is on the disk when this returns."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def set_aside(path: Path) -> Path:
    """Keep the file `path`, which is about to be replaced, as ``<name>.before-<time>`` beside it; returns that path."""
    kept = path.with_name(f"{path.name}.before-{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}")
    try:
        os.link(path, kept)  # a program that is still writing the file writes this one, then
    except OSError:  # a file system without links
        write_synced(kept, path.read_bytes())
    return kept


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock file `path` during the block.

    Raises:
        DatasetError: another process holds it; the message is `busy`.
    """
    from filelock import FileLock, Timeout  # here: prediction alone needs no lock

    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout as error:
        raise DatasetError(busy) from error


def _percent(error: UnicodeError) -> tuple[bytes, int]:
    """What is written for the bytes of a file name that Python couldn't decode: their UTF-8, or percent escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    data = error.object[error.start : error.end].encode("utf-8", "surrogateescape")
    text = data.decode("utf-8", "surrogateescape")
    return re.sub("[\ud800-\udfff]", _escaped, text).encode(), error.end


_PERCENT = "hipdet-percent"  # all that we write is UTF-8, also under a locale that isn't
codecs.register_error(_PERCENT, _percent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors=_PERCENT, newline="\n") as file:
        file.write(text)


def write_csv(path: str | os.PathLike[str], rows: Iterable[Sequence[object]], line_end: str = "\n") -> None:
    """Write `rows` as CSV to `path`, whole or not at all; the first one is the header.

    A text that a spreadsheet would take for a formula is guarded by an apostrophe, see :func:`unguarded`.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors=_PERCENT, newline="") as file:
        writer = csv.writer(file, lineterminator=line_end)
        quoting = csv.writer(file, lineterminator=line_end, quoting=csv.QUOTE_ALL)
        for row in rows:
            cells = [guarded(cell) for cell in row]
            odd = any(isinstance(cell, str) and "\r" in cell for cell in cells)  # not quoted before Python 3.13
            (quoting if odd else writer).writerow(cells)


_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # how a formula begins, for some spreadsheet, and what looks like a guarded one
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def guarded(cell: object) -> object:
    """`cell`, after an apostrophe if it is a text that begins as a formula does; numbers are never changed."""
    is_formula = isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def unguarded(cell: str) -> str:
    """`cell` of a CSV file without the apostrophe of :func:`guarded`."""
    return cell[1:] if cell.startswith("'") and guarded(cell[1:]) == cell else cell


def read_csv(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """The texts in `columns` of each row of a file of :func:`write_csv`; none if there is no file.

    Raises:
        DatasetError: it lacks one of them, or isn't UTF-8.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [[unguarded(row[column]) for column in columns] for row in csv.DictReader(file)]
    except (AttributeError, KeyError, UnicodeDecodeError, csv.Error) as error:  # a row that is too short has None
        expected = f"expected the columns {', '.join(columns)}: remove the file, and run again"
        raise DatasetError(f"{path}: no table of hipdet ({type(error).__name__}), {expected}") from error


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as strict JSON (no NaN) to `path`, whole or not at all; the same content gives the same bytes."""
    write_json_files({Path(path): content})


def write_json_files(contents: Mapping[Path, Any]) -> None:
    """Write every value as :func:`write_json` does; no file is replaced before all are written."""
    with ExitStack() as stack:
        for path, content in contents.items():
            with stack.enter_context(replacing(path)).open(
                "w", encoding="utf-8", errors=_PERCENT, newline="\n"
            ) as file:
                # in pieces: the text of 60,000 image records takes several times their memory
                json.dump(content, file, indent=1, allow_nan=False, ensure_ascii=False)
                file.write("\n")


# control characters, also of the direction of writing, ends of lines, no UTF-8, ``\\``
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\\\\]")


def name_of(path: str) -> str:
    """The file name or relative path `path`, as the system gave it, as the text that hipdet writes, with ``/``.

    Names are UTF-8.  In a name that has other bytes, control characters or backslashes, each of these bytes becomes a percent
    escape such as ``%FF``, and ``%`` becomes ``%25``.  :func:`path_below` is the inverse.
    """
    if os.sep != "/":
        path = path.replace(os.sep, "/")
    return escaped(os.fsencode(path).decode("utf-8", "surrogateescape"))


def escaped(text: str) -> str:
    """`text` as a name that :func:`name_of` gives."""
    drive = ":" if text[1:2] == ":" else ""  # as in C:, of which a:b.png would be a file without folder
    if not drive and not _ODD.search(text):
        return text
    return re.sub(f"{_ODD.pattern}|[%{drive}]", _escaped, text)


def _escaped(letter: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in letter[0].encode("utf-8", "surrogateescape"))


def native(name: str) -> str:
    """The UTF-8 text `name` as the system takes names of files, also where Python's encoding of them is ASCII."""
    return os.fsdecode(name.encode("utf-8", "surrogatepass"))


def path_below(root: Path, name: str) -> Path:
    """The path of the file that :func:`name_of` gave this `name` below `root`."""
    path = root / native(name)
    if "%" in name:
        data = unquote_to_bytes(name)
        # only what name_of would have escaped: no name leads out by escaped dots or slashes
        if b"\0" not in data and name_of(os.fsdecode(data)) == name and not os.path.lexists(path):
            return root / os.fsdecode(data)
    return path


def film_below(root: Path, name: str, source: object) -> Path:
    """The path of the film `name` below `root`; errors name `source`, the file that has this name.

    Raises:
        DatasetError: the name leads out of `root`.
    """
    if leads_out(name):
        raise DatasetError(f"{source}: film {name!r} leads out of its folder, expected a path below {root}")
    return path_below(root, name)


def leads_out(name: str) -> bool:
    """Whether the path `name`, separated by ``/``, isn't one below a folder: absolute, with ``..``, of Windows, or empty."""
    windows = "\\" in name or (":" in name and bool(PureWindowsPath(name).drive))
    path = PurePosixPath(name)
    return windows or "\0" in name or path.is_absolute() or ".." in path.parts or not path.parts


def is_file_name(name: str) -> bool:
    """Whether `name` is a file name without folders, separated by ``/`` or by ``\\``."""
    return PureWindowsPath(name).name == name and not leads_out(name)


J = TypeVar("J", bound="Journal")
LOST = "not stored: another program has deleted, replaced or changed the file"
REMEDY = "was the file edited? Remove the line, or restore the file"


class JournalLost(StorageError):
    """Another program has deleted, replaced or changed the file of a journal; :meth:`Journal.renew` writes it again."""


class Journal:
    """An open JSON-lines journal.  An incomplete last line is removed when the next line is written.

    Several processes may append to one journal, unless `busy` is given.

    Args:
        path: File; made if it is missing.
        busy: Error message for other processes; if given, only one process can open the journal at a time.
        synced: Flush lines to the disk before :meth:`append` returns.

    Raises:
        DatasetError: another process has the journal open.
        StorageError: it can't be written.
    """

    def __init__(self, path: Path, busy: str | None = None, synced: bool = False) -> None:
        self.path = path
        self._busy, self._synced = busy, synced
        self._kept: int | None = None  # size before a failed append, if no other process writes
        self._closing = ExitStack()
        try:
            self._lock()
            self._open()
        except OSError as error:
            self._closing.close()
            raise StorageError(f"{path}: can't be written ({error.strerror}): choose another folder") from error
        self._spoiled = self._whole_size() < self._size

    def _lock(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._busy:
            lock = self.path.with_name(f".{self.path.name}.lock")
            self._closing.enter_context(locked(lock, f"{self.path}: {self._busy}"))

    def _open(self) -> None:
        if self.path.exists() and not self.path.is_file():  # a pipe would wait forever
            raise OSError(errno.EINVAL, "it is no regular file")
        self._file: BinaryIO = self._closing.enter_context(self.path.open("a+b", buffering=0))
        self._size = os.fstat(self._file.fileno()).st_size  # as we left it

    def __enter__(self: J) -> J:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and release its lock."""
        self._closing.close()

    def records(self, skip_damaged: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
        """Byte offset and content of each record, the oldest first.

        Args:
            skip_damaged: Skip lines that can't be read, as a cache may; if not, they raise.

        Raises:
            DatasetError: a line isn't a JSON object.
        """
        expected = f"an object on each line: {REMEDY}"
        place = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                where = f"{self.path}: line {number}"
                try:
                    record = Record.of(parse_json(line, where, expected), where, remedy=REMEDY)
                except DatasetError:
                    if not skip_damaged:
                        raise
                else:
                    yield place, dict(record.values)
                place += len(line)

    def at(self, place: int) -> dict[str, Any]:
        """The record at `place`, a byte offset from :meth:`records` or :meth:`append`.

        Raises:
            DatasetError: another program has changed the file.
        """
        with os.fdopen(os.dup(self._file.fileno()), "rb") as file:  # ours, also if another program has deleted it
            file.seek(place)
            line = file.readline()
        where = f"{self.path}: byte {place}"
        return dict(Record.of(parse_json(line, where, f"an object: {REMEDY}"), where, remedy=REMEDY).values)

    def append(self, records: Sequence[Mapping[str, Any]]) -> int:
        """Store `records` and return the byte offset of the first one.

        Raises:
            StorageError: no record was stored.
        """
        content = memoryview(_lines(records))
        self._check()
        before: int | None = None
        try:
            if self._spoiled:
                self._file.truncate(self._whole_size() if self._kept is None else self._kept)
            before, self._spoiled = self.path.stat().st_size, True  # a partial line would spoil the next one
            written = 0
            while written < len(content):
                written += self._file.write(content[written:]) or 0
            if self._synced:
                os.fsync(self._file.fileno())
        except OSError as error:
            self._kept = before if self._busy and before is not None else self._kept
            with suppress(OSError):  # if this fails, too, the next append truncates
                self._file.truncate(self._whole_size() if self._kept is None else self._kept)
            with suppress(OSError):
                self._size = os.fstat(self._file.fileno()).st_size
            raise StorageError(f"{self.path.name}: not stored: {error.strerror}") from error
        self._spoiled, self._kept, self._size = False, None, before + len(content)
        self._check()  # the file may have gone while it was written
        return self._file.tell() - len(content)  # `before` may be outdated: other processes append, too

    @property
    def is_ours(self) -> bool:
        """Whether `path` still is the file that this journal opened, of the size that it left (only with `busy`)."""
        try:
            there, ours = self.path.stat(), os.fstat(self._file.fileno())
        except (OSError, ValueError):  # a closed file gives ValueError
            return False
        return (there.st_dev, there.st_ino, there.st_size) == (ours.st_dev, ours.st_ino, self._size)

    def _check(self) -> None:
        if self._busy and not self.is_ours:
            raise JournalLost(f"{self.path.name}: {LOST}")

    def renew(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write the file again with `records`, after `JournalLost`; a file that has taken its place is kept beside it.

        Raises:
            StorageError: it can't be written; no record was stored.
        """
        content = _lines(records)
        self._closing.close()
        try:
            self._lock()
            if self.path.exists() and self.path.stat().st_size:
                set_aside(self.path)
            write_synced(self.path, content)
            self._open()
        except (OSError, DatasetError) as error:
            self._closing.close()
            reason = error.strerror if isinstance(error, OSError) else error
            raise StorageError(f"{self.path.name}: {LOST}, and it can't be written again: {reason}") from error
        self._spoiled, self._kept = False, None

    def _whole_size(self) -> int:
        """Bytes up to the end of the last complete line; anything after it was never reported as stored."""
        with self.path.open("rb") as file:
            return sum(len(line) for line in file if line.endswith(b"\n"))


def _lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    lines = [json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n" for record in records]
    return "".join(lines).encode("utf-8", "surrogatepass")
