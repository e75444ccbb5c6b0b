"""In which frame boxes were drawn, and from the raw frame to the upright one.

A film with an EXIF orientation has two frames: the raw one of its stored pixels and the upright one that a person sees.
Tools that honour the orientation (browsers, LabelMe, newer LabelImg, OpenCV) label upright, others (Pillow, older tools) raw.
Which it was shows in the size that the label file declares, if the two sizes differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hipdet.errors import DatasetError
from hipdet.labels.record import Box

Size = tuple[int, int]

TURNED = (5, 6, 7, 8)  # orientations that swap width and height


@dataclass(frozen=True)
class Frame:
    """The frame of the boxes of a film: ``raw`` or ``upright``; `warning` says why that is no more than likely."""

    name: Literal["raw", "upright"]
    warning: str | None = None


def decide_frame(film: str, declared: Size | None, stored: Size, upright: Size, orientation: int | None) -> Frame:
    """The frame in which the boxes of `film` were drawn.

    Args:
        film: Its name, for messages.
        declared: ``(width, height)`` in the label file, or None.
        stored: ``(width, height)`` of the stored pixels.
        upright: ``(width, height)`` with EXIF orientation applied.
        orientation: EXIF orientation; None and values other than 1 to 8 mean upright, as picture readers take them.

    Returns:
        ``raw`` if the declared size is only the stored one, otherwise ``upright``: with a warning where the declared size,
        missing or the same in both frames, doesn't show it.

    Raises:
        DatasetError: the declared size is neither: the film was resized, or it is another one.
    """
    if declared is not None and declared not in (stored, upright):
        found = f"label file says {_shown(declared)}, found {_shown(upright)} upright, {_shown(stored)} stored"
        raise DatasetError(f"{film}: {found}: label the film in this size, or find the one that was labelled")
    if as_orientation(orientation) == 1:
        return Frame("upright")
    if declared is not None and stored != upright:
        return Frame("raw" if declared == stored else "upright")
    reason = (
        "the label file declares no size" if declared is None else f"the size {_shown(declared)} is the same in both"
    )
    return Frame(
        "upright",
        f"{film}: EXIF orientation is {orientation} and {reason}, so nothing shows whether its boxes are of the "
        "upright or the raw frame: taken as upright, look at the film",
    )


def turn_upright(box: Box, stored: Size, orientation: int | None) -> Box:
    """`box` of the raw frame in the upright frame of the film.

    Args:
        box: ``(x0, y0, x1, y1)`` in continuous 0-based pixels of the stored film.
        stored: ``(width, height)`` of the stored pixels.
        orientation: EXIF orientation, 1 to 8; anything else means upright.
    """
    orientation = as_orientation(orientation)
    width, height = stored
    x0, y0, x1, y1 = box
    # every orientation is a mirror of the raw columns, of the raw rows or of both, then for 5 to 8 a swap of x and y
    if orientation in (2, 3, 7, 8):
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 6, 7):
        y0, y1 = height - y1, height - y0
    return (y0, x0, y1, x1) if orientation in TURNED else (x0, y0, x1, y1)


def as_orientation(value: int | None) -> int:
    """`value` if it is an EXIF orientation, otherwise 1: upright."""
    return value if value in range(1, 9) and value is not None else 1


def _shown(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
