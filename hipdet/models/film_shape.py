"""Where the film ends within the padded square."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def film_shape(meta: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of the resized film, without the padding at the right and the bottom, in pixels of the square.

    mmdet's ``img_shape`` is that of the square once ``Pad`` has run.  It is what is given where the film's place in it isn't
    known: without ``ori_shape`` and ``scale_factor`` (width, height).  A film is mirrored before it is padded, if at all.
    """
    height, width = meta["img_shape"][:2]
    if "ori_shape" not in meta or "scale_factor" not in meta:
        return height, width
    (stored_height, stored_width), (fx, fy) = meta["ori_shape"][:2], meta["scale_factor"][:2]
    return min(height, round(stored_height * fy)), min(width, round(stored_width * fx))
