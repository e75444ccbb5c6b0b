"""JSON that hipdet reads back: one strict reader, and records whose entries are checked as they are read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import Repr
from typing import Any, NoReturn, TypeVar

import numpy as np

from hipdet.core.errors import DatasetError, HipdetError

MAX_SIDE = 20_000  # px; a 43 cm film digitised at 50 um, which is the finest, has 8,600
MAX_WHOLE = 2**53  # above it, a program that reads numbers as floats takes two ids for one
MAX_BYTES = 1 << 30  # of a file; the COCO file of 60,000 films has some 30 MB
MAX_ROIS = 1000  # boxes on a film: far more than any has, and few enough to compare each with each
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HUGE = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{300}")  # how every number begins or ends that is infinite as a float

_repr = Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 80
_repr.maxlevel = 2


def shown(value: object) -> str:
    """`value` as text for a message, shortened if it is long or deep."""
    if type(value) is int and abs(value) < 10**15:  # fast, for hundreds of thousands of ids
        return str(value)
    try:
        return _repr.repr(value)
    except ValueError:  # a whole number of thousands of digits
        return f"a {type(value).__name__} of thousands of digits"


def is_whole(value: object) -> bool:
    """Whether `value` is a whole number and not a Boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_side(value: object) -> bool:
    """Whether `value` can be a film's width or height: whole pixels, at most `MAX_SIDE`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_SIDE


def finite(value: object) -> float | None:
    """`value` as float; None if it isn't a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def finite_box(bbox: object) -> tuple[float, float, float, float] | None:
    """COCO ``[x, y, width, height]`` as floats; None if `bbox` isn't a list of four finite numbers."""
    numbers = [finite(value) for value in bbox] if isinstance(bbox, list) else []
    x, y, w, h = numbers if len(numbers) == 4 else [None] * 4
    return None if x is None or y is None or w is None or h is None else (x, y, w, h)


def plain(value: Any) -> Any:
    """`value` with its numpy scalars as Python numbers, also inside dicts, lists and tuples."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    return value


def read_json(path: Path, expected: str, error: type[HipdetError] = DatasetError) -> Any:
    """The content of the JSON file `path`, see :func:`parse_json`.

    Args:
        path: File.
        expected: What the file should be, for error messages, such as ``predictions.json of hipdet predict``.
        error: Class of the error.

    Raises:
        HipdetError: no such file, not a regular one, too large, or not strict JSON.
    """
    try:
        data = bytes_of(path)
    except (OSError, ValueError) as fault:  # the latter: a path with a null character
        reason = getattr(fault, "strerror", None) or fault
        raise error(f"{path}: can't be read ({reason}), expected {expected}") from fault
    return parse_json(data, path, expected, error)


def bytes_of(path: Path) -> bytes:
    """The content of the regular file `path`.

    Raises:
        OSError: no such file, not a regular one, or one of more than :data:`MAX_BYTES`.
    """
    if path.exists() and not path.is_file():  # a pipe would wait forever
        raise OSError("not a file")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise OSError(f"{size} bytes, more than {MAX_BYTES}: make it in parts")
    return path.read_bytes()


def parse_json(data: bytes | str, where: object, expected: str, error: type[HipdetError] = DatasetError) -> Any:
    """Parse strict JSON, see :func:`strict_json`.

    Args:
        data: The text.
        where: What has it, for error messages.
        expected: What it should be, for error messages.
        error: Class of the error.

    Raises:
        HipdetError: it isn't strict JSON.
    """
    try:
        return strict_json(data)
    except ValueError as fault:
        raise error(f"{where}: {fault}, expected {expected}") from fault


class NotANumber(ValueError):
    """JSON has a NaN, an infinity or a number as large as 1e400, which none of our files may have."""


def strict_json(data: bytes | str, dropped: Collection[str] = ()) -> Any:
    """Parse strict JSON: UTF-8 with or without byte order mark, no NaN or Infinity, no key twice, no half characters.

    Args:
        data: The text.
        dropped: Keys that are left out of all objects.

    Raises:
        NotANumber: it has numbers that aren't finite.
        ValueError: it isn't strict JSON; the text says why.
    """
    try:
        data = data.encode() if isinstance(data, str) else data
        text = data.decode("utf-8-sig")
        hooks: dict[str, Any] = dict(parse_constant=_refuse_constant, object_pairs_hook=unique_keys)
        if dropped:
            hooks["object_pairs_hook"] = lambda pairs: {
                key: value for key, value in unique_keys(pairs).items() if key not in dropped
            }
        if _HUGE.search(data):  # the hook takes time
            hooks["parse_float"] = _finite_float
        content = json.loads(text, **hooks)
        if _SURROGATE.search(data):  # halves of a character; whole ones are written in two escapes, too
            json.dumps(content, ensure_ascii=False).encode()
    except (UnicodeDecodeError, UnicodeEncodeError) as fault:
        raise ValueError(f"not UTF-8 ({fault.reason})") from fault
    except RecursionError as fault:
        raise ValueError("nested too deeply") from fault
    except NotANumber:
        raise
    except ValueError as fault:  # JSONDecodeError, a number with thousands of digits, or a key that occurs twice
        raise ValueError(f"not JSON ({fault})") from fault
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise NotANumber(f"not JSON ({name} is not a number of JSON)")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotANumber(f"not JSON ({shown(text)} is too large a number)")
    return number


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The JSON object of `pairs`.

    Raises:
        ValueError: a key occurs twice.
    """
    record = dict(pairs)
    if len(record) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {shown(twice)} occurs twice in an object")
    return record


