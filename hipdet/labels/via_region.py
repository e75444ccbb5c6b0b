"""One region of VIA: its box and its label."""

from __future__ import annotations

from typing import Any

from hipdet.labels.box_shapes import around_circle, checked_box
from hipdet.labels.fault import LabelFault
from hipdet.labels.record import Box
from hipdet.labels.values import field, number, shown


def region_box(shape: dict[str, Any]) -> Box:
    """The box of ``shape_attributes``."""
    kind = field(shape, "name")
    if kind == "rect":
        x, y, width, height = (number(field(shape, key), key) for key in ("x", "y", "width", "height"))
        return checked_box((x, y, x + width, y + height), None)
    if kind == "circle":
        x, y, radius = (number(field(shape, key), key) for key in ("cx", "cy", "r"))
        return checked_box(around_circle((x, y), radius), None)
    raise LabelFault(f"shape is {shown(kind)}, expected rect or circle: draw it again as one")


def region_label(attributes: dict[str, Any], attribute: str | None) -> str | None:
    """The label among ``region_attributes``; None where there is none.

    Raises:
        LabelFault: several attributes and none is named, or a value that isn't one name.
    """
    if attribute is None and len(attributes) > 1:
        raise LabelFault(
            f"region has the attributes {shown(sorted(attributes))}, expected one: name that of the label with attribute="
        )
    name = attribute if attribute is not None else next(iter(attributes), None)
    value = attributes.get(name) if name is not None else None
    if isinstance(value, dict):  # a checkbox: what is ticked is true
        ticked = [key for key, state in value.items() if state]
        if len(ticked) > 1:
            raise LabelFault(f"{name} has {shown(ticked)} ticked, expected one label: choose one")
        value = ticked[0] if ticked else None
    if value is not None and not isinstance(value, str):
        raise LabelFault(f"{name} is {shown(value)}, expected the name of a class")
    return (value or "").strip() or None
