"""Drawn shapes to boxes ``(x0, y0, x1, y1)``, all in continuous 0-based pixels with y downwards."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hipdet.labels.fault import LabelFault
from hipdet.labels.record import Box

Point = tuple[float, float]
Size = tuple[int, int]

UPRIGHT_WITHIN = 0.5  # px; a box whose corners a turn moved by less counts as upright


def checked_box(box: Box, declared: Size | None) -> Box:
    """`box` if it has an area and touches its film; over the edge it may reach, as labelled squares do.

    Raises:
        LabelFault: no area, or wholly outside the declared ``(width, height)`` of the film.
    """
    x0, y0, x1, y1 = box
    if not (x1 > x0 and y1 > y0):
        raise LabelFault(f"box is {x1 - x0:g} px wide and {y1 - y0:g} px high, expected more than 0: draw it again")
    if declared and (x1 <= 0 or y1 <= 0 or x0 >= declared[0] or y0 >= declared[1]):
        film = f"the film of {declared[0]}x{declared[1]} px"
        raise LabelFault(f"box {_shown(box)} [x0, y0, x1, y1] is outside {film}: draw it again, or mend the size")
    return box


def enclosing(points: Sequence[Point]) -> Box:
    """The smallest upright box around `points`."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def around_circle(center: Point, radius: float) -> Box:
    """The square around a circle."""
    x, y = center
    return x - radius, y - radius, x + radius, y + radius


def turned_corners(origin: Point, width: float, height: float, degrees: float) -> list[Point]:
    """The corners of a box with a corner at `origin`, turned about it clockwise as seen, in pixels."""
    x, y = origin
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (x, y),
        (x + width * c, y + width * s),
        (x + width * c - height * s, y + width * s + height * c),
        (x - height * s, y + height * c),
    ]


def box_of_corners(corners: Sequence[Point], rotated: str) -> Box:
    """The box with these 4 corners, in any order.

    A box turned by a multiple of 90 degrees, or by so little that no corner moves half a pixel, is upright.  Any other is
    refused, or with `rotated` ``enclose`` becomes the upright box around it, which is up to twice as large.

    Raises:
        LabelFault: a turned box that is refused.
    """
    box = enclosing(corners)
    x0, y0, x1, y1 = box
    upright = all(
        any(math.dist(corner, target) <= UPRIGHT_WITHIN for corner in corners)
        for target in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    )
    if not upright and rotated != "enclose":
        raise LabelFault(
            "box is turned, expected an upright one: draw it again, or take the upright box around it with "
            "rotated='enclose'"
        )
    return box


def _shown(box: Box) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"
