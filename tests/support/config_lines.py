"""A config as lines ``model.backbone.depth = 101``, sorted: those that differ say what changed.

Two configs have the same lines exactly if mmengine's ``pretty_text`` of them is the same.
"""

from collections.abc import Iterator
from typing import Any


def config_lines(settings: dict[str, Any]) -> list[str]:
    """One for every value that is no dictionary and no list of dictionaries."""
    return sorted(f"{place} = {value!r}" for place, value in _leaves(settings, ""))


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves(each, f"{place}.{key}" if place else key)
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for index, each in enumerate(value):
            yield from _leaves(each, f"{place}[{index}]")
    else:
        yield place, value
