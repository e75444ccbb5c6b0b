"""Whether a path and the name in an annotation file mean the same film."""

from __future__ import annotations

import posixpath


def same_film(path: str, name: str) -> bool:
    """Whether the shorter one of the two is the end of the other, folder by folder.

    A path begins with a data root and a prefix that the name lacks, and either may have ``..``, ``.`` or Windows' separators.
    """
    one, other = _parts(path), _parts(name)
    common = min(len(one), len(other))
    return common > 0 and one[-common:] == other[-common:]


def _parts(name: str) -> list[str]:
    parts = posixpath.normpath(str(name).replace("\\", "/")).split("/")
    return [part for part in parts if part not in ("", ".", "..")]
