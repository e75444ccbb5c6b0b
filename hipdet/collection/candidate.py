"""What the finder of a data set hands on: a film that may be converted, and what is known of it but its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hipdet.collection.stored_file import StoredFile
from hipdet.errors import HipdetError


@dataclass(frozen=True)
class Candidate:
    """One film.

    Attributes:
        file: Where it is.
        patient: Pseudonym, unique within the data set.
        short_name: Path without extension that says nothing of the patient but the pseudonym: copies are called so.
        other_names: What label files may call it beside the name of its file.
        extra: Further fields of its image record, such as ``visit``.
        crop: Pixel rows to cut off the upright film, at the top and at the bottom.
    """

    file: StoredFile
    patient: str
    short_name: str
    other_names: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)
    crop: tuple[int, int] = (0, 0)

    @property
    def name(self) -> str:
        """Path below the root of the data set."""
        return self.file.name

    @property
    def shown(self) -> str:
        """What reports call it: the ``original`` of `extra` where the path says more of the patient than it should."""
        return self.extra.get("original", self.name)


@dataclass(frozen=True, order=True)
class Exclusion:
    """A film that isn't converted, and why; `other_names` as those of a candidate."""

    name: str
    reason: str
    other_names: tuple[str, ...] = field(default=(), compare=False)


def fault_of(candidate: Candidate, error: HipdetError) -> Exclusion:
    """What is wrong with a film, without its name before it."""
    return Exclusion(candidate.shown, str(error).removeprefix(f"{candidate.shown}: "), candidate.other_names)


@dataclass(frozen=True)
class Found:
    """What a finder found: films to convert, films that the rules of the data set exclude, and sentences for the user.

    Where not `patients_known`, films count as a patient each for want of knowledge.
    """

    candidates: tuple[Candidate, ...]
    exclusions: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = ()
    patients_known: bool = True
