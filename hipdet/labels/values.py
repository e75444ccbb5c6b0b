"""Values of label files, checked: each function returns what it expects or raises LabelFault with what it found."""

from __future__ import annotations

import re
from reprlib import Repr
from typing import Any

from hipdet.labels.fault import LabelFault

LARGEST = 1e6  # px; no film is larger, and sums of such numbers stay finite

_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_repr = Repr()
_repr.maxstring = _repr.maxother = 60
_repr.maxlevel = 2


def shown(value: object) -> str:
    """`value` for an error message: short, however large or deep it is."""
    return _repr.repr(value)


def number(value: object, key: str) -> float:
    """`value` of JSON as float."""
    # NaN and infinity fail the comparison too
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -LARGEST <= value <= LARGEST:
        raise LabelFault(f"{key} is {shown(value)}, expected a number from {-LARGEST:.0f} to {LARGEST:.0f}")
    return float(value)


def number_in(text: str | None, key: str) -> float:
    """The number that `text` of XML, CSV or YOLO is; unlike ``float`` without ``nan``, ``inf`` and ``1_000``."""
    stripped = (text or "").strip()
    if not _DECIMAL.fullmatch(stripped):
        raise LabelFault(f"{key} is {'missing' if text is None else shown(text)}, expected a number")
    return number(float(stripped), key)


def mapping(value: object, key: str) -> dict[str, Any]:
    """`value` of JSON if it is an object."""
    if not isinstance(value, dict):
        raise LabelFault(f"{key} is {shown(value)}, expected an object {{...}}")
    return value


def sequence(value: object, key: str) -> list[Any]:
    """`value` of JSON if it is a list."""
    if not isinstance(value, list):
        raise LabelFault(f"{key} is {shown(value)}, expected a list [...]")
    return value


def field(record: dict[str, Any], key: str) -> Any:
    """``record[key]``."""
    if key not in record:
        raise LabelFault(f"{key} is missing, found {shown(sorted(map(str, record)))}")
    return record[key]


def label_name(value: object, key: str) -> str:
    """`value` if it names a class, without blanks around it."""
    if not isinstance(value, str) or not value.strip():
        raise LabelFault(f"{key} is {'missing' if value is None else shown(value)}, expected the name of a class")
    return value.strip()


def film_size(width: object, height: object) -> tuple[int, int] | None:
    """Declared ``(width, height)`` in pixels; None where one of them is None or 0, as tools write for "not known"."""
    sides = [_side(value, key) for value, key in ((width, "width"), (height, "height"))]
    return (sides[0], sides[1]) if all(sides) else None


def film_size_in(width: str | None, height: str | None) -> tuple[int, int] | None:
    """As :func:`film_size`, of texts; an empty one is None."""
    sides = [
        number_in(text, f"{key} of the film") if text and text.strip() else None
        for text, key in ((width, "width"), (height, "height"))
    ]
    return film_size(*sides)


def _side(value: object, key: str) -> int:
    if value is None:
        return 0
    side = number(value, f"{key} of the film")
    if side < 0 or side != int(side):
        raise LabelFault(f"{key} of the film is {shown(value)}, expected a whole number of pixels above 0")
    return int(side)
