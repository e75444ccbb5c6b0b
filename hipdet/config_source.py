"""Settings as the source of a config, written as people write configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WIDTH = 116


class Name(str):
    """A text that is source, such as the name of a variable."""


def as_source(value: Any, indent: int = 0, used: int = 0) -> str:
    """`value` as ``dict(...)``, lists, tuples and literals; broken into lines where it is too long.

    Args:
        value: Literals, or :class:`Name`; keys of dictionaries are identifiers, or ``**`` for another one's content.
        indent: Of the line that it begins on.
        used: Characters before it on that line, the indent included.
    """
    line = _one_line(value)
    if len(line) + used <= WIDTH or not isinstance(value, (Mapping, list, tuple)) or not value:
        return line
    inner = indent + 4
    if isinstance(value, Mapping):
        items = [_equals(key) + as_source(item, inner, inner + len(_equals(key)) + 1) for key, item in value.items()]
        opening, closing = "dict(", ")"
    else:
        items = [as_source(item, inner, inner + 1) for item in value]
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
    lines = "".join(f"{' ' * inner}{item},\n" for item in items)
    return f"{opening}\n{lines}{' ' * indent}{closing}"


def _one_line(value: Any) -> str:
    if isinstance(value, Name):
        return str(value)
    if isinstance(value, Mapping):
        return f"dict({', '.join(_equals(key) + _one_line(item) for key, item in value.items())})"
    if isinstance(value, (list, tuple)):
        items = ", ".join(_one_line(item) for item in value)
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if len(value) == 1 else f"({items})"
    return repr(value)


def _equals(key: str) -> str:
    return key if key == "**" else f"{key}="
