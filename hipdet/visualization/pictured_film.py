"""What is drawn of a film, wherever it comes from: a test, predictions, or a data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hipdet.errors import DatasetError
from hipdet.validation.records import file_name_fault

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mark:
    """A box to draw.

    Attributes:
        box: ``(x0, y0, x1, y1)`` in pixels of the upright film.
        detected: Whether a detector drew it, and not a person.
        text: Written beside it.
    """

    box: Box
    detected: bool
    text: str = ""

    @property
    def side(self) -> float:
        """The longer side in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


@dataclass(frozen=True)
class PicturedFilm:
    """One film with its boxes.

    Attributes:
        file_name: Relative to the image root, with ``/``.
        source: Data set it comes from; empty where that isn't known.
        marks: Boxes, labels before detections.
        iou: The lowest of its ROIs; None where nothing was compared.
        score: The lowest of its detections; None without any.
        flags: Short names of what is odd about it.
        notes: Sentences that say more.
    """

    file_name: str
    source: str = ""
    marks: tuple[Mark, ...] = ()
    iou: float | None = None
    score: float | None = None
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def short_name(self) -> str:
        """File name without its folders."""
        return self.file_name.rpartition("/")[2]

    def roi_side(self) -> float:
        """Mean longer side of its ROIs in pixels: of the labels, or of the detections where there are none; 0 without."""
        labels = [mark.side for mark in self.marks if not mark.detected]
        sides = labels or [mark.side for mark in self.marks]
        return sum(sides) / len(sides) if sides else 0.0

    def path(self, root: Path) -> Path:
        """Where the film is below `root`.

        Raises:
            DatasetError: a name that leads elsewhere.
        """
        if fault := file_name_fault(self.file_name):
            raise DatasetError(f"file_name {fault}, expected a path below the data root")
        return root / self.file_name


def outcome(label: Box, found: Box | None, iou: float, score: float) -> tuple[Mark, ...]:
    """A label and the detection it was matched with, None where it wasn't found; IoU and score stand beside the label."""
    if found is None:
        return (Mark(label, False, "not found"),)
    return Mark(label, False, f"{iou:.2f} ({score:.2f})"), Mark(found, True)


def extra(found: Box, score: float) -> Mark:
    """A detection that no label was matched with."""
    return Mark(found, True, f"extra ({score:.2f})")


def ordered(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """Labels before detections, so that these are drawn over them."""
    return tuple(sorted(marks, key=lambda mark: mark.detected))
