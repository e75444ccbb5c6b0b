"""Export a trained checkpoint to an ONNX file with a model card, and compare the file with the detector."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from scipy.optimize import linear_sum_assignment

from hipdet.core.annotations import is_absence_known
from hipdet.core.boxes import as_boxes
from hipdet.core.classes import RoiCounts
from hipdet.core.errors import CheckpointError, ConfigError, DatasetError
from hipdet.core.files import replacing
from hipdet.core.records import MAX_SIDE, Record, read_json
from hipdet.evaluation.report import FOUND_CORNERS, read_report, read_roi_table
from hipdet.export.graph import ROIS, DetectorGraph
from hipdet.export.torch_model import TorchModel
from hipdet.inference.detections import FilmDetections
from hipdet.inference.onnx_model import KEY, ORIENTATION, OUTPUTS, ModelCard, OnnxModel
from hipdet.inference.presence import ValidationFilm

UNKNOWN = -1  # class of an extra detection in old tables, which don't have it
TOLERANCE = 1e-2  # px of the square; another order of operations in float32 changes boxes of 300 px by .002
SCORES = 1e-4


def write_onnx(graph: DetectorGraph, path: Path) -> None:
    """Write `graph`: inputs ``film`` (uint8) and ``extent`` (float32), outputs ``boxes``, ``scores`` and ``labels``.

    A detector with an orientation head has a fourth one, ``orientation``.
    """
    film = torch.zeros(1, 1, graph.side, graph.side, dtype=torch.uint8)
    extent = torch.full((2,), float(graph.side))
    outputs = [*OUTPUTS, *([ORIENTATION] if graph.tells_orientation else [])]
    names: Any = dict(input_names=["film", "extent"], output_names=outputs)
    with replacing(path) as temporary, torch.no_grad(), warnings.catch_warnings():
        # it warns that shapes are fixed, which is intended, and that a newer exporter is the default
        warnings.simplefilter("ignore")
        torch.onnx.export(graph, (film, extent), str(temporary), opset_version=17, dynamo=False, **names)


def validation_films(tables: Sequence[Path], annotations: Path, classes: Sequence[str] = ()) -> list[ValidationFilm]:
    """The films in ``*.roi.json`` tables of hipdet test or hipdet cross-validate.

    Args:
        tables: Tables of one model, or of the folds of a cross-validation.
        annotations: COCO file with the sizes of the films.  Where it says that it isn't known whether a film has other ROIs
            (``absent``: ``unknown``), the film's other detections are left out.
        classes: Names in the order of the model's labels (default: the order of `annotations`).

    Raises:
        DatasetError: a file is of another kind, a film isn't in `annotations`, or a class isn't in `classes`.
    """
    sizes, labels, unknown = _films_and_labels(annotations)
    labels = {name: number for number, name in enumerate(classes)} if classes else labels
    found = (film for table in tables for film in _films(table, sizes, labels, annotations))
    return [replace(film, absence_known=name not in unknown) for name, film in found]


def require_own_tables(tables: Sequence[Path], model: TorchModel) -> str:
    """Check that `tables` are of tests of `model`, or of other trainings of its config, as those of folds are.

    Their ``test_report.json`` says which config and weights they are of; reports of earlier versions don't.

    Returns:
        A warning; empty if it is known whose they all are.

    Raises:
        DatasetError: a table is of another config, or all are of the same other weights.
    """
    beside = {table: table.with_name("test_report.json") for table in tables}
    reports = {table: read_report(path) for table, path in beside.items() if path.is_file()}
    for table, report in reports.items():
        if report.get("model") not in (None, model.settings):
            raise DatasetError(
                f"{table}: measured with another config than {model.cfg.filename}: test with the config you export"
            )
    weights = {report.get("weights") for report in reports.values()}
    if len(reports) == len(tables) and len(weights) == 1 and not weights <= {None, model.weights}:
        raise DatasetError(
            f"{tables[0]}: measured with other weights: test those that you export, or give the tables of all folds"
        )
    unknown = [table for table in tables if not {"model", "weights"} <= set(reports.get(table, ()))]
    return f"{unknown[0]}: no report beside it says which model it is of: it must be of this one" if unknown else ""


def _films(
    table: Path, sizes: Mapping[str, tuple[int, int]], labels: Mapping[str, int], annotations: Path
) -> Iterator[tuple[str, ValidationFilm]]:
    content = read_roi_table(table, "image_id", "file_name", *FOUND_CORNERS)
    rois, extras = content["rois"], content["extras"]
    names = {row["image_id"]: row["file_name"] for row in rois}
    for row in extras:
        if "file_name" in row:  # old tables lack it: their extras on films without an ROI can't be used
            names.setdefault(row["image_id"], row["file_name"])
    matched = [(row, row["iou"]) for row in rois if row[FOUND_CORNERS[0]] is not None]
    found: dict[str, list[tuple[Mapping[str, Any], float]]] = {name: [] for name in names.values()}
    present: dict[str, set[int]] = {name: set() for name in found}
    for row in rois:
        present[names[row["image_id"]]].add(_label(row, labels, table))
    for row, iou in (*matched, *((row, 0.0) for row in extras)):
        if row["image_id"] in names:
            found[names[row["image_id"]]].append((row, iou))
    if missing := sorted(set(found) - set(sizes)):
        raise DatasetError(
            f"{table}: {missing[0]} isn't in {annotations}: name the COCO file of these films with --ann"
        )
    for name, pairs in found.items():
        pairs.sort(key=lambda pair: -pair[0]["confidence"])
        rows = [row for row, _ in pairs]
        detections = FilmDetections(
            as_boxes([[row[corner] for corner in FOUND_CORNERS] for row in rows]),
            np.array([row["confidence"] for row in rows], np.float64),
            np.array([_label(row, labels, table) for row in rows], np.int64),
            *sizes[name],
        )
        iou = np.array([iou for _, iou in pairs], np.float64)
        yield name, ValidationFilm(detections, iou, present=frozenset(present[name]))


def _label(row: Mapping[str, Any], labels: Mapping[str, int], path: Path) -> int:
    name = row.get("label")
    if name is None:
        return 0 if len(labels) == 1 else UNKNOWN
    if name not in labels:
        raise DatasetError(
            f"{path}: has an ROI of class {name!r}, expected one of {list(labels)}: give a table of this model"
        )
    return labels[name]


def _films_and_labels(annotations: Path) -> tuple[dict[str, tuple[int, int]], dict[str, int], set[str]]:
    """Width and height of the films of a COCO file by name, the labels of its classes, and films that may have more ROIs."""
    coco = Record.of(read_json(annotations, "a COCO file"), annotations, remedy="hipdet validate shows all faults")
    side = partial(Record.whole, low=1, high=MAX_SIDE)
    films = {film.text("file_name"): film for film in coco.records("images")}
    sizes = {name: (side(film, "width"), side(film, "height")) for name, film in films.items()}
    labels = {each.text("name"): number for number, each in enumerate(coco.records("categories"))}
    return sizes, labels, {name for name, film in films.items() if not is_absence_known(film.values)}


class Difference(NamedTuple):
    """The largest differences between two models' ROIs on a film: of a box in pixels of the film, and of a score.

    Infinite if one model lacks an ROI of a class.
    """

    box: float
    score: float


def difference(expected: FilmDetections, found: FilmDetections, counts: RoiCounts) -> Difference:
    """Pair each model's best ROIs on a film, as many as it has, with the other model's, one to one within their class.

    They are paired with all detections of the other model, as either of two with nearly equal scores may be the better one.
    """
    one_way, other_way = _one_way_difference(expected, found, counts), _one_way_difference(found, expected, counts)
    return Difference(max(one_way.box, other_way.box), max(one_way.score, other_way.score))


def _one_way_difference(of: FilmDetections, among: FilmDetections, counts: RoiCounts) -> Difference:
    best = counts.best(of.scores, of.labels)
    largest = Difference(0.0, 0.0)
    for label in np.unique(of.labels[best]):
        mine, theirs = best[of.labels[best] == label], np.flatnonzero(among.labels == label)
        if len(theirs) < len(mine):
            return Difference(float("inf"), float("inf"))
        boxes = np.abs(of.boxes[mine, None] - among.boxes[None, theirs]).max(axis=2)
        rows, columns = linear_sum_assignment(boxes)
        scores = np.abs(of.scores[mine[rows]] - among.scores[theirs[columns]])
        largest = Difference(max(largest.box, boxes[rows, columns].max()), max(largest.score, scores.max()))
    return largest


def export_model(model: TorchModel, card: ModelCard, path: Path, films: Iterable[NDArray[np.uint8]]) -> float:
    """Write `model` with `card` to `path`, if the file gives the detections of the detector's own ``predict`` on `films`.

    Args:
        model: Config and weights.
        card: Model card to store in the file.
        path: ``.onnx`` file.
        films: Films to compare on, ``[H, W]`` each.

    Returns:
        The largest difference of a box, in pixels of the square.

    Raises:
        ConfigError: the detector can't be exported, or gives fewer ROIs than the card expects.
        CheckpointError: the file's boxes, scores or classes differ; the file isn't kept.
    """
    most = max(end for _, end in card.counts.ranges)
    graph = DetectorGraph(model.detector, card.side, max(ROIS, most))
    _refuse_too_few(graph, card)
    with replacing(path) as temporary:
        write_onnx(graph, temporary)
        file = onnx.load(temporary)
        helper.set_model_props(file, {KEY: card.to_text()})
        onnx.save(file, temporary)
        exported = OnnxModel(temporary)
        counts, largest = card.counts, 0.0
        for number, film in enumerate(films, 1):
            found = difference(model.infer(model.preprocess(film)), exported.infer(exported.preprocess(film)), counts)
            box = found.box * card.side / max(film.shape)
            largest = max(largest, box)
            if not (box <= TOLERANCE and found.score <= SCORES):
                raise CheckpointError(
                    f"{path}: not written, as its boxes differ by {box:.3g} px and its scores by {found.score:.2g} from "
                    f"those of torch on film {number}, expected at most {TOLERANCE:g} px and {SCORES:g} within a class: "
                    f"please report this with the config"
                )
    return largest


def _refuse_too_few(graph: DetectorGraph, card: ModelCard) -> None:
    """Check that the model gives enough ROIs, as otherwise each film would be flagged for review.

    Raises:
        ConfigError: films have more ROIs than `graph` gives.
    """
    counts = card.counts
    fewest = [least for least, _ in counts.ranges]
    if graph.passes and not counts.together:
        for name, least in zip(counts.classes, fewest):
            if least > graph.passes[0]:
                raise ConfigError(
                    f"at least {least} ROIs of {name!r} are expected on a film, but model.passes={graph.passes} gives up to "
                    f"{graph.passes[0]} of a class: expect fewer (--rois), or set the first pass to {least} or more"
                )
    if sum(fewest) > graph.rois:
        setting = "model.passes" if graph.passes else "model.test_cfg.max_per_img"
        raise ConfigError(
            f"at least {sum(fewest)} ROIs are expected on a film, but the model gives up to {graph.rois} ({setting}): expect "
            f"fewer (--rois), or increase {setting}"
        )
