"""JSON, read and looked at with suspicion."""

from __future__ import annotations

import json
import math
from pathlib import Path
from reprlib import Repr
from typing import Any

from hipdet.core.errors import DatasetError, HipdetError

MAX_SIDE = 20_000  # px; a 43 cm film at 50 um, the finest digitiser, has 8,600

_repr = Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 80
_repr.maxlevel = 2


def read_json(path: Path, expected: str, error: type[HipdetError] = DatasetError) -> Any:
    """The content of `path`.

    Args:
        path: File.
        expected: What it should be, for messages, such as ``predictions.json of hipdet predict``.
        error: What is raised.

    Raises:
        HipdetError: no such file, or one that isn't JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as fault:
        raise error(f"{path}: can't be read ({fault.strerror}), expected {expected}") from fault
    except (ValueError, RecursionError) as fault:
        raise error(f"{path}: not JSON ({fault}), expected {expected}") from fault


def shown(value: object) -> str:
    """`value` for a message: short, however large or deep it is."""
    if type(value) is int and abs(value) < 10**15:  # ids, by the hundred thousand
        return str(value)
    return _repr.repr(value)


def is_whole(value: object) -> bool:
    """Whether it is a whole number and neither true nor false."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_side(value: object) -> bool:
    """Whether it is a film's width or height: whole pixels, and not more than a radiograph can have."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_SIDE


def finite(value: object) -> float | None:
    """`value` as float, None unless it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def finite_box(bbox: object) -> tuple[float, float, float, float] | None:
    """COCO ``[x, y, width, height]``, None unless these are four finite numbers."""
    numbers = [finite(value) for value in bbox] if isinstance(bbox, list) else []
    x, y, w, h = numbers if len(numbers) == 4 else [None] * 4
    return None if x is None or y is None or w is None or h is None else (x, y, w, h)
