"""Numpy's scalars as Python's numbers, which JSON and torch's safe loader take."""

from __future__ import annotations

from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """`value` with the numpy scalars in it, also within dicts, lists and tuples, as Python's numbers."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    return value