_NEEDED: Any = object()
T = TypeVar("T")


@dataclass(frozen=True)
class Record:
    """A JSON object from a file that anyone may have written.  Its entries are checked as they are read.

    Every method takes the key of an entry, raises `error` if the entry isn't what is expected, and returns `default`, if one
    is given, where there is no such entry.

    Attributes:
        values: The object.
        where: File and place, for messages.
        error: Class of the errors.
        remedy: How to fix a wrong entry, the end of messages.
    """

    values: Mapping[str, Any]
    where: str
    error: type[HipdetError] = DatasetError
    remedy: str = ""

    @classmethod
    def of(cls, value: object, where: object, error: type[HipdetError] = DatasetError, remedy: str = "") -> Record:
        """`value` as a record.

        Raises:
            HipdetError: it isn't a JSON object.
        """
        if not isinstance(value, Mapping):
            raise error(f"{where}: found {shown(value)}, expected an object{remedy and ': '}{remedy}")
        return cls(value, str(where), error, remedy)

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raise the error that the entry `key` isn't what is `expected`."""
        found = f"{key} is {shown(self.values[key])}" if key in self.values else f"no {key}"
        raise self.error(f"{self.where}: {found}, expected {expected}{self.remedy and ': '}{self.remedy}")

    def text(self, key: str, default: Any = _NEEDED, longest: int = 1000) -> Any:
        """A string of at most `longest` characters."""
        value = self.values.get(key, default)
        if (value is not default and (not isinstance(value, str) or len(value) > longest)) or value is _NEEDED:
            self.refuse(key, f"a text of at most {longest} characters")
        return value

    def number(self, key: str, low: float = -math.inf, high: float = math.inf, default: Any = _NEEDED) -> Any:
        """A finite number from `low` to `high`, as float."""
        value = self.values.get(key, default)
        if value is default and value is not _NEEDED:
            return value
        number = finite(value)
        if number is None or not low <= number <= high:
            self.refuse(key, f"a number{_span(low, high)}")
        return number

    def whole(self, key: str, low: int = -MAX_WHOLE, high: int = MAX_WHOLE, default: Any = _NEEDED) -> Any:
        """A whole number from `low` to `high`; as COCO writers differ, 7.0 is one."""
        value = self.values.get(key, default)
        if value is default and value is not _NEEDED:
            return value
        number = finite(value)
        if number is None or not number.is_integer() or not low <= number <= high:
            self.refuse(key, f"a whole number{_span(low, high)}")
        return value if is_whole(value) else int(number)

    def flag(self, key: str, default: Any = _NEEDED) -> Any:
        """True or false; COCO's 0 and 1 count, too."""
        value = self.values.get(key, default)
        if value is default and value is not _NEEDED:
            return value
        if not isinstance(value, (bool, int)) or value not in (0, 1):
            self.refuse(key, "true or false")
        return bool(value)

    def one_of(self, key: str, choices: Collection[T], default: Any = _NEEDED) -> Any:
        """One of `choices`."""
        value = self.values.get(key, default)
        if value is default and value is not _NEEDED:
            return value
        if not isinstance(value, (str, int, type(None))) or isinstance(value, bool) or value not in choices:
            self.refuse(key, f"one of {', '.join(map(repr, choices))}")
        return value

    def box(self, key: str, farthest: float = math.inf) -> tuple[float, float, float, float]:
        """Four finite numbers, none farther than `farthest` from 0."""
        box = finite_box(self.values.get(key))
        if box is None or max(map(abs, box)) > farthest:
            self.refuse(key, f"four numbers{_span(-farthest, farthest)}")
        return box

    def items(self, key: str, default: Any = _NEEDED, most: int = MAX_WHOLE) -> Any:
        """A list of at most `most` items, which aren't checked."""
        value = self.values.get(key, default)
        if value is default and value is not _NEEDED:
            return value
        if not isinstance(value, list) or len(value) > most:
            self.refuse(key, "a list" if most == MAX_WHOLE else f"a list of at most {most} items")
        return value

    def texts(self, key: str, default: Any = _NEEDED, longest: int = 1000) -> Any:
        """A list of strings, each of at most `longest` characters."""
        value = self.items(key, default)
        if value is not default and not all(isinstance(item, str) and len(item) <= longest for item in value):
            self.refuse(key, f"a list of texts of at most {longest} characters")
        return value

    def record(self, key: str) -> Record:
        """An object."""
        if not isinstance(self.values.get(key), Mapping):
            self.refuse(key, "an object")
        return Record(self.values[key], f"{self.where}: {key}", self.error, self.remedy)

    def records(self, key: str, default: Any = _NEEDED) -> list[Record]:
        """A list of objects; in messages they are numbered from 1."""
        return records(self.items(key, default), f"{self.where}: {key}", self.error, self.remedy)


def records(values: object, where: object, error: type[HipdetError] = DatasetError, remedy: str = "") -> list[Record]:
    """`values` as records; in messages they are numbered from 1.

    Raises:
        HipdetError: it isn't a list of JSON objects.
    """
    if not isinstance(values, list):
        raise error(f"{where}: found {shown(values)}, expected a list of objects{remedy and ': '}{remedy}")
    return [Record.of(value, f"{where} {number}", error, remedy) for number, value in enumerate(values, 1)]


def _span(low: float, high: float) -> str:
    if (math.isinf(high) and math.isinf(low)) or high == -low == MAX_WHOLE:
        return ""
    if math.isinf(high) or high == MAX_WHOLE:
        return f" from {low:g}"
    return f" from {low:g} to {high:g}"
