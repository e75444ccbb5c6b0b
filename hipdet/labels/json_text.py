"""JSON of label files: strict, and without the pictures that some tools embed."""

from __future__ import annotations

import json
from typing import Any

from hipdet.labels.fault import LabelFault
from hipdet.labels.values import shown

# LabelMe's and VIA's copies of the film: patient data, never kept
PICTURE_KEYS = frozenset({"imageData", "base64_img_data"})


def parse_json(text: str) -> Any:
    """The value of `text`, without embedded pictures.

    Raises:
        LabelFault: broken or too deeply nested JSON, NaN or Infinity, or a key that stands twice in an object.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except RecursionError as error:
        raise LabelFault("nested too deeply for an annotation file: export the annotations again") from error
    except ValueError as error:  # JSONDecodeError, or a number of thousands of digits
        raise LabelFault(f"not JSON ({error}): is it cut short? Export the annotations again") from error


def _refuse_constant(name: str) -> None:
    raise LabelFault(f"{name} found, which is no JSON number: mend the boxes")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise LabelFault(f"key {shown(twice)} stands twice in an object, expected once: remove one")
    for key in PICTURE_KEYS & record.keys():
        del record[key]
    return record
