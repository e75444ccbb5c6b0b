"""Collect a data set for training: match labels to films, turn boxes upright, merge annotators, and exclude with reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hipdet.core.annotations import LARGEST_OVERHANG, VIEW
from hipdet.core.boxes import sides_of_pairs
from hipdet.core.errors import DatasetError, HipdetError
from hipdet.core.files import name_of
from hipdet.data.annotators import Agreement, get_usable_labels, merge_annotators
from hipdet.data.candidates import Candidate, Exclusion, Found, Rules, build_exclusion
from hipdet.data.coco_file import Film, Roi
from hipdet.data.film_status import DONE, STATUS, TAKEN, is_done, is_unfinished
from hipdet.data.formats.geometry import decide_frame, turn_upright
from hipdet.data.formats.parse import FaultyLabel
from hipdet.data.formats.reader import read_labels
from hipdet.data.formats.record import FilmLabels, FilmSizes, LabelBox
from hipdet.data.match import FilmIndex, Matches, fault_exclusions, match_labels
from hipdet.radiographs.grey import RadiographHeader
from hipdet.radiographs.read import read_header

LABEL_FILE = "label_file"  # key of an image record


@dataclass(frozen=True)
class UprightRois:
    """An annotator's ROIs of a film in the upright frame, a warning, and the boxes that are neither ROI nor background."""

    rois: tuple[Roi, ...]
    warning: str | None = None
    ignored: tuple[Roi, ...] = ()


def upright_rois(labels: FilmLabels, header: RadiographHeader, candidate: Candidate, rules: Rules) -> UprightRois:
    """Convert `labels` to the upright frame, scale and crop them, and clip them to the film; see :meth:`Roi.on_film`.

    Raises:
        DatasetError: labels for another size, an unknown class, or a box outside the film.
    """
    film = candidate.shown
    scale = _scale(labels.declared, header) if rules.scaled_labels else 1.0
    declared = None if scale != 1 else labels.declared
    frame = decide_frame(film, declared, header.stored, header.upright, header.orientation)
    top, bottom = candidate.crop
    width, height = header.upright
    height -= top + bottom
    if height < 1:
        raise DatasetError(
            f"{film}: {header.upright[1]} px high, expected more than the {top} + {bottom} px to be cropped: crop less"
        )

    def upright(each: LabelBox, largest_overhang: float) -> Roi:
        x0, y0, x1, y1 = (edge * scale for edge in each.box)
        if frame.name == "raw":
            x0, y0, x1, y1 = turn_upright((x0, y0, x1, y1), header.stored, header.orientation)
        where = ", ".join(dict.fromkeys(filter(None, (labels.file.name, labels.place, each.place))))
        try:
            drawn = x0, y0 - top, x1, y1 - top
            roi = Roi(drawn, rules.get_class(each.label), each.picture_side, each.implant, each.kind)
            return _on_film(roi, width, height, largest_overhang)
        except DatasetError as error:
            raise DatasetError(f"{film}: {error} ({where})") from error

    # from left to right, regardless of the order of drawing
    rois, ignored = (
        tuple(sorted((upright(each, most) for each in boxes), key=lambda roi: (roi.box, roi.label)))
        for boxes, most in ((labels.boxes, LARGEST_OVERHANG), (labels.ignored, math.inf))
    )
    return UprightRois(rois, frame.warning if rois or ignored else None, ignored)


def with_sides(rois: tuple[Roi, ...]) -> tuple[Roi, ...]:
    """Add the side of the picture to two `rois` of a class that are side by side; a label's own side stays."""
    sides = sides_of_pairs([roi.box for roi in rois], [roi.label for roi in rois])
    return tuple(replace(roi, picture_side=roi.picture_side or side or None) for roi, side in zip(rois, sides))


def _scale(declared: tuple[int, int] | None, header: RadiographHeader) -> float:
    """Size of the film / size of the labelled copy; 1 if the declared size is missing, the film's, or of another shape."""
    if declared is None or declared in (header.stored, header.upright):
        return 1.0
    width, height = header.upright
    scale = (width + height) / sum(declared)
    # a copy's sides are rounded to whole pixels
    if max(abs(declared[0] - width / scale), abs(declared[1] - height / scale)) > 1:
        return 1.0
    return scale


