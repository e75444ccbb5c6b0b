"""How many millimetres a film's pixels are apart, and in which plane: rays spread, so a bone is larger on the detector.

The same two entries say it in image records of COCO files, in results and in journals: ``spacing_mm`` is ``[x, y]``, the
distance of neighbouring columns and of neighbouring rows of the film as it is stored, and ``spacing_plane`` one of `PLANES`.
A film without ``spacing_mm`` has an unknown spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hipdet.core.records import Record, finite

SPACING, PLANE = "spacing_mm", "spacing_plane"  # keys
CALIBRATED = "calibrated"  # in the patient: the film says so, or its spacing is less than at the detector
CORRECTED = "corrected"  # in the patient: that at the detector, divided by the film's estimate of its magnification
DETECTOR = "detector"  # at the detector: everything is smaller in the patient than these millimetres say
UNKNOWN_PLANE = "unknown"  # the film doesn't say which
PLANES = (CALIBRATED, CORRECTED, DETECTOR, UNKNOWN_PLANE)
LEAST, LONGEST = 0.01, 2000.0  # mm of a pixel and of a film; many films that don't know their spacing say 1 mm
EXPECTED = f"[x, y] in mm: a pixel of at least {LEAST:g}, a film of at most {LONGEST:g}"
Pair = tuple[float, float]


class Spacing(NamedTuple):
    """The spacing of a film: `mm` as above, and its `plane`."""

    mm: Pair
    plane: str = UNKNOWN_PLANE

    def entries(self) -> dict[str, Any]:
        """Its entries in a record."""
        return {SPACING: list(self.mm), PLANE: self.plane}


def as_mm(value: object, size: Sequence[int] = (1, 1)) -> Pair | None:
    """`value` as ``(x, y)`` in mm, to a millionth; None if it isn't two numbers that fit a film of `size`, in pixels."""
    numbers = [finite(each) for each in value] if isinstance(value, (list, tuple)) else []
    x, y = numbers if len(numbers) == 2 else (None, None)
    if x is None or y is None or min(x, y) < LEAST or max(x * size[0], y * size[1]) >= LONGEST + 0.1:  # as rounded
        return None
    return round(x, 6), round(y, 6)


def read_spacing(record: Record) -> Spacing | None:
    """The spacing in an image record, or in a film's record of a journal, which anyone may have written; None if unknown.

    Raises:
        HipdetError: an entry isn't what :meth:`Spacing.entries` writes.
    """
    if record.values.get(SPACING) is None:
        return None
    mm = as_mm(record.values[SPACING], (record.whole("width"), record.whole("height")))
    if mm is None:
        record.refuse(SPACING, EXPECTED)
    return Spacing(mm, UNKNOWN_PLANE if record.values.get(PLANE) is None else record.one_of(PLANE, PLANES))
