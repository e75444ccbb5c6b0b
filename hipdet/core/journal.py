"""Files of JSON lines that grow: a line is whole, or it is cut off at the next start."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from hipdet.core.errors import DatasetError, HipdetError
from hipdet.core.files import locked

J = TypeVar("J", bound="Journal")


class StorageError(HipdetError):
    """A change that couldn't be stored: the disk is full, or the folder can't be written any more."""


class Journal:
    """An open journal; a last line that was cut short goes.

    Args:
        path: File; made if it isn't there.
        busy: If given, nobody else can open it meanwhile, and this is what they are told.
        synced: Lines are on the disk before :meth:`append` returns, not only in the hands of the system.

    Raises:
        DatasetError: somebody else has it, or its folder can't be written.
    """

    def __init__(self, path: Path, busy: str | None = None, synced: bool = False) -> None:
        self.path = path
        self._synced = synced
        self._closing = ExitStack()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if busy:
                self._closing.enter_context(locked(path.with_name(f".{path.name}.lock"), f"{path}: {busy}"))
            self._file: BinaryIO = self._closing.enter_context(path.open("a+b", buffering=0))
        except OSError as error:
            self._closing.close()
            raise DatasetError(f"{path}: can't be written ({error.strerror}): choose a folder with --out") from error
        self._size = self._drop_unfinished_line()
        self._spoiled = False

    def __enter__(self: J) -> J:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others open it."""
        self._closing.close()

    def records(self, skip_damaged: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
        """Place of each record, in bytes, and the record, the oldest first.

        Args:
            skip_damaged: Of a cache, what can't be read is left out.

        Raises:
            DatasetError: a line that is no JSON object.
        """
        place = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    record = json.loads(line)
                    fault = "" if isinstance(record, dict) else f"a {type(record).__name__}, expected an object"
                except (ValueError, RecursionError) as error:
                    fault = f"not JSON ({error})"
                if not fault:
                    yield place, record
                elif not skip_damaged:
                    remedy = "was it edited? Remove the line, or restore the file"
                    raise DatasetError(f"{self.path}: line {number}: {fault}: {remedy}")
                place += len(line)

    def at(self, place: int) -> dict[str, Any]:
        """The record at a place that :meth:`records` or :meth:`append` gave."""
        with self.path.open("rb") as file:
            file.seek(place)
            record: dict[str, Any] = json.loads(file.readline())
        return record

    def append(self, records: Sequence[Mapping[str, Any]]) -> int:
        """Store `records`; returns the place of the first.

        Raises:
            StorageError: they aren't stored, and nothing of them is.
        """
        lines = [json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n" for record in records]
        content, place = memoryview("".join(lines).encode("utf-8", "surrogatepass")), self._size
        try:
            if self._spoiled:
                self._file.truncate(self._size)
            self._spoiled = True  # until all is there: half a line would spoil the next one
            written = 0
            while written < len(content):
                written += self._file.write(content[written:]) or 0
            if self._synced:
                os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):  # else it is cut off before the next line, or at the next start
                self._file.truncate(self._size)
            raise StorageError(f"{self.path.name}: not stored: {error.strerror}") from error
        self._size += len(content)
        self._spoiled = False
        return place

    def _drop_unfinished_line(self) -> int:
        """Cut off a last line without end, which was never acknowledged; returns the size."""
        size = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    self._file.truncate(size)
                    break
                size += len(line)
        return size