def _on_film(roi: Roi, width: int, height: int, largest_overhang: float) -> Roi:
    """Clip the box of `roi` to the film.

    Raises:
        DatasetError: the box reaches too far out of the film, or less than 1 px of it is left.
    """
    x0, y0, x1, y1 = roi.box
    over = max(-x0, -y0, x1 - width, y1 - height)
    if over > largest_overhang * max(x1 - x0, y1 - y0):
        raise DatasetError(
            f"box [{x0:g}, {y0:g}, {x1:g}, {y1:g}] reaches {over:g} px out of the film of {width}x{height} upright, expected "
            f"at most {largest_overhang:g} of its side: was another film labelled, or this one rotated? If the film cuts the "
            "ROI, it is a box to ignore"
        )
    found = roi.on_film(width, height, largest_overhang)
    if found.box[2] - found.box[0] < 1 or found.box[3] - found.box[1] < 1:
        raise DatasetError(f"box [{x0:g}, {y0:g}, {x1:g}, {y1:g}] is less than 1 px wide or high: draw it again")
    return found


@dataclass(frozen=True)
class LabelSource:
    """The label files of a data set.

    Attributes:
        paths: File or folder by annotator; the name of a single annotator may be empty.
        options: Keyword arguments for :func:`hipdet.data.formats.reader.read_labels`.
        ignore: CSV table of boxes to ignore, in any form of :mod:`hipdet.data.formats.plain_csv`; None if there is none.
    """

    paths: Mapping[str, Path]
    options: Mapping[str, Any] = field(default_factory=dict)
    ignore: Path | None = None

    def read(self, film_size: FilmSizes, faulty: list[FaultyLabel] | None = None) -> list[FilmLabels]:
        """Read all labels, each with its annotator: the name in `paths` or, if that is empty, the one in the label file.

        Args:
            film_size: Size of a film by name, for YOLO.
            faulty: Gets the faults, so that they don't raise.

        Raises:
            DatasetError: as :func:`hipdet.data.formats.reader.read_labels`.
        """
        labels = []
        for annotator, path in self.paths.items():
            for film in read_labels(path, film_size=film_size, faulty=faulty, **self.options):
                labels.append(replace(film, annotator=annotator or film.annotator or ""))
        return labels

    def read_ignored(self, classes: Sequence[str], faulty: list[FaultyLabel] | None = None) -> list[FilmLabels]:
        """The films of the table of boxes to ignore; a box without a label is ignored for each of `classes`.

        Args:
            classes: Names of classes.
            faulty: Gets the faults, so that they don't raise.

        Raises:
            DatasetError: as :func:`hipdet.data.formats.reader.read_labels`.
        """
        films = read_labels(self.ignore, "csv", faulty=faulty) if self.ignore else []
        return [replace(film, boxes=(), ignored=_named(film.boxes, classes)) for film in films]

    def get_root(self, labels: FilmLabels) -> Path:
        """The folder given by the user that holds the file of `labels`."""
        for path in self.paths.values():
            if labels.file == path:
                return path.parent
            if path in labels.file.parents:
                return path
        raise DatasetError(f"{labels.file} is below none of {[str(path) for path in self.paths.values()]}")


def _named(boxes: Sequence[LabelBox], classes: Sequence[str]) -> tuple[LabelBox, ...]:
    """`boxes`, one that has no label once for each of `classes`."""
    return tuple(replace(box, label=label) for box in boxes for label in ([box.label] if box.label else classes))


