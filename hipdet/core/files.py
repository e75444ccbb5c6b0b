"""Files: atomic writes, JSON from untrusted sources, journals that grow by lines, and names that stay below a folder."""

from __future__ import annotations

import csv
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from reprlib import Repr
from typing import Any, BinaryIO, TypeVar

import numpy as np

from hipdet.core.errors import DatasetError, HipdetError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; it replaces `path` if the block ends without an error.

    Readers never see half a file, and an interrupted writer leaves the old one.  A missing folder is made.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # the suffix is kept: writers such as Pillow choose the format by it
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}.", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


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


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_csv(path: str | os.PathLike[str], rows: Iterable[Sequence[object]], line_end: str = "\n") -> None:
    """Write `rows` as CSV to `path`, whole or not at all; the first one is the header."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator=line_end).writerows(rows)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as strict JSON (no NaN) to `path`, whole or not at all; the same content gives the same bytes."""
    write_json_files({Path(path): content})


def write_json_files(contents: Mapping[Path, Any]) -> None:
    """Write every value as :func:`write_json` does; no file is replaced before all are written."""
    with ExitStack() as stack:
        for path, content in contents.items():
            with stack.enter_context(replacing(path)).open("w", encoding="utf-8", newline="\n") as file:
                # in pieces: the text of 60,000 image records takes several times their memory
                json.dump(content, file, indent=1, allow_nan=False, ensure_ascii=False)
                file.write("\n")


def leads_out(name: str) -> bool:
    """Whether the path `name`, separated by ``/``, isn't one below a folder: absolute, with ``..``, of Windows, or empty."""
    windows = "\\" in name or (":" in name and bool(PureWindowsPath(name).drive))
    path = PurePosixPath(name)
    return windows or "\0" in name or path.is_absolute() or ".." in path.parts or not path.parts


def is_file_name(name: str) -> bool:
    """Whether `name` is a file name without folders, separated by ``/`` or by ``\\``."""
    return PureWindowsPath(name).name == name and not leads_out(name)


def plain(value: Any) -> Any:
    """`value` with its numpy scalars as Python numbers, also inside dicts, lists and tuples."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    return value


MAX_SIDE = 20_000  # px; a 43 cm film digitised at 50 um, which is the finest, has 8,600

_repr = Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 80
_repr.maxlevel = 2


def read_json(path: Path, expected: str, error: type[HipdetError] = DatasetError) -> Any:
    """The content of the JSON file `path`.

    Args:
        path: File.
        expected: What the file should be, for error messages, such as ``predictions.json of hipdet predict``.
        error: Class of the error.

    Raises:
        HipdetError: no such file, or it isn't JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as fault:
        raise error(f"{path}: can't be read ({fault.strerror}), expected {expected}") from fault
    except (ValueError, RecursionError) as fault:
        raise error(f"{path}: not JSON ({fault}), expected {expected}") from fault


def shown(value: object) -> str:
    """`value` as text for a message, shortened if it is long or deep."""
    if type(value) is int and abs(value) < 10**15:  # fast, for hundreds of thousands of ids
        return str(value)
    return _repr.repr(value)


def is_whole(value: object) -> bool:
    """Whether `value` is a whole number and not a Boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_side(value: object) -> bool:
    """Whether `value` can be a film's width or height: whole pixels, at most `MAX_SIDE`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_SIDE


def finite(value: object) -> float | None:
    """`value` as float; None if it isn't a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def finite_box(bbox: object) -> tuple[float, float, float, float] | None:
    """COCO ``[x, y, width, height]`` as floats; None if `bbox` isn't a list of four finite numbers."""
    numbers = [finite(value) for value in bbox] if isinstance(bbox, list) else []
    x, y, w, h = numbers if len(numbers) == 4 else [None] * 4
    return None if x is None or y is None or w is None or h is None else (x, y, w, h)


J = TypeVar("J", bound="Journal")


class StorageError(HipdetError):
    """A change that couldn't be stored: the disk is full, or the folder is no longer writable."""


class Journal:
    """An open JSON-lines journal.  An incomplete last line is removed when the next line is written.

    Several processes may append to one journal, unless `busy` is given.

    Args:
        path: File; made if it is missing.
        busy: Error message for other processes; if given, only one process can open the journal at a time.
        synced: Flush lines to the disk before :meth:`append` returns.

    Raises:
        DatasetError: another process has the journal open, or its folder can't be written.
    """

    def __init__(self, path: Path, busy: str | None = None, synced: bool = False) -> None:
        self.path = path
        self._alone, self._synced = bool(busy), synced
        self._kept: int | None = None  # size before a failed append, if no other process writes
        self._closing = ExitStack()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if busy:
                self._closing.enter_context(locked(path.with_name(f".{path.name}.lock"), f"{path}: {busy}"))
            self._file: BinaryIO = self._closing.enter_context(path.open("a+b", buffering=0))
        except OSError as error:
            self._closing.close()
            raise DatasetError(f"{path}: can't be written ({error.strerror}): choose a folder with --out") from error
        self._spoiled = self._whole_size() < path.stat().st_size

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
        place = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    record = json.loads(line)
                    fault = "" if isinstance(record, dict) else f"a {type(record).__name__}, expected an object"
                except (ValueError, RecursionError) as error:
                    fault = f"not JSON ({error})"
                if not fault:
                    yield place, record
                elif not skip_damaged:
                    remedy = "was the file edited? Remove the line, or restore the file"
                    raise DatasetError(f"{self.path}: line {number}: {fault}: {remedy}")
                place += len(line)

    def at(self, place: int) -> dict[str, Any]:
        """The record at `place`, a byte offset from :meth:`records` or :meth:`append`."""
        with self.path.open("rb") as file:
            file.seek(place)
            record: dict[str, Any] = json.loads(file.readline())
        return record

    def append(self, records: Sequence[Mapping[str, Any]]) -> int:
        """Store `records` and return the byte offset of the first one.

        Raises:
            StorageError: no record was stored.
        """
        lines = [json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n" for record in records]
        content = memoryview("".join(lines).encode("utf-8", "surrogatepass"))
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
            self._kept = before if self._alone and before is not None else self._kept
            with suppress(OSError):  # if this fails, too, the next append truncates
                self._file.truncate(self._whole_size() if self._kept is None else self._kept)
            raise StorageError(f"{self.path.name}: not stored: {error.strerror}") from error
        self._spoiled, self._kept = False, None
        return self._file.tell() - len(content)  # `before` may be outdated: other processes append, too

    def _whole_size(self) -> int:
        """Bytes up to the end of the last complete line; anything after it was never reported as stored."""
        with self.path.open("rb") as file:
            return sum(len(line) for line in file if line.endswith(b"\n"))
