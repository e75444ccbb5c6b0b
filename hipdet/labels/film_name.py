"""Names of films in label files: they come from another machine, so no path is followed.

A backslash always separates folders, as on Windows: a film whose name holds one can't be told from a path.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import parse_qs, unquote, urlsplit

from hipdet.labels.fault import LabelFault
from hipdet.labels.values import shown

_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


def last_part(film: str) -> str:
    """``a.jpg`` of ``C:\\films\\a.jpg``, ``../films/a.jpg`` and ``a.jpg``."""
    return PureWindowsPath(film).name


def relative_part(film: str) -> str | None:
    """`film` with ``/`` between folders; None if it is absolute, has a drive or leads upwards."""
    path = PureWindowsPath(film)
    if path.drive or path.root or ".." in path.parts:
        return None
    return PurePosixPath(*path.parts).as_posix()


def film_name(value: object, key: str) -> str:
    """`value` if it names a film.

    Raises:
        LabelFault: it is no text, empty, a folder, or has control characters.
    """
    good = isinstance(value, str) and last_part(value.strip()) not in ("", "..") and not _UNPRINTABLE.search(value)
    if not isinstance(value, str) or not good:
        raise LabelFault(f"{key} is {shown(value)}, expected the file name of a film")
    return value.strip()


def film_of_address(address: str) -> str:
    """The film in an address as Label Studio writes it, without server, query and the prefix of uploads.

    ``/data/upload/3/abcd1234-a.jpg`` is ``a.jpg``, ``/data/local-files/?d=films/a.jpg`` is ``films/a.jpg``; anything that
    is no address stays as it is.

    Raises:
        LabelFault: the picture itself stands in place of its address.
    """
    if address.startswith("data:"):
        raise LabelFault("a picture stands in place of its address: import films as files and export again")
    local = address.startswith(("/data/", "upload/"))
    if not local and "://" not in address:
        return address
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise LabelFault(f"address {shown(address)} can't be read ({error})") from error
    if parts.path.rstrip("/").endswith("local-files"):
        return parse_qs(parts.query).get("d", [""])[0]
    path = unquote(parts.path)
    if "upload/" not in path:
        return path.lstrip("/") if parts.netloc else path
    return _UPLOAD_PREFIX.sub("", PurePosixPath(path).name, count=1)