def default_labels(root: Path, given: Sequence[str]) -> dict[str, Path]:
    """Label path by annotator, from arguments ``PATH`` or ``NAME=PATH``; without arguments from ``root/labels*``.

    If a folder ``labels`` holds only folders, there is one for each annotator.

    Raises:
        DatasetError: no labels, or several that don't all have a name of their own.
    """
    if given:
        named = [
            (name_of(name), path) if sign else ("", name)
            for name, sign, path in (text.partition("=") for text in given)
        ]
        annotators = {name for name, _ in named}
        if len(annotators) < len(named) or (len(named) > 1 and "" in annotators):
            raise DatasetError(
                f"labels are {' '.join(given)}, expected NAME=PATH with a different NAME for each annotator"
            )
        return {name: Path(path) for name, path in named}
    found = sorted(path for path in root.glob("labels*") if not path.name.startswith("."))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DatasetError(
            f"{root}: label files named labels or labels.*: found {names}, expected one: add --labels PATH"
        )
    inside = sorted(path for path in found[0].iterdir() if path.name[0] != ".") if found[0].is_dir() else []
    if len(inside) > 1 and all(path.is_dir() for path in inside):
        return {name_of(path.name): path for path in inside}
    return {"": found[0]}


@dataclass
class Collected:
    """The films of a data set, sorted into converted, excluded and faulty ones.

    Attributes:
        films: Films for training or testing, in the order of their names, each with its candidate.
        exclusions: Films that the rules exclude, with the reason.
        faults: Films that can't be converted as they are, with what must be fixed.
        warnings: Sentences about guesses.
        agreements: A row for each ROI that two annotators labelled, the lowest IoU first.
        labels: The names of classes that the label files use.
    """

    films: list[tuple[Film, Candidate]] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)
    faults: list[Exclusion] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)


