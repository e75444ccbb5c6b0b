"""The regions of one Label Studio annotation to boxes in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hipdet.labels.box_shapes import Size, box_of_corners, checked_box, turned_corners
from hipdet.labels.fault import Faults, LabelFault
from hipdet.labels.record import Box, LabelBox
from hipdet.labels.values import field, film_size, label_name, mapping, number, sequence, shown

TOLERANCE = 0.01  # percent; Label Studio rounds nothing, exports through other tools do


def read_regions(
    regions: Sequence[object], rotated: str, where: tuple[str, str], faults: Faults
) -> tuple[tuple[LabelBox, ...], Size | None]:
    """The boxes among `regions` and the declared ``(width, height)`` of the film, None without boxes.

    Answers about the whole film, such as choices and texts, are passed over; regions that are no boxes are faults.
    """
    boxes: list[LabelBox] = []
    sizes: list[Size] = []
    for index, record in enumerate(regions, 1):
        place = f"{where[1]}, region {index}"
        with faults.at(where[0], place):
            region = mapping(record, "the region")
            kind = field(region, "type")
            if kind not in ("rectanglelabels", "rectangle"):
                _refuse_shapes(kind)
                continue
            value = mapping(field(region, "value"), "value")
            size = film_size(field(region, "original_width"), field(region, "original_height"))
            if size is None:
                raise LabelFault(
                    "original_width or original_height is null or 0, expected the size of the film in pixels"
                )
            if sizes and size != sizes[0]:
                raise LabelFault(f"original size is {size}, expected {sizes[0]} as before: one film has one size")
            sizes.append(size)
            boxes.append(LabelBox(_box(value, size, rotated), _label(region, value, regions), place))
    return tuple(boxes), sizes[0] if sizes else None


def _refuse_shapes(kind: object) -> None:
    shapes = ("polygon", "ellipse", "keypoint", "brush", "bitmask", "vector")
    if not isinstance(kind, str) or kind.startswith(shapes):
        raise LabelFault(f"type is {shown(kind)}, expected rectanglelabels: draw a rectangle")


def _label(region: dict[str, Any], value: dict[str, Any], regions: Sequence[object]) -> str:
    """The one label of a region: its own, or that of a separate ``Labels`` control with the same id."""
    labels = value.get("rectanglelabels", value.get("labels"))
    if labels is None and "id" in region:
        for other in regions:
            if isinstance(other, dict) and other.get("type") == "labels" and other.get("id") == region["id"]:
                labels = mapping(field(other, "value"), "value").get("labels")
    names = [] if labels is None else sequence(labels, "rectanglelabels")
    if len(names) != 1:
        raise LabelFault(f"rectanglelabels are {shown(names)}, expected one label: choose one")
    return label_name(names[0], "rectanglelabels[0]")


def _box(value: dict[str, Any], size: Size, rotated: str) -> Box:
    x, y = (_percent(value, key) * side / 100 for key, side in zip(("x", "y"), size))
    width, height = (_percent(value, key) * side / 100 for key, side in zip(("width", "height"), size))
    box = checked_box((x, y, x + width, y + height), None)
    degrees = number(value.get("rotation") or 0, "rotation")
    if degrees % 360:
        box = box_of_corners(turned_corners((x, y), width, height, degrees), rotated)
    return checked_box(box, size)


def _percent(value: dict[str, Any], key: str) -> float:
    percent = number(field(value, key), key)
    if not -TOLERANCE <= percent <= 100 + TOLERANCE:
        raise LabelFault(f"{key} is {percent:g}, expected a percentage of the film from 0 to 100: are these pixels?")
    return percent
