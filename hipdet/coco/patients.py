"""Whether it is known which films are of one patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNKNOWN_PATIENTS = {"patients": "unknown"}  # in the ``info`` of a COCO file in which each film counts as a patient
UNKNOWN = "patients aren't known: each film counts as one; films of one patient may stand on both sides"


def patients_unknown(coco: Mapping[str, Any]) -> bool:
    """Whether the ``info`` of a COCO dictionary says so."""
    info = coco.get("info")
    return isinstance(info, Mapping) and UNKNOWN_PATIENTS.items() <= info.items()
