"""What a conversion writes, and what there is to tell of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hipdet.coco.film import Film
from hipdet.coco.summary import Summary
from hipdet.collection.annotators import Agreement
from hipdet.collection.candidate import Exclusion
from hipdet.collection.film_copies import Copies
from hipdet.collection.near_duplicates import NearDuplicate


@dataclass(frozen=True)
class Output:
    """Where a conversion writes and what.

    Attributes:
        data_root: What the file names of the annotations are relative to.
        annotations: Folder of the files; None for ``data_root/annotations``.
        copies: Copies to train on; None to train on the films where they lie.
        skip_faulty: Exclude films that can't be converted, with what is wrong as the reason, instead of refusing.
        near_duplicates: Decode all films and report those that are nearly the same, which then count as one patient.
    """

    data_root: Path
    annotations: Path | None = None
    copies: Copies | None = None
    skip_faulty: bool = False
    near_duplicates: bool = False

    @property
    def folder(self) -> Path:
        """Of the files."""
        return self.annotations or self.data_root / "annotations"


@dataclass(frozen=True)
class Conversion:
    """What was written and what there is to tell; `summary` is of the films before they were copied.

    Where not `patients_known`, each film counts as a patient.
    """

    path: Path
    films: list[Film]
    summary: Summary
    exclusions: tuple[Exclusion, ...]
    agreements: tuple[Agreement, ...]
    duplicates: tuple[NearDuplicate, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    patients_known: bool = True
    files: list[Path] = field(default_factory=list)


def reasons(exclusions: tuple[Exclusion, ...]) -> list[tuple[str, int]]:
    """Reasons with their number of films, the most frequent first; what differs from film to film is left out."""
    count: dict[str, int] = {}
    for exclusion in exclusions:
        reason = exclusion.reason.partition(":")[0].partition(",")[0]
        count[reason] = count.get(reason, 0) + 1
    return sorted(count.items(), key=lambda item: (-item[1], item[0]))
