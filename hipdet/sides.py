"""Left and right: films are shown as if the patient faced the reader, so the picture's left is the patient's right."""

from __future__ import annotations

_OTHER = {"left": "right", "right": "left"}


def patient_side(picture_side: str | None) -> str | None:
    """``left`` or ``right`` of the patient for the side of an upright AP film; None where that isn't known."""
    return _OTHER.get(picture_side or "")
