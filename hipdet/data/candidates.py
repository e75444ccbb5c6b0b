"""What the finder of a data set returns, films that may be converted, and the rules for its films and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hipdet.core.errors import DatasetError, HipdetError
from hipdet.core.records import shown
from hipdet.core.stored_files import StoredFile


@dataclass(frozen=True)
class Candidate:
    """A film that may be converted.

    Attributes:
        file: Where it is stored.
        patient: Pseudonym, unique within the data set.
        short_name: Path without extension, after which copies are named; it reveals only the patient's pseudonym.
        other_names: Names of the film in label files, in addition to its file name.
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
        """Its name in reports: ``original`` in `extra` if the path reveals too much about the patient, otherwise the path."""
        return self.extra.get("original", self.name)


@dataclass(frozen=True, order=True)
class Exclusion:
    """A film that isn't converted, and the reason; `other_names` as for a candidate."""

    name: str
    reason: str
    other_names: tuple[str, ...] = field(default=(), compare=False)


def build_exclusion(candidate: Candidate, error: HipdetError) -> Exclusion:
    """The exclusion of a film for `error`, without the name of the film in the reason."""
    return Exclusion(candidate.shown, str(error).removeprefix(f"{candidate.shown}: "), candidate.other_names)


@dataclass(frozen=True)
class Found:
    """The result of a finder: films to convert, films that the data set's rules exclude, and notes for the user.

    `mark` says whether patients are known: empty if they are, ``unknown`` if each film is treated as a patient, or
    ``guessed`` (see :mod:`hipdet.core.annotations`).  `faults` are films and rows of tables that can't be used as they are,
    `tables` the tables that were read, by the name of their option.
    """

    candidates: tuple[Candidate, ...]
    exclusions: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = ()
    mark: str = ""
    faults: tuple[Exclusion, ...] = ()
    tables: Mapping[str, Path] = field(default_factory=dict)


HIP = "hip"


@dataclass(frozen=True)
class Rules:
    """The rules for converting a data set.

    Attributes:
        source: Name of the data set, written into every image record.
        classes: Names in the order of their ids; empty to use those of the labels, sorted.
        rename: Class name by name in the labels.
        rois: Number of ROIs that a film must have; None for any number.
        min_side: Films whose long side has fewer pixels are excluded.
        scaled_labels: Whether labels may be drawn on a smaller or larger copy of a film; the declared size gives the scale.
        disagreement: What to do with a film whose annotators differ in the number of ROIs or overlap by less than
            `min_agreement`: ``exclude`` it, or use the ``first`` annotator.
        min_agreement: Smallest IoU of two annotators' boxes of an ROI.
        unfinished: Whether to use films that are incomplete or unchecked in hipdet annotate.
    """

    source: str
    classes: tuple[str, ...] = (HIP,)
    rename: Mapping[str, str] = field(default_factory=dict)
    rois: int | None = 2
    min_side: int = 0
    scaled_labels: bool = False
    disagreement: str = "exclude"
    min_agreement: float = 0.5
    unfinished: bool = False

    def __post_init__(self) -> None:
        if self.rois is not None and self.rois < 1:
            raise DatasetError(f"rois is {self.rois}, expected at least 1, or None for any number")
        if self.disagreement not in ("exclude", "first"):
            raise DatasetError(f"disagreement is {self.disagreement!r}, expected 'exclude' or 'first'")
        if not 0 <= self.min_agreement <= 1:
            raise DatasetError(f"min_agreement is {self.min_agreement}, expected an IoU from 0 to 1")
        if len(set(self.classes)) < len(self.classes):
            raise DatasetError(f"classes are {self.classes}, expected every name once")

    def get_class(self, label: str | None) -> str:
        """The class of a box with this label; a box without label has the only class of the data set.

        Raises:
            DatasetError: the label is no class of the data set, or is missing though there are several classes.
        """
        if label is None:
            if len(self.classes) == 1:
                return self.classes[0]
            raise DatasetError(
                "box without label: label it (in a CSV, in the column label), or name the only class with --classes"
            )
        name = self.rename.get(label, label)
        if not self.classes or name in self.classes:
            return name
        same = [known for known in self.classes if known.casefold() == name.casefold()]
        if same:
            return same[0]
        raise DatasetError(
            f"label {shown(label)} found, expected one of {', '.join(self.classes)}: add --rename "
            f"{shown(label)}={self.classes[0]} or --classes"
        )
