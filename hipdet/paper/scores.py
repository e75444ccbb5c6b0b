"""IoU and score of every ROI of a run for one trained model, and metrics of any part of the ROIs."""

from __future__ import annotations

import contextlib
import copy
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hipdet.core.annotations import as_crowd, get_patients, is_ignored
from hipdet.core.boxes import sides_of_pairs, xywh_to_xyxy
from hipdet.core.errors import DatasetError
from hipdet.evaluation.metrics import Units, bootstrap_intervals, roi_metrics
from hipdet.evaluation.report import read_roi_table

# bands of ratio_ROI/image, which is 0.10 to 0.30 in the paper
RATIO_BANDS = {
    "below 0.15": (0.0, 0.15),
    "0.15 to 0.20": (0.15, 0.20),
    "0.20 to 0.25": (0.20, 0.25),
    "from 0.25": (0.25, np.inf),
}
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """One entry per ROI ``[R]`` in the order of annotation ids, of one model or of several seeds ``[S, R]``.

    Attributes:
        iou: IoU with the matched detection, 0 without one.
        score: Score of that detection.
        image_id: Id of its film.
        data_set: Data set of its film.
        picture_side: ``left`` or ``right`` on the film, from the label or from the positions of two ROIs side by side;
            empty if it can't be told.
        ratio: Longer side of the ROI / long side of the film.
        units: Units that a bootstrap resamples; None for films.
    """

    iou: NDArray[np.float64]
    score: NDArray[np.float64]
    image_id: NDArray[np.int64]
    data_set: NDArray[np.str_]
    picture_side: NDArray[np.str_]
    ratio: NDArray[np.float64]
    units: Units | None = None

    @classmethod
    def read(cls, paths: Sequence[str | os.PathLike[str]], coco: Mapping[str, Any]) -> Scores:
        """From RoiMetric's ``test.roi.json`` of each seed on the films of `coco`.

        Raises:
            DatasetError: a table is of other films.
        """
        rois = (annotation for annotation in coco["annotations"] if not is_ignored(annotation))
        annotations = sorted(rois, key=lambda annotation: annotation["id"])
        images = {image["id"]: image for image in coco["images"]}
        films = [images[annotation["image_id"]] for annotation in annotations]
        found = []
        for path in paths:
            rows = {row["annotation_id"]: row for row in read_roi_table(Path(path), "annotation_id")["rois"]}
            if set(rows) != {annotation["id"] for annotation in annotations}:
                raise DatasetError(f"{path}: its ROIs aren't those of these films: remove it and run the test again")
            found.append([(rows[a["id"]]["iou"], rows[a["id"]]["confidence"]) for a in annotations])
        values = np.array(found, dtype=np.float64)  # [S, R, 2]
        return cls(
            iou=values[..., 0],
            score=values[..., 1],
            image_id=np.array([film["id"] for film in films]),
            data_set=np.array([film["data_set"] for film in films]),
            picture_side=np.array(_picture_sides(annotations), dtype=np.str_),
            ratio=np.array([max(a["bbox"][2:]) / max(f["width"], f["height"]) for a, f in zip(annotations, films)]),
            units=Units.of([film["file_name"] for film in films], get_patients([coco])),
        )

    def within(self, image_ids: Iterable[int]) -> Mask:
        """Mask ``[R]`` of the ROIs on these films."""
        return np.isin(self.image_id, list(image_ids))

    def metrics(self, mask: Mask) -> dict[str, Any]:
        """Metrics of the ROIs in `mask`: means over seeds (of minima the lowest), 95% intervals, and s.d. over seeds.

        ``resampled`` names what the intervals resample, patients or films.

        Raises:
            ValueError: there is no ROI.
        """
        per_seed = [roi_metrics(iou, score) for iou, score in zip(self.iou[:, mask], self.score[:, mask])]
        metrics: dict[str, Any] = {}
        for name in per_seed[0]:
            values = [found[name] for found in per_seed]
            metrics[name] = float(min(values) if name.startswith("min_") else np.mean(values))
        units = (self.units or Units.of(self.image_id.tolist())).at(mask)
        intervals = bootstrap_intervals(self.iou[:, mask], units.numbers)
        metrics["resampled"] = units.resampled
        for name, (low, high) in intervals.items():
            metrics.update({f"{name}_low": low, f"{name}_high": high})
            if len(per_seed) > 1:
                metrics[f"{name}_sd"] = float(np.std([f[name] for f in per_seed], ddof=1))
        return dict(metrics, num_images=len(set(self.image_id[mask].tolist())), seeds=len(per_seed))

    def breakdown(self, mask: Mask) -> dict[str, dict[str, Any]]:
        """Metrics of the ROIs in `mask` by data set, by picture side and by band of ratio_ROI/image."""
        names = dict.fromkeys(self.data_set[mask].tolist())
        parts: dict[str, Mask] = {f"data set {name}": self.data_set == name for name in names if len(names) > 1}
        parts.update({f"picture side {side or 'unknown'}": self.picture_side == side for side in ("left", "right", "")})
        for band, (low, high) in RATIO_BANDS.items():
            parts[f"ratio {band}"] = (low <= self.ratio) & (self.ratio < high)
        return {name: self.metrics(part & mask) for name, part in parts.items() if (part & mask).any()}


def coco_ap(
    coco: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], image_ids: Iterable[int]
) -> dict[str, float]:
    """COCO's mAP and AP50 of `detections` (COCO results) on some films of `coco`, computed by pycocotools."""
    if not detections:
        return dict(coco_map=0.0, coco_ap50=0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        # pycocotools changes the annotations, and it uses iscrowd but not ignore
        truth.dataset = dict(copy.deepcopy(dict(coco)), annotations=[as_crowd(each) for each in coco["annotations"]])
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(list(detections)), "bbox")
        evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(coco_map=float(evaluation.stats[0]), coco_ap50=float(evaluation.stats[1]))


def _picture_sides(annotations: Sequence[Mapping[str, Any]]) -> list[str]:
    films: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in annotations:
        films[annotation["image_id"]].append(annotation)
    sides = {}
    for rois in films.values():
        boxes = xywh_to_xyxy([roi["bbox"] for roi in rois])
        for roi, side in zip(rois, sides_of_pairs(boxes, [roi["category_id"] for roi in rois])):
            sides[roi["id"]] = roi.get("picture_side") or side
    return [sides[annotation["id"]] for annotation in annotations]
