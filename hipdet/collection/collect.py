"""From films and labels to what can be trained on: matched, upright, merged, checked, every exclusion with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from hipdet.coco.film import Film, Roi
from hipdet.coco.film_status import DONE, STATUS, TAKEN, is_done, is_unfinished
from hipdet.collection.annotators import Agreement, merge_annotators, standing
from hipdet.collection.candidate import Candidate, Exclusion, Found, fault_of
from hipdet.collection.label_source import LabelSource
from hipdet.collection.match_labels import FilmIndex, match_labels
from hipdet.collection.rules import Rules
from hipdet.collection.upright_rois import upright_rois, with_sides
from hipdet.errors import DatasetError, HipdetError
from hipdet.labels import FilmLabels
from hipdet.radiograph import read_header


@dataclass(frozen=True)
class Collected:
    """What becomes of a data set.

    Attributes:
        films: To be trained or tested on, in the order of their names, each with the candidate it was.
        exclusions: Films that aren't, for a reason that lies in the rules.
        faults: Films that can't be converted as they are, and what must be mended.
        warnings: Sentences about what is likely but not sure.
        agreements: A row for each ROI that two annotators labelled.
    """

    films: tuple[tuple[Film, Candidate], ...]
    exclusions: tuple[Exclusion, ...]
    faults: tuple[Exclusion, ...]
    warnings: tuple[str, ...]
    agreements: tuple[Agreement, ...]


class _Collector:
    """Converts one film after the other and keeps what it found."""

    def __init__(self, found: Found, source: LabelSource, rules: Rules) -> None:
        self.rules = rules
        self.source = source
        self.candidates = sorted(found.candidates, key=lambda candidate: candidate.file)
        self.index = FilmIndex(self.candidates)
        self.films: list[tuple[Film, Candidate]] = []
        self.exclusions = list(found.exclusions)
        self.faults: list[Exclusion] = []
        self.warnings: list[str] = []
        self.agreements: list[Agreement] = []

    def run(self) -> Collected:
        # no name for the list: each film's labels go when it is converted
        matches = match_labels(self.source.read(self._film_size), self.index, FilmIndex(self.exclusions))
        self.faults += matches.faults
        for each in matches.without_film:
            self.exclusions.append(Exclusion(each.relative or each.name, "labelled, but there is no such film"))
        for candidate in tqdm(self.candidates, desc=f"{self.rules.source} films", unit="film", disable=None):
            try:
                exclusion = self._convert(candidate, matches.of_film.pop(candidate.name, ()))
            except HipdetError as error:
                self.faults.append(fault_of(candidate, error))
                continue
            if exclusion:
                self.exclusions.append(Exclusion(candidate.shown, exclusion))
        return Collected(
            tuple(self.films),
            tuple(sorted(set(self.exclusions))),
            tuple(self.faults),
            tuple(self.warnings),
            tuple(sorted(self.agreements, key=lambda row: (row.iou, row.film, row.first_box))),
        )

    def _convert(self, candidate: Candidate, labels: Sequence[FilmLabels]) -> str | None:
        """Convert one film; returns the reason if it is excluded."""
        name, rules = candidate.shown, self.rules
        if not labels:
            return "not labelled"
        labels, refusal = standing(labels, rules)
        if refusal:
            return refusal
        header = read_header(candidate.file.source(), name)
        width, height = header.upright[0], header.upright[1] - sum(candidate.crop)
        if max(width, height) < rules.min_side:
            return f"long side {max(width, height)} px, expected at least {rules.min_side}"
        readings: dict[str, Sequence[Roi]] = {}
        ignored: dict[Roi, None] = {}  # by any annotator
        for each in labels:
            annotator = each.annotator or ""
            if annotator in readings:
                raise DatasetError(f"{name}: labelled twice, the second time in {each.file.name}: remove one")
            upright = upright_rois(each, header, candidate, rules)
            readings[annotator] = upright.rois
            ignored.update(dict.fromkeys(upright.ignored))
            self.warnings += [upright.warning] if upright.warning else []
        merged = merge_annotators(name, readings, rules)
        self.agreements += merged.agreements
        if merged.disagreement:
            return merged.disagreement
        none = not merged.rois and all(is_done(each.remarks) for each in labels)
        if rules.rois is not None and len(merged.rois) != rules.rois and not none:
            return f"number of ROIs is {len(merged.rois)}, expected {rules.rois}"
        rois = with_sides(merged.rois) if rules.rois == 2 else merged.rois
        label_files = sorted({each.file.relative_to(self.source.root_of(each)).as_posix() for each in labels})
        extra = {**candidate.extra, "label_file": ", ".join(label_files), **_status(labels)}
        film = Film(candidate.name, width, height, rules.source, candidate.patient, rois, extra, tuple(ignored))
        self.films.append((film, candidate))
        return None

    def _film_size(self, film: str) -> tuple[int, int] | None:
        """Upright size of the film that a YOLO file means; None, which is a fault there, if there is none."""
        found = self.index.find(film)
        return read_header(found[0].file.source(), found[0].shown).upright if len(found) == 1 else None


def _status(labels: Sequence[FilmLabels]) -> dict[str, Any]:
    """For the image record: that all annotators are done, or that one isn't and the film is taken all the same."""
    unfinished = sorted(each.remarks[STATUS] for each in labels if is_unfinished(each.remarks))
    if unfinished:
        return {STATUS: unfinished[0], TAKEN: True}
    return {STATUS: DONE} if all(is_done(each.remarks) for each in labels) else {}


def collect(found: Found, source: LabelSource, rules: Rules) -> Collected:
    """Convert the films of `found` that have labels.

    Films of unreadable headers, and labels that fit no rule, are faults; the other films are converted all the same, so
    that every fault shows in one run.

    Raises:
        DatasetError: label files that can't be read.
    """
    return _Collector(found, source, rules).run()
