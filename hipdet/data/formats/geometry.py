"""Drawn shapes to boxes ``(x0, y0, x1, y1)`` in continuous 0-based pixels, y downwards, in the upright frame of the film.

A film with an EXIF orientation has two frames: the raw frame of its stored pixels and the upright frame that viewers show.
Tools that apply the orientation (browsers, LabelMe, newer LabelImg, OpenCV) label in the upright frame, others (Pillow, older
tools) in the raw frame.  If the two sizes differ, the size that the label file declares shows which frame was used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hipdet.core.errors import DatasetError
from hipdet.data.formats.parse import LabelFault
from hipdet.data.formats.record import Box

Point = tuple[float, float]
Size = tuple[int, int]

UPRIGHT_WITHIN = 0.5  # px; a rotation that moves the corners by less than this is disregarded


def checked_box(box: Box, declared: Size | None) -> Box:
    """Return `box` if it has an area and touches its film; it may reach over the edge, as labelled squares do.

    Raises:
        LabelFault: the box has no area, or is wholly outside the declared ``(width, height)`` of the film.
    """
    x0, y0, x1, y1 = box
    if not (x1 > x0 and y1 > y0):
        raise LabelFault(f"box is {x1 - x0:g} px wide and {y1 - y0:g} px high, expected more than 0: draw it again")
    if declared and (x1 <= 0 or y1 <= 0 or x0 >= declared[0] or y0 >= declared[1]):
        raise LabelFault(
            f"box [{x0:g}, {y0:g}, {x1:g}, {y1:g}] [x0, y0, x1, y1] is outside the film of {_shown(declared)} px: draw it "
            "again, or fix the size"
        )
    return box


def enclosing(points: Sequence[Point]) -> Box:
    """The smallest axis-aligned box around `points`."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def around_circle(center: Point, radius: float) -> Box:
    """The square around a circle."""
    x, y = center
    return x - radius, y - radius, x + radius, y + radius


def turned_corners(origin: Point, width: float, height: float, degrees: float) -> list[Point]:
    """The corners, in pixels, of a box with a corner at `origin` that is rotated clockwise about that corner."""
    x, y = origin
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (x, y),
        (x + width * c, y + width * s),
        (x + width * c - height * s, y + width * s + height * c),
        (x - height * s, y + height * c),
    ]


def box_of_corners(corners: Sequence[Point], rotated: str) -> Box:
    """The axis-aligned box with these 4 corners, in any order.

    A box that is rotated by a multiple of 90 degrees, or by so little that no corner moves by half a pixel, is axis-aligned.
    Any other box is refused, or with `rotated` ``enclose`` replaced by the axis-aligned box around it, up to twice as large.

    Raises:
        LabelFault: a rotated box that is refused.
    """
    box = enclosing(corners)
    x0, y0, x1, y1 = box
    aligned = all(
        any(math.dist(corner, target) <= UPRIGHT_WITHIN for corner in corners)
        for target in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    )
    if not aligned and rotated != "enclose":
        raise LabelFault(
            "box is rotated, expected an axis-aligned one: draw it again, or take the axis-aligned box around it with "
            "rotated='enclose'"
        )
    return box


@dataclass(frozen=True)
class Frame:
    """The frame in which the boxes of a film were drawn: ``raw`` or ``upright``; `warning` says why this is a guess."""

    name: Literal["raw", "upright"]
    warning: str | None = None


def decide_frame(film: str, declared: Size | None, stored: Size, upright: Size, orientation: int | None) -> Frame:
    """Find the frame in which the boxes of `film` were drawn.

    Args:
        film: Its name, for messages.
        declared: ``(width, height)`` in the label file, or None.
        stored: ``(width, height)`` of the stored pixels.
        upright: ``(width, height)`` with EXIF orientation applied.
        orientation: EXIF orientation; None and values other than 1 to 8 mean upright, as image readers treat them.

    Returns:
        ``raw`` if the declared size is that of the raw frame only, otherwise ``upright``; with a warning if the declared size
        is missing, or is the same in both frames and so can't decide.

    Raises:
        DatasetError: the declared size fits neither frame: the film was resized, or another film was labelled.
    """
    if declared is not None and declared not in (stored, upright):
        found = f"label file says {_shown(declared)}, found {_shown(upright)} upright, {_shown(stored)} stored"
        raise DatasetError(f"{film}: {found}: label the film in this size, or use the film that was labelled")
    if as_orientation(orientation) == 1:
        return Frame("upright")
    if declared is not None and stored != upright:
        return Frame("raw" if declared == stored else "upright")
    reason = "no size is declared" if declared is None else f"the size {_shown(declared)} is the same in both frames"
    return Frame(
        "upright",
        f"{film}: EXIF orientation is {orientation} and {reason}, so it is unknown whether its boxes were drawn in the "
        "upright or the raw frame: assumed to be upright, check the film",
    )


def turn_upright(box: Box, stored: Size, orientation: int | None) -> Box:
    """Convert `box` from the raw to the upright frame of the film.

    Args:
        box: ``(x0, y0, x1, y1)`` in continuous 0-based pixels of the stored film.
        stored: ``(width, height)`` of the stored pixels.
        orientation: EXIF orientation, 1 to 8; anything else means upright.
    """
    orientation = as_orientation(orientation)
    width, height = stored
    x0, y0, x1, y1 = box
    # each orientation mirrors the raw columns, the raw rows, both or neither; 5 to 8 then swap x and y
    if orientation in (2, 3, 7, 8):
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 6, 7):
        y0, y1 = height - y1, height - y0
    return (y0, x0, y1, x1) if orientation >= 5 else (x0, y0, x1, y1)


def as_orientation(value: int | None) -> int:
    """`value` if it is a valid EXIF orientation, otherwise 1: upright."""
    return value if value in range(1, 9) and value is not None else 1


def _shown(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
