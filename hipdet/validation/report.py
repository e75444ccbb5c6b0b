"""Faults for people and for machines."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hipdet.validation.fault import Fault

WIDTH = 120


def table(faults: Sequence[Fault], show: int) -> str:
    """Errors, then warnings, by kind: where, then what was found, expected, and how to mend it.

    Args:
        faults: To list.
        show: At most so many of a kind; 0 for all.
    """
    count = Counter((fault.warning, fault.kind) for fault in faults)
    printed: Counter[tuple[bool, str]] = Counter()
    lines: list[str] = []
    for fault in sorted(faults, key=lambda fault: (fault.warning, fault.kind)):
        key = fault.warning, fault.kind
        printed[key] += 1
        if not show or printed[key] <= show:
            where = "  ".join(filter(None, (fault.file, fault.id, fault.film)))
            lines.append(f"{fault.severity:8} {fault.kind:18} {where}")
            text = f"found {fault.found}, expected {fault.expected}: {fault.mend}"
            lines += textwrap.wrap(text, WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9)
        if show and printed[key] == count[key] > show:
            lines.append(f"{fault.severity:8} {fault.kind:18} ... and {count[key] - show} more")
    return "\n".join(lines)


def record(files: Sequence[dict[str, Any]], faults: Sequence[Fault]) -> dict[str, Any]:
    """The report as JSON: `files` with their counts, numbers of faults by severity and kind, and each fault."""
    errors = sum(not fault.warning for fault in faults)
    return {
        "schema": 1,
        "files": list(files),
        "errors": errors,
        "warnings": len(faults) - errors,
        "kinds": dict(sorted(Counter(fault.kind for fault in faults).items())),
        "faults": [fault.record() for fault in faults],
    }
