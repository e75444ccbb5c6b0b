"""Left and right: films are shown as if the patient faced the reader, so the picture's left is the patient's right.

The half of the picture that a ROI lies in says nothing: a film of one hip shows it in the middle, or at either edge.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from hipdet.boxes import as_boxes

_OTHER = {"left": "right", "right": "left"}


def patient_side(picture_side: str | None) -> str | None:
    """``left`` or ``right`` of the patient for the side of an upright AP film; None where that isn't known."""
    return _OTHER.get(picture_side or "")


def picture_side_of(patient: str | None) -> str | None:
    """The way back: on which side of an upright AP film the patient's ``left`` or ``right`` is; None where it isn't known."""
    return _OTHER.get(patient or "")


def sides_of_pairs(boxes: ArrayLike, labels: Sequence[Hashable]) -> list[str]:
    """``left`` or ``right`` in the picture for the two of a class that stand side by side; empty where that isn't known.

    Two stand side by side if the line through their centres is no steeper than 45 degrees, and neither reaches over the
    other's centre: those are one ROI, found or drawn twice.

    Args:
        boxes: ``[N, 4]`` xyxy on the upright film, in pixels.
        labels: The class of each.
    """
    boxes = as_boxes(boxes)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = [""] * len(boxes)
    for label in dict.fromkeys(labels):
        same = [number for number, each in enumerate(labels) if each == label]
        if len(same) != 2:
            continue
        left, right = sorted(same, key=lambda number: float(centres[number, 0]))
        across, down = np.abs(centres[right] - centres[left])
        widest = (boxes[same, 2] - boxes[same, 0]).max()
        if across >= down and across > widest / 2:
            sides[left], sides[right] = "left", "right"
    return sides
