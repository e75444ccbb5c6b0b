"""How models do on odd films: each film's boxes, orientation and flags, and tables of them by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hipdet.core.boxes import Detections, as_boxes
from hipdet.core.tables import Cell, Row, markdown, number_cell, text_cell
from hipdet.data.coco_file import Film
from hipdet.evaluation.matching import HIT, evaluate_film
from hipdet.evaluation.metrics import share_interval
from hipdet.inference.detections import DetectedRoi, FilmRois
from odd.make import INVERTED, MADE_FROM, TURNED

RIGHT = 0.7  # least IoU of each hip on a film whose boxes are right
ALL = "all"
ABOUT_ORIENTATION = {"turned", "inverted"}  # flags that a film gets because it was recognised
NOTES = f"""Average IoU, acc50 (the share of hips with an IoU of {HIT:g} or more) and minimum: of as many of the best
detections as the film has hips, ROIs before candidates. False ROIs: those that hit no hip. Orientation: the share of films
whose rotation and inversion are told as they are; where nothing is turned or inverted, the share of films of which neither is
said. Flagged: the share of films with any flag, also *turned* and *inverted*, which every film has that is recognised as
such; other flags: with any but these two.

A film is wrong if a hip has an IoU below {RIGHT:g}, or if it doesn't have as many ROIs as hips. Precision: the share of
flagged films that are wrong. Recall: the share of wrong films that are flagged. Flagged though right: the share of the other
films that are flagged. Labels of stretched films are squares of the geometric mean side about the mapped centre.

[low, high]: Wilson's 95% interval, as if films, and hips in acc50, were independent."""


@dataclass(frozen=True)
class FilmScore:
    """What a model found on one odd film.

    Attributes:
        kind: Kind of the film.
        film: Its name.
        made_from: Name of the ordinary film.
        model: The model, as it was named.
        ious: IoU of each hip.
        rois: Number of ROIs.
        false_rois: Number of ROIs that hit no hip.
        flags: Flags of the film.
        turned: Degrees by which it was rotated.
        inverted: Whether it was inverted.
        orientation_right: Whether both are as they should be.
    """

    kind: str
    film: str
    made_from: str
    model: str
    ious: tuple[float, ...]
    rois: int
    false_rois: int
    flags: tuple[str, ...]
    turned: int
    inverted: bool
    orientation_right: bool

    @property
    def wrong(self) -> bool:
        """Whether somebody should look at the film: a box is wrong or missing, or there is one too many."""
        return min(self.ious) < RIGHT or self.rois != len(self.ious)


def score(kind: str, film: Film, found: FilmRois, model: str) -> FilmScore:
    """Compare what was found on `film` with its labels, both on the film as it is stored; classes must agree."""
    classes = list(dict.fromkeys(roi.label for roi in film.rois))
    truth = as_boxes([roi.box for roi in film.rois])
    labels = np.array([classes.index(roi.label) for roi in film.rois], np.int64)
    best = evaluate_film(truth, labels, in_order([*found.rois, *found.candidates], classes), len(truth))
    given = evaluate_film(truth, labels, in_order(found.rois, classes), len(found.rois))
    as_it_is = (film.extra[TURNED], film.extra[INVERTED])
    return FilmScore(
        kind=kind,
        film=film.file_name,
        made_from=film.extra[MADE_FROM],
        model=model,
        ious=tuple(roi.iou for roi in best.rois),
        rois=len(found.rois),
        false_rois=given.extra,
        flags=found.flags,
        turned=found.turned,
        inverted=found.inverted,
        orientation_right=(found.turned, found.inverted) == as_it_is,
    )


def in_order(rois: Sequence[DetectedRoi], classes: Sequence[str]) -> Detections:
    """`rois`, best first, as detections that keep this order; -1 is the label of other classes than `classes`."""
    labels = [classes.index(roi.label) if roi.label in classes else -1 for roi in rois]
    ranks = np.arange(len(rois), 0, -1, dtype=np.float64)
    return Detections(as_boxes([roi.box for roi in rois]), ranks, np.array(labels, np.int64))


