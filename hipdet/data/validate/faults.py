"""Faults of a data set, certain or likely: file, id, what was found, what was expected, how to fix it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, NamedTuple

from hipdet.core.errors import LONGEST_LINE, one_line
from hipdet.core.records import shown


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: Short stable name, such as ``box-outside``.
        file: Name of the annotation file.
        id: Which record: ``annotation 17``, ``image 3``; empty for the file as a whole.
        film: File name of the film; empty if the fault isn't about one film.
        found: What was found.
        expected: What was expected.
        remedy: How to fix it.
        warning: Whether this is only likely to be wrong, so training may go on.
    """

    kind: str
    file: str
    id: str
    film: str
    found: str
    expected: str
    remedy: str
    warning: bool = False

    @property
    def severity(self) -> str:
        """``error`` or ``warning``."""
        return "warning" if self.warning else "error"

    def __str__(self) -> str:
        where = f"{self.id} ({self.film})" if self.id and self.film else self.id or self.film
        text = f"{self.file}: {where + ': ' if where else ''}{self.found}, expected {self.expected}: {self.remedy}"
        return one_line(text)

    def record(self) -> dict[str, Any]:
        """The fault for JSON, where the key of the remedy is ``mend``."""
        fields = asdict(self)
        del fields["warning"]
        fields["mend"] = fields.pop("remedy")
        return {"severity": self.severity, **fields}


class Faults:
    """The faults of one annotation file, in the order they are found."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Fault] = []

    def at(self, id: str = "", film: object = "") -> FaultyRecord:
        """Get the reporter for a record and its film; without `id`, for the file as a whole."""
        return FaultyRecord(self, id, film if isinstance(film, str) and len(film) <= LONGEST_LINE else shown(film))


class FaultyRecord(NamedTuple):
    """Reports the faults of one record, or of the file as a whole."""

    faults: Faults
    id: str
    film: str

    def error(self, kind: str, found: str, expected: str, remedy: str) -> None:
        """Report what would make training fail or silently go wrong."""
        self.faults.found.append(Fault(kind, self.faults.file, self.id, self.film, found, expected, remedy))

    def warn(self, kind: str, found: str, expected: str, remedy: str) -> None:
        """Report what is unlikely and should be checked."""
        self.faults.found.append(
            Fault(kind, self.faults.file, self.id, self.film, found, expected, remedy, warning=True)
        )


WIDTH = 120


def fault_table(faults: Sequence[Fault], show: int) -> str:
    """A text table of errors, then warnings, by kind: the place, then what was found, expected, and how to fix it.

    Args:
        faults: The faults to list.
        show: Largest number to list of each kind; 0 for all.
    """
    lines: list[str] = []
    for _, group in groupby(sorted(faults, key=_kind), key=_kind):
        same = list(group)
        head = f"{same[0].severity:8} {same[0].kind:18}"
        for fault in same[: show or None]:
            lines.append(one_line(f"{head} {'  '.join(filter(None, (fault.file, fault.id, fault.film)))}"))
            text = one_line(f"found {fault.found}, expected {fault.expected}: {fault.remedy}")
            lines += textwrap.wrap(text, WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9)
        if len(same) > show > 0:
            lines.append(f"{head} ... and {len(same) - show} more")
    return "\n".join(lines)


def _kind(fault: Fault) -> tuple[bool, str]:
    return fault.warning, fault.kind


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
