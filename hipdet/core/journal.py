"""The journal of one annotator: a line of JSON per change, on the disk before it is acknowledged.  It is the truth."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from hipdet.core.errors import DatasetError, HipdetError


class StorageError(HipdetError):
    """A change that couldn't be stored: the disk is full, or the folder can't be written any more."""


class Journal:
    """An open journal; nobody else can open it meanwhile.

    Raises:
        DatasetError: somebody else has it, or its folder can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._file: BinaryIO = path.open("ab", buffering=0)
        except Timeout as error:
            raise DatasetError(
                f"{path}: another hipdet annotate is writing it: close that one, or choose another --annotator"
            ) from error
        except OSError as error:
            self._lock.release()
            raise DatasetError(f"{path}: can't be written ({error.strerror}): choose a folder with --out") from error
        self._size = self._drop_unfinished_line()
        self._spoiled = False

    def read(self) -> list[dict[str, Any]]:
        """All records, the oldest first.

        Raises:
            DatasetError: a line that is no JSON object.
        """
        records = []
        for number, line in enumerate(self._path.read_bytes().splitlines(), 1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DatasetError(self._fault(number, f"not JSON ({error})")) from error
            if not isinstance(record, dict):
                raise DatasetError(self._fault(number, f"a {type(record).__name__}, expected an object"))
            records.append(record)
        return records

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        """Store `records`: when this returns they are on the disk.

        Raises:
            StorageError: they aren't, and nothing of them is.
        """
        lines = [json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n" for record in records]
        content = memoryview("".join(lines).encode())
        try:
            if self._spoiled:
                self._file.truncate(self._size)
            self._spoiled = True  # until all is there: half a line would spoil the next one
            written = 0
            while written < len(content):
                written += self._file.write(content[written:]) or 0
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):  # else it is cut off before the next line, or at the next start
                self._file.truncate(self._size)
            raise StorageError(f"{self._path.name}: not stored: {error.strerror}") from error
        self._size += len(content)
        self._spoiled = False

    def close(self) -> None:
        """Let others open it."""
        self._file.close()
        self._lock.release()

    def _drop_unfinished_line(self) -> int:
        """Cut off a last line without end, which was never acknowledged; returns the size."""
        content = self._path.read_bytes()
        size = content.rfind(b"\n") + 1
        if size < len(content):
            self._file.truncate(size)
        return size

    def _fault(self, number: int, found: str) -> str:
        return f"{self._path}: line {number}: {found}: was it edited? Remove the line, or restore the file"