def share(name: str, hits: Iterable[bool]) -> Row:
    """The share of `hits` as ``name``, with Wilson's 95% interval; all None if there is nothing to count."""
    every = [*map(bool, hits)]
    if not every:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = share_interval(sum(every), len(every))
    return {name: sum(every) / len(every), f"{name}_low": low, f"{name}_high": high}


def row_of(kind: str, films: Sequence[FilmScore]) -> Row:
    """The metrics of the films of a kind."""
    ious = [iou for film in films for iou in film.ious]
    return {
        "kind": kind,
        "films": len(films),
        "hips": len(ious),
        "avg_iou": float(np.mean(ious)),
        **share("acc50", (iou >= HIT for iou in ious)),
        "min_iou": min(ious),
        "false_per_film": float(np.mean([film.false_rois for film in films])),
        **share("orientation_right", (film.orientation_right for film in films)),
        **share("flagged", (bool(film.flags) for film in films)),
        **share("other_flags", (bool({*film.flags} - ABOUT_ORIENTATION) for film in films)),
        "wrong": sum(film.wrong for film in films),
        **share("precision", (film.wrong for film in films if film.flags)),
        **share("recall", (bool(film.flags) for film in films if film.wrong)),
        **share("flagged_though_right", (bool(film.flags) for film in films if not film.wrong)),
    }


def rows_of(films: Sequence[FilmScore]) -> list[Row]:
    """A row for each kind, in the order of `films`, and one for all films if there are several kinds."""
    kinds = list(dict.fromkeys(film.kind for film in films))
    rows = [row_of(kind, [film for film in films if film.kind == kind]) for kind in kinds]
    return rows if len(rows) == 1 else [*rows, row_of(ALL, films)]


def share_cell(key: str) -> Cell:
    """A cell such as ``0.950 [0.889, 0.978]``; empty if there is nothing to count."""

    def cell(row: Row) -> str:
        low, high = row[f"{key}_low"], row[f"{key}_high"]
        return "" if row[key] is None else f"{row[key]:.3f} [{low:.3f}, {high:.3f}]"

    return cell


def report(rows: Sequence[Row], tested: str) -> str:
    """The tables as Markdown, after `tested`, a line that says what was tested."""
    kind: dict[str, Callable[[Row], str]] = {"Films": text_cell("kind"), "Number": text_cell("films")}
    boxes = {
        **kind,
        "Hips": text_cell("hips"),
        "Average IoU": number_cell("avg_iou", 3),
        "acc50": share_cell("acc50"),
        "Minimum": number_cell("min_iou", 3),
        "False ROIs a film": number_cell("false_per_film", 2),
        "Orientation": share_cell("orientation_right"),
    }
    flags = {
        **kind,
        "Flagged": share_cell("flagged"),
        "Other flags": share_cell("other_flags"),
        "Wrong": text_cell("wrong"),
        "Precision": share_cell("precision"),
        "Recall": share_cell("recall"),
        "Flagged though right": share_cell("flagged_though_right"),
    }
    tables = f"## Boxes and orientation\n\n{markdown(boxes, rows)}\n\n## Flags\n\n{markdown(flags, rows)}"
    return f"# Odd films\n\n{tested}\n\n{tables}\n\n{NOTES}\n"


def counts_of_flags(films: Sequence[FilmScore]) -> dict[str, dict[str, int]]:
    """Number of films by kind and flag."""
    counts: dict[str, Counter[str]] = {film.kind: Counter() for film in films}
    for film in films:
        counts[film.kind].update(film.flags)
    return {kind: dict(sorted(each.items())) for kind, each in counts.items()}


def record(film: FilmScore) -> dict[str, Any]:
    """Plain values of a film for JSON."""
    plain = {**vars(film), "ious": [round(iou, 6) for iou in film.ious], "flags": list(film.flags)}
    return {**plain, "wrong": film.wrong}
