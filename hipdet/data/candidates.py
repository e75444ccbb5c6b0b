"""What the finder of a data set hands on, films that may be converted, and what the data set asks of its films and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hipdet.core.errors import DatasetError, HipdetError
from hipdet.core.stored_files import StoredFile


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


def build_exclusion(candidate: Candidate, error: HipdetError) -> Exclusion:
    """What is wrong with a film, without its name before it."""
    return Exclusion(candidate.shown, str(error).removeprefix(f"{candidate.shown}: "), candidate.other_names)


@dataclass(frozen=True)
class Found:
    """What a finder found: films to convert, films that the rules of the data set exclude, and sentences for the user.

    `mark` says whether patients are known: empty, ``unknown`` where films count as a patient each for want of knowledge, or
    ``guessed`` (see :mod:`hipdet.core.annotations`).
    """

    candidates: tuple[Candidate, ...]
    exclusions: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = ()
    mark: str = ""


HIP = "hip"


@dataclass(frozen=True)
class Rules:
    """The rules.

    Attributes:
        source: Name of the data set, which every image record carries.
        classes: Names in the order of their ids; empty to take those of the labels, sorted.
        rename: Class by the name that the labels give it.
        rois: Number of ROIs that a film must have; None for any number.
        min_side: Films whose long side has fewer pixels are excluded.
        scaled_labels: Whether labels may be of a smaller or larger copy of a film, whose declared size shows the scale.
        disagreement: What becomes of a film whose annotators differ in the number of ROIs or overlap by less than
            `min_agreement`: ``exclude`` it or take the ``first`` annotator.
        min_agreement: IoU.
        unfinished: Whether films that hipdet annotate has as incomplete or unchecked are taken.
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
        """The class of a box with this label; without one, that of a data set of one class.

        Raises:
            DatasetError: no class of the data set.
        """
        if label is None:
            if len(self.classes) == 1:
                return self.classes[0]
            raise DatasetError("box without label: name the class with --classes, or label it")
        name = self.rename.get(label, label)
        if not self.classes or name in self.classes:
            return name
        same = [known for known in self.classes if known.casefold() == name.casefold()]
        if same:
            return same[0]
        raise DatasetError(
            f"label {label!r} found, expected one of {', '.join(self.classes)}: add --rename {label!r}={self.classes[0]} "
            f"or --classes"
        )