class _Collector:
    """Converts one film after another and collects the results."""

    def __init__(self, found: Found, source: LabelSource, rules: Rules, skip_faulty: bool) -> None:
        self.rules = rules
        self.source = source
        self.skip_faulty = skip_faulty
        self.candidates = sorted(found.candidates, key=lambda candidate: candidate.file)
        self.index = FilmIndex(self.candidates)
        self.made = Collected(exclusions=list(found.exclusions), faults=list(found.faults))
        self.ignored = Matches()  # the table of boxes to ignore

    def run(self) -> Collected:
        made = self.made
        faulty: list[FaultyLabel] = []
        matches, self.ignored = self._read(faulty if self.skip_faulty else None)
        made.faults += [*matches.faults, *self.ignored.faults]
        left_out = self._leave_out(faulty)
        for found, how in ((matches, "labelled"), (self.ignored, "in the table of boxes to ignore")):
            for each in found.without_film:
                made.exclusions.append(Exclusion(each.relative or each.name, f"{how} but without a film of this name"))
        for candidate in tqdm(self.candidates, desc=f"{self.rules.source} films", unit="film", disable=None):
            if candidate.name in left_out:
                continue
            try:
                if exclusion := self._convert(candidate, matches.of_film.pop(candidate.name, ())):
                    made.exclusions.append(Exclusion(candidate.shown, exclusion))
            except HipdetError as error:
                made.faults.append(build_exclusion(candidate, error))
        made.agreements.sort(key=lambda row: (row.iou, row.film, row.first_box))
        return made

    def _read(self, faulty: list[FaultyLabel] | None) -> tuple[Matches, Matches]:
        """The labels and the boxes to ignore, by film."""
        excluded = FilmIndex([*self.made.exclusions, *self.made.faults])
        labels = self.source.read(self._film_size, faulty)
        named = {self.rules.rename.get(box.label, box.label) for film in labels for box in film.boxes if box.label}
        ignored = self.source.read_ignored(self.rules.classes or sorted(named), faulty)
        return match_labels(labels, self.index, excluded), match_labels(ignored, self.index, excluded)

    def _leave_out(self, faulty: Sequence[FaultyLabel]) -> set[str]:
        """The names of the films whose labels are `faulty`, which become faults with the first reason of each."""
        found: dict[str, Exclusion] = {}
        left_out = set()
        for fault in faulty:
            films = self.index.find(fault.film) if fault.film else []
            left_out |= {each.name for each in films}
            for each in fault_exclusions(fault, films, "faulty label"):
                found.setdefault(each.name, each)
        self.made.faults += found.values()
        return left_out

    def _convert(self, candidate: Candidate, labels: Sequence[FilmLabels]) -> str | None:
        """Convert one film; returns the reason for an exclusion, else None."""
        name, rules = candidate.shown, self.rules
        if not labels:
            return "not labelled"
        labels, refusal = get_usable_labels(labels, rules)
        if refusal:
            return refusal
        header = read_header(candidate.file.source(), name)
        width, height = header.upright[0], header.upright[1] - sum(candidate.crop)
        if max(width, height) < rules.min_side:
            return f"long side {max(width, height)} px, expected at least {rules.min_side}"
        readings: dict[str, Sequence[Roi]] = {}
        ignored: dict[Roi, None] = {}  # boxes that any annotator ignores
        for each in labels:
            annotator = each.annotator or ""
            if annotator in readings:
                raise DatasetError(f"{name}: labelled twice, the second time in {each.file.name}: remove one")
            upright = upright_rois(each, header, candidate, rules)
            self.made.labels.update(box.label for box in (*each.boxes, *each.ignored) if box.label is not None)
            readings[annotator] = upright.rois
            ignored.update(dict.fromkeys(upright.ignored))
            self.made.warnings += [upright.warning] if upright.warning else []
        for each in self.ignored.of_film.get(candidate.name, ()):
            ignored.update(dict.fromkeys(upright_rois(each, header, candidate, rules).ignored))
        merged = merge_annotators(name, readings, rules)
        self.made.agreements += merged.agreements
        if merged.disagreement:
            return merged.disagreement
        none = not merged.rois and all(is_done(each.remarks) for each in labels)
        if rules.rois is not None and len(merged.rois) != rules.rois and not none:
            return f"number of ROIs is {len(merged.rois)}, expected {rules.rois}"
        rois = tuple(roi.on_film(width, height) for roi in merged.rois)
        rois = with_sides(rois) if rules.rois == 2 else rois
        label_files = sorted({name_of(str(each.file.relative_to(self.source.get_root(each)))) for each in labels})
        extra = {**candidate.extra, LABEL_FILE: ", ".join(label_files), **_status(labels), **_view(name, labels)}
        extra.update(header.spacing.entries() if header.spacing else {})
        film = Film(candidate.name, width, height, rules.source, candidate.patient, rois, extra, tuple(ignored))
        self.made.films.append((film, candidate))
        return None

    def _film_size(self, film: str) -> tuple[int, int] | None:
        """Upright size of the film of a YOLO file; None if there is no such film, which the reader reports as a fault."""
        found = self.index.find(film)
        return read_header(found[0].file.source(), found[0].shown).upright if len(found) == 1 else None


def _status(labels: Sequence[FilmLabels]) -> dict[str, Any]:
    """Status for the image record: all annotators are done, or one isn't but the film is used anyway."""
    unfinished = sorted(each.remarks[STATUS] for each in labels if is_unfinished(each.remarks))
    if unfinished:
        return {STATUS: unfinished[0], TAKEN: True}
    return {STATUS: DONE} if all(is_done(each.remarks) for each in labels) else {}


def _view(film: str, labels: Sequence[FilmLabels]) -> dict[str, str]:
    """The view for the image record, if the labels say it.

    Raises:
        DatasetError: they say different ones.
    """
    views = sorted({each.remarks[VIEW] for each in labels if each.remarks.get(VIEW)})
    if len(views) > 1:
        raise DatasetError(f"{film}: view is {' and '.join(views)} in different label files, expected one: fix one")
    return {VIEW: views[0]} if views else {}


def collect(found: Found, source: LabelSource, rules: Rules, skip_faulty: bool = False) -> Collected:
    """Convert the films of `found` that have labels.

    Films with unreadable headers and labels that can't be used are faults; the other films are converted nevertheless, so
    that one run reports all faults.  With `skip_faulty` films whose labels are faulty in the label file are faults, too.

    Raises:
        DatasetError: label files that can't be read, or without `skip_faulty` the list of their faults.
    """
    return _Collector(found, source, rules, skip_faulty).run()
