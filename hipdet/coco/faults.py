"""Lists of faults as one error."""

from __future__ import annotations

from collections.abc import Sequence

from hipdet.errors import DatasetError

SHOWN = 20


def raise_faults(subject: object, faults: Sequence[str]) -> None:
    """Raise DatasetError with the number of `faults` in `subject` and the first 20 of them, if there are any."""
    if not faults:
        return
    lines = [f"{subject}: {len(faults)} fault{'s' if len(faults) > 1 else ''}", *faults[:SHOWN]]
    if len(faults) > SHOWN:
        lines.append(f"... and {len(faults) - SHOWN} more")
    raise DatasetError("\n  ".join(lines))
