"""What is labelled, by whom, and why films may be left out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hipdet.errors import DatasetError

# the paper's reasons; a text of the annotator's own may follow "other: "
REASONS = ("one hip", "artefact on the hip", "child", "not a pelvis", "other")
LONGEST_REASON = 200  # characters
_NAME = re.compile(r"\w[\w.-]{0,63}")


@dataclass(frozen=True)
class Project:
    """One annotator's task.

    Attributes:
        classes: Names in the order of their ids.
        rois: Number of ROIs of a finished film; None for any from 1 up.
        free_shape: Whether boxes need not be square.
        annotator: Whose labels these are: their files are called so.
        source: Name of the data set, which every image record carries.
    """

    classes: tuple[str, ...] = ("hip",)
    rois: int | None = 2
    free_shape: bool = False
    annotator: str = "annotator"
    source: str = "folder"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.annotator):
            raise DatasetError(
                f"--annotator {self.annotator!r}: expected letters, digits, '_', '-' and '.', as it names files"
            )
        if not self.classes or not all(self.classes) or len(set(self.classes)) < len(self.classes):
            raise DatasetError(f"--classes {' '.join(self.classes)}: expected names, each once")


def is_reason(text: object) -> bool:
    """Whether `text` says why a film is left out: one of the reasons, or ``other: `` and a line of one's own."""
    if not isinstance(text, str) or len(text) > LONGEST_REASON or not text.isprintable():
        return False
    return text in REASONS or (text.startswith("other: ") and bool(text[7:].strip()))
