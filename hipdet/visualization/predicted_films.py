"""The films of predictions in COCO results form, with or without labels to compare with."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hipdet.boxes import xywh_to_xyxy
from hipdet.coco.film_status import kind_of, left_out
from hipdet.coco.subset import subset
from hipdet.errors import DatasetError
from hipdet.validation.values import finite, finite_box, is_whole, shown
from hipdet.visualization.evaluated_films import evaluated_films
from hipdet.visualization.pictured_film import Mark, PicturedFilm

Prediction = Mapping[str, Any]


def read_predictions(path: Path) -> list[Prediction]:
    """The content of a COCO results file: ``image_id``, ``category_id``, ``bbox`` and ``score`` of each detection.

    Raises:
        DatasetError: another file, or an entry that lacks one of these.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: can't be read as JSON ({error})") from error
    if not isinstance(content, list):
        raise DatasetError(f"{path}: found a {type(content).__name__}, expected COCO results: a list of detections")
    for number, each in enumerate(content):
        if not isinstance(each, dict) or not is_whole(each.get("image_id")) or not is_whole(each.get("category_id")):
            fault = "whole numbers image_id and category_id"
        elif finite_box(each.get("bbox")) is None or min(each["bbox"][2:]) < 0:
            fault = f"a bbox [x, y, width, height] of numbers in place of {shown(each.get('bbox'))}"
        elif finite(each.get("score")) is None:
            fault = f"a score in place of {shown(each.get('score'))}"
        else:
            continue
        raise DatasetError(f"{path}: detection {number}: expected {fault}")
    return content


def predicted_films(
    predictions: Sequence[Prediction], coco: Mapping[str, Any] | None = None, rois: int = 2
) -> list[PicturedFilm]:
    """Films in the order of `coco`, else of their first detection.

    Args:
        predictions: COCO results; without `coco` each needs a ``file_name``.
        coco: Films and, where there are annotations, labels to compare with; a film that :mod:`hipdet.coco.film_status`
            leaves out is drawn without labels, and a flag says why.
        rois: Detections of a film to draw, those with the highest scores; 0 for all.

    Raises:
        DatasetError: a film without name, or one that `coco` lacks.
    """
    found: dict[int, list[Prediction]] = defaultdict(list)
    for each in predictions:
        found[each["image_id"]].append(each)
    for image_id, each_found in found.items():
        found[image_id] = sorted(each_found, key=lambda each: -each["score"])[: rois or None]
    images = _images(predictions) if coco is None else {image["id"]: image for image in coco["images"]}
    if strangers := [image_id for image_id in found if image_id not in images]:
        raise DatasetError(
            f"predictions have image_id {strangers[0]}, which the COCO file of --ann lacks: is it theirs?"
        )
    if coco is not None and coco["annotations"]:
        return _compared(images, found, coco)
    return [_film(image, found[image_id]) for image_id, image in images.items()]


def _images(predictions: Sequence[Prediction]) -> dict[int, Prediction]:
    images: dict[int, Prediction] = {}
    for each in predictions:
        images.setdefault(each["image_id"], each)
    for image_id, each in images.items():
        if not isinstance(each.get("file_name"), str):
            raise DatasetError(f"detections of image_id {image_id} have no file_name: give the COCO file with --ann")
    return images


def _film(image: Prediction, found: Sequence[Prediction]) -> PicturedFilm:
    marks = []
    for each in found:
        x0, y0, x1, y1 = xywh_to_xyxy([each["bbox"]])[0].tolist()
        marks.append(Mark((x0, y0, x1, y1), True, f"{each['score']:.2f}"))
    score = min((float(each["score"]) for each in found), default=None)
    return PicturedFilm(image["file_name"], image.get("source") or "", tuple(marks), None, score, _flags(image, found))


def _flags(image: Prediction, found: Sequence[Prediction]) -> tuple[str, ...]:
    """Of the film's record and of its detections, each once; ``nothing found`` where there is no detection."""
    flags: list[str] = [] if found else ["nothing found"]
    for each in (image, *found):
        given = each.get("flags") or ()
        flags += given.replace(",", " ").split() if isinstance(given, str) else map(str, given)
    return tuple(dict.fromkeys(flags))


def _compared(
    images: Mapping[int, Prediction], found: Mapping[int, Sequence[Prediction]], coco: Mapping[str, Any]
) -> list[PicturedFilm]:
    """Films are compared as RoiMetric does; those without label and detection are drawn as without."""
    try:
        from hipdet.visualization.compare import compared_table  # scipy is needed for no other picture
    except ImportError as error:
        raise DatasetError(f"comparing with labels needs {error.name}: pip install 'hipdet[mm]'") from error

    reasons = {image_id: reason for image_id, image in images.items() if (reason := left_out(image))}
    truth = subset(coco, [image_id for image_id in images if image_id not in reasons])
    labelled = evaluated_films(compared_table(truth, found))
    films = []
    for image_id, image in images.items():
        plain = _film(image, found.get(image_id, ()))
        if reason := reasons.get(image_id):
            plain = replace(plain, flags=(*plain.flags, kind_of(reason)), notes=(f"its labels aren't shown: {reason}",))
        film = labelled.get(image_id, plain)
        films.append(replace(film, flags=tuple(dict.fromkeys((*film.flags, *plain.flags)))))
    return films
