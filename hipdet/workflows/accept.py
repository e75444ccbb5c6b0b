"""``hipdet accept``: how films differ from those that a model knows, how it does on them, and limits that suit them.

Limits of ratio and position may move, from films with labels; that of the score never does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hipdet.core.annotations import get_patients
from hipdet.core.errors import DatasetError
from hipdet.core.files import replacing, write_text
from hipdet.evaluation.metrics import Units, share_interval
from hipdet.inference import review
from hipdet.inference.detections import FilmRois
from hipdet.inference.detector import RoiDetector
from hipdet.inference.onnx_model import KEY, ModelCard
from hipdet.inference.review import ReviewLimits
from hipdet.visualization.html_page import embedded_plot, fill_page
from hipdet.visualization.plots import write_usual_ranges
from hipdet.workflows.films_elsewhere import FilmsElsewhere, compare_with_labels, detect
from hipdet.workflows.fit_metrics import RIGHT, metric_rows

FEWEST = 40  # films with labels, from which limits may move
PARTS = 5  # of these films: the limits of each part are set on the others
ENOUGH = 20  # films that are right, and values of a measure, for a range of their own
MOVABLE = ("ratio", "x", "y", "distance", "tilt")
TAILS = np.geomspace(0.1, 1e-4, 40)  # shares of the values beyond each end of a range, narrow ranges first


Counts = dict[str, tuple[int, int]]  # flagged films, of how many


@dataclass(frozen=True)
class CheckedFilm:
    """What a model found on a film.

    Attributes:
        record: Its ROIs and flags.
        values: Measures of its ROIs.
        right: Whether all boxes are right by its labels, and none is missing; None without labels.
        unit: Number of its patient, or of the film where patients aren't known.
    """

    record: FilmRois
    values: review.Measures
    right: bool | None = None
    unit: int = 0

    def flags(self, ranges: Mapping[str, review.Range]) -> set[str]:
        """Its flags, with other `ranges` of the measures that may move."""
        fixed = {*self.record.flags} - {review.FLAG_OF[name] for name in MOVABLE}
        return fixed | review.odd_measures(self.values, ranges)


def flag_counts(films: Sequence[CheckedFilm], flags: Sequence[Collection[str]]) -> Counts:
    """How many have any of `flags`, of how many: of all `films` with labels, of those that are right by them, and wrong."""
    groups = {"all": (True, False), "right": (True,), "wrong": (False,)}
    pairs = [(film.right, bool(own)) for film, own in zip(films, flags)]
    chosen = {name: [own for right, own in pairs if right in kinds] for name, kinds in groups.items()}
    return {name: (sum(each), len(each)) for name, each in chosen.items()}


def move_limits(films: Sequence[CheckedFilm], limits: ReviewLimits | None, share: float) -> tuple[ReviewLimits, Counts]:
    """Move the limits of ratio and position: to the narrowest with which at most a `share` of such films has any flag.

    The share is that of films that didn't set the limits: `films` are divided into five parts by patient, and each part is
    judged by limits from the others.  Limits that have to be so wide that they flag next to nothing aren't moved.

    Args:
        films: Films with labels; those that are right give the ranges.
        limits: Limits of the model; None if it has none, which is refused.
        share: Share of films with a flag.

    Returns:
        The limits, and the flags of films that didn't set them, as :func:`flag_counts` counts them.

    Raises:
        DatasetError: too few films or patients, too few films that are right, no limits, or a share that can't be had.
    """
    if limits is None:
        raise DatasetError("the model has no review limits that could move: hipdet export --calibrate sets them")
    units, number = np.unique([film.unit for film in films], return_inverse=True)
    right = sum(film.right is True for film in films)
    if len(films) < FEWEST or right < ENOUGH or len(units) < PARTS:
        raise DatasetError(
            f"{len(films)} confirmed films, {right} of them right, of {len(units)} patients: expected {FEWEST}, {ENOUGH} and "
            f"{PARTS} or more, so no limit is moved: confirm more films (--confirm)"
        )
    part = number % PARTS
    for tail in TAILS:
        sets = [_moved([film for film, own in zip(films, part) if own != each], limits, tail) for each in range(PARTS)]
        counts = flag_counts(films, [film.flags(sets[own].ranges) for film, own in zip(films, part)])
        if counts["all"][0] <= share * len(films):
            return _moved(films, limits, tail), counts
    raise DatasetError(
        f"a share of {share:g} can't be had: with wide limits of ratio and position {counts['all'][0]} of {len(films)} "
        "confirmed films have a flag, as other flags don't move, so no limit is moved: ask for a larger share"
    )


def _moved(films: Sequence[CheckedFilm], limits: ReviewLimits, tail: float) -> ReviewLimits:
    ranges = dict(limits.ranges)
    for name in MOVABLE:
        values = np.concatenate([film.values[name] for film in films if film.right] or [np.zeros(0)])
        if len(values) >= ENOUGH:
            ranges[name] = review.usual_range(name, values, tail)
    return replace(limits, ranges=ranges)


def write_moved(
    model: Path, card: ModelCard, films: Sequence[CheckedFilm], share: float, who: str, path: Path
) -> dict[str, Any]:
    """Move limits, see :func:`move_limits`, and write a copy of `model` with them; its card says that `who` moved them.

    Args:
        model: The model.
        card: Its card.
        films: Films, of which those with labels count.
        share: Share of films with a flag.
        who: Name of the person.
        path: The copy.

    Returns:
        ``said``, what became of it, and unless the films are too few, ``counts`` and ``ranges``.
    """
    import onnx

    confirmed = [film for film in films if film.right is not None]
    try:
        limits, counts = move_limits(confirmed, card.limits, share)
    except DatasetError as error:
        return dict(said=str(error))
    flagged = counts["all"][0] / len(confirmed)
    said = (
        f"limits of ratio and position moved on {datetime.now():%Y-%m-%d} by {who or 'unknown'}, from {len(confirmed)} "
        f"confirmed films, for a share of {share:g} with a flag; of such films that didn't set them, {flagged:.3f} have one"
    )
    content = onnx.load(model)
    card = replace(card, limits=limits, about={**card.about, "accepted": said})
    onnx.helper.set_model_props(content, {KEY: card.to_text()})
    with replacing(path) as temporary:
        onnx.save(content, temporary)
    return dict(said=f"{path.name}: {said}", counts=counts, ranges={name: limits.ranges.get(name) for name in MOVABLE})


def check_films(
    detector: RoiDetector, place: FilmsElsewhere, out: Path
) -> tuple[list[CheckedFilm], list[FilmRois], dict[str, Any] | None]:
    """Find the ROIs on all films of `place`, and compare them with labels; a run that was interrupted is carried on.

    Returns:
        The films, those that can't be read, and metrics if there are labels.

    Raises:
        DatasetError: no film that can be read, or faulty labels.
    """
    labelled = {} if place.coco is None else {image["file_name"]: image["id"] for image in place.coco["images"]}
    records = [film for _, film in detect(detector, replace(place, labels=None).sources(), out / "journal.jsonl")]
    failed = [film for film in records if film.error is not None]
    found = {film.name: film for film in records if film.error is None}
    if not found:
        raise DatasetError(f"{place.films}: none of {len(failed)} films can be read, the first: {failed[0].error}")
    metrics, right, unit_of = None, dict[str, bool](), dict[str, int]()
    if place.coco is not None:
        known = [(labelled[name], film) for name, film in found.items() if name in labelled]
        tested, coco = compare_with_labels(known, place.coco)
        wrong, metrics = tested.wrong(coco, detector.limits), tested.metrics(coco, detector.limits)
        right = {image["file_name"]: image["id"] not in wrong for image in coco["images"]}
        unit_of = dict(zip(right, Units.of([*right], get_patients([coco])).numbers.tolist()))
    values = {name: review.measures(film.upright(place.classes)) for name, film in found.items()}
    films = [CheckedFilm(found[name], values[name], right.get(name), unit_of.get(name, 0)) for name in found]
    return films, failed, metrics


def summarize(
    films: Sequence[CheckedFilm], failed: Sequence[FilmRois], found: dict[str, Any] | None, limits: ReviewLimits | None
) -> dict[str, Any]:
    """What the page says, as plain values, from what :func:`check_films` returns and the limits of the model."""
    values = {name: np.concatenate([film.values[name] for film in films]) for name in review.FLAG_OF}
    values["contrast"] = np.array([film.record.contrast for film in films if film.record.contrast is not None])
    usual = limits.ranges if limits else {}
    flags = Counter(flag for film in films for flag in film.record.flags)
    if found:
        found["counts"] = flag_counts(films, [film.record.flags for film in films])
        found["wrong"] = [(film.record.name, film.record.flags) for film in films if film.right is False]
    return dict(
        films=len(films),
        unreadable=[(film.name, film.error) for film in failed],
        flagged=sum(bool(film.record.flags) for film in films),
        flags={name: flags[name] for name in review.FLAGS if flags[name]},
        values={name: each.tolist() for name, each in values.items() if len(each)},
        usual=usual,
        beyond={name: review.is_outside(values[name], usual[name]).mean() for name in usual if len(values[name])},
        labelled=found,
    )


def write_accept_page(path: Path, title: str, card: ModelCard, metrics: Mapping[str, Any]) -> None:
    """Write the page: one HTML file that stands alone and shows no film.

    Args:
        path: HTML file.
        title: Name of the folder of films.
        card: The model's.
        metrics: As :func:`summarize` returns them, with ``moved``: None, or as :func:`write_moved` returns it, and ``model``,
            which identifies the model.
    """
    found = metrics["labelled"]
    page = fill_page(
        "accept",
        dict(interval=lambda pair: share_interval(*pair), quantiles=partial(np.quantile, q=[0.05, 0.5, 0.95])),
        css="report",
        title=title,
        card=card,
        m=metrics,
        words=review.FLAGS,
        plot=embedded_plot(partial(write_usual_ranges, values=metrics["values"], usual=metrics["usual"])),
        rows=metric_rows(found) if found and found["num_rois"] else [],
        least=RIGHT,
        few=PARTS,
    )
    write_text(path, "".join(page))
