"""What is wrong with a data set, or likely to be: file, id, what was found, what was expected, how to mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: Short stable name, such as ``box-outside``.
        file: Name of the annotation file.
        id: Which record: ``annotation 17``, ``image 3``; empty for the file as a whole.
        film: File name of the film; empty where it plays no part.
        found: What is there.
        expected: What should be there.
        mend: What to do.
        warning: Whether it is only likely to be wrong, so that training may go on.
    """

    kind: str
    file: str
    id: str
    film: str
    found: str
    expected: str
    mend: str
    warning: bool = False

    @property
    def severity(self) -> str:
        """``error`` or ``warning``."""
        return "warning" if self.warning else "error"

    def __str__(self) -> str:
        where = f"{self.id} ({self.film})" if self.id and self.film else self.id or self.film
        return f"{self.file}: {where + ': ' if where else ''}{self.found}, expected {self.expected}: {self.mend}"

    def record(self) -> dict[str, Any]:
        """For JSON."""
        fields = asdict(self)
        del fields["warning"]
        return {"severity": self.severity, **fields}


class Faults:
    """The faults of one annotation file, in the order they are found."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Fault] = []

    def error(self, kind: str, id: str, found: str, expected: str, mend: str, film: object = "") -> None:
        """Note what training would go wrong with."""
        self._add(kind, id, found, expected, mend, film, False)

    def warn(self, kind: str, id: str, found: str, expected: str, mend: str, film: object = "") -> None:
        """Note what needs a look."""
        self._add(kind, id, found, expected, mend, film, True)

    def _add(self, kind: str, id: str, found: str, expected: str, mend: str, film: object, warning: bool) -> None:
        name = film if isinstance(film, str) else repr(film)
        self.found.append(Fault(kind, self.file, id, name, found, expected, mend, warning))
