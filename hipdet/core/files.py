"""Files that are whole or not there at all, locks on them, and names that stay below their folder."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from hipdet.core.errors import DatasetError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` if the block ends without an error.

    Readers never see half a file and an interrupted writer leaves the old one.  The folder is made when missing.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # the suffix is kept because writers such as Pillow choose the format by it
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
    """Hold the lock file `path`.

    Raises:
        DatasetError: `busy`, if another process holds it.
    """
    from filelock import FileLock, Timeout  # here: who only predicts needs no lock

    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout as error:
        raise DatasetError(busy) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_csv(path: str | os.PathLike[str], rows: Iterable[Sequence[object]]) -> None:
    """Write `rows` as CSV to `path`, whole or not at all; the first one is the header."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as strict JSON (no NaN) to `path`, whole or not at all; same content, same bytes."""
    write_json_files({Path(path): content})


def write_json_files(contents: Mapping[Path, Any]) -> None:
    """Write every value as :func:`write_json` does, none of them taking its place before all are written."""
    with ExitStack() as stack:
        for path, content in contents.items():
            with stack.enter_context(replacing(path)).open("w", encoding="utf-8", newline="\n") as file:
                # piece by piece: the text of 60,000 films takes several times the memory of their records
                json.dump(content, file, indent=1, allow_nan=False, ensure_ascii=False)
                file.write("\n")


def leads_out(name: str) -> bool:
    """Whether `name`, with ``/`` between its folders, can't be followed below one: absolute, upwards, of Windows, empty."""
    windows = "\\" in name or (":" in name and bool(PureWindowsPath(name).drive))
    path = PurePosixPath(name)
    return windows or "\0" in name or path.is_absolute() or ".." in path.parts or not path.parts


def is_file_name(name: str) -> bool:
    """Whether `name` is that of a file, without folders of either kind of slashes."""
    return PureWindowsPath(name).name == name and not leads_out(name)


def plain(value: Any) -> Any:
    """`value` with the numpy scalars in it, also within dicts, lists and tuples, as Python's numbers."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    return value
