"""The paper's metrics and COCO's as mmdet metrics over the films that were evaluated; ignored boxes are not ROIs."""
# ruff: noqa: E402

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet import mmcv_lite

mmcv_lite.install()  # mmdet's packages import mmcv._ext

from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get, get_local_path
from mmengine.logging import MMLogger

from hipdet.core.annotations import KIND, UNKNOWN, VIEW, group_of, is_absence_known, is_ignored
from hipdet.core.boxes import Boxes, Detections, as_boxes, xywh_to_xyxy
from hipdet.core.classes import Counts, RoiCounts
from hipdet.core.configs import in_place
from hipdet.core.errors import ConfigError, DatasetError
from hipdet.core.records import Record, finite, parse_json, read_json, shown
from hipdet.core.spacing import read_spacing
from hipdet.evaluation.matching import FilmResult, Labelled, RoiResult, evaluate_film
from hipdet.evaluation.metrics import group_metrics, presence_metrics, summarize
from hipdet.evaluation.report import extra_rows, placement_metrics, roi_rows, write_roi_table

OTHER_FILE = (
    "give RoiMetric the ann_file of the tested films (mmdet's eval_metric takes val_evaluator also for a dump of the test "
    "set: --cfg-options val_evaluator.0.ann_file=FILE val_evaluator.1.ann_file=FILE)"
)


def same_film(path: str, name: str) -> bool:
    """Whether the shorter one of the two is the end of the longer one, compared folder by folder.

    A path begins with a data root and a prefix that the name lacks; both may contain ``..``, ``.`` or Windows separators.
    """
    one, other = (posixpath.normpath(str(each).replace("\\", "/")).split("/") for each in (path, name))
    one, other = ([part for part in parts if part not in ("", ".", "..")] for parts in (one, other))
    common = min(len(one), len(other))
    return common > 0 and one[-common:] == other[-common:]


@METRICS.register_module()
class RoiMetric(BaseMetric):
    """Mean and minimum of IoU and score, and hit rates, over ROIs: ``roi/avg_iou``, ``roi/acc50``, ...

    The ground truth is taken from the annotation file by image id, because the pipeline may have resized the samples' boxes.
    An annotation with ``iscrowd`` or ``ignore`` is not an ROI, and a detection on it is neither a hit nor extra, see
    `evaluate_film`.  The metrics don't depend on the order of films, the batch size or the number of ranks.  If there are
    several classes, each also has ``avg_iou/<class>``, ``acc50/<class>`` and ``recall/<class>``.  If labels have a ``kind``,
    or films a ``view``, each of these has metrics too, such as ``avg_iou/kind=child``; see
    :func:`hipdet.evaluation.metrics.group_metrics`.  Films with ``absent``: ``unknown`` don't count in ``false_per_film``, as
    they may have ROIs without a label.

    Labels and detections are clipped to the film.  Films whose records have a ``spacing_mm`` also have errors in mm, see
    :func:`hipdet.evaluation.report.placement_metrics`.

    Args:
        ann_file: COCO annotation file of the evaluated films, found by :func:`hipdet.core.configs.in_place`.
        rois_per_image: Number of detections taken per image by score (two hips), or per class by name, such as
            ``dict(heart=1, lung=2)``; of a range, such as ``lung=[1, 2]``, the larger number is used.
        least_score: Score from which a detection is an ROI in ``recall`` and ``false_per_film``, for all classes or for each
            by name: that of the model's review limits.  The other metrics take the best detections whatever they score.
        outfile_prefix: Where to write ``<prefix>.roi.json`` and ``<prefix>.roi.csv``, one row per ROI, worst first.

    Raises:
        ConfigError: `rois_per_image` or `least_score` has an invalid number or an unknown class.
        DatasetError: `ann_file` has no entry for a film, another film under its id, a ``spacing_mm`` that can't be one, or no
            ground truth at all.
    """

    default_prefix = "roi"

    def __init__(
        self,
        ann_file: str,
        rois_per_image: Counts = 2,
        outfile_prefix: str | None = None,
        backend_args: dict | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
        least_score: float | Mapping[str, float] = 0.0,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ann_file = ann_file = in_place(ann_file)
        self.rois_per_image = rois_per_image
        self._wanted(list(rois_per_image) if isinstance(rois_per_image, Mapping) else [])  # raises before the test
        self.least_score = least_score
        self._least(list(least_score) if isinstance(least_score, Mapping) else ["roi"])
        self.outfile_prefix = outfile_prefix
        self.coco = parse_json(get(ann_file, backend_args=backend_args), ann_file, "COCO annotations")
        self._images = {image["id"]: image for image in self.coco["images"]}
        for number, image in self._images.items():  # raises before the test
            read_spacing(Record(image, f"{ann_file}: image {number} ({shown(image.get('file_name'))})"))

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store each film's detections as numpy arrays in pixels of the film."""
        for sample in data_samples:
            self._check_film(sample["img_id"], sample.get("img_path"))
            found = sample["pred_instances"]
            detections = Detections(
                self._on_film(sample["img_id"], as_boxes(found["bboxes"].cpu().numpy())),
                found["scores"].cpu().numpy().astype(np.float64),
                found["labels"].cpu().numpy().astype(np.int64),
            )
            self.results.append((sample["img_id"], detections))

    def compute_metrics(self, results: list[tuple[int, Detections]]) -> dict[str, float]:
        """Metrics over all films; a film that a sampler repeats is used once."""
        truth, ignored, wanted = self._labelled(False), self._labelled(True), self._wanted(self._classes())
        films: dict[int, FilmResult] = {}
        for image_id, detections in sorted(dict(results).items()):
            film = evaluate_film(*truth[image_id], detections, wanted, ignored[image_id])
            films[image_id] = replace(film, absence_known=is_absence_known(self._images[image_id]))
        if not any(film.rois for film in films.values()):
            raise DatasetError(
                f"{self.ann_file}: no ground truth boxes for the {len(films)} films that were evaluated: give RoiMetric the "
                "ann_file of the test set"
            )
        classes = self._classes()
        presence = presence_metrics(list(films.values()), classes if len(classes) > 1 else (), self._least(classes))
        groups = {**self._per_class(films, truth), **self._per_group(films)}
        images, own = self._images, self._annotations(False)
        names = {category["id"]: category["name"] for category in self.coco["categories"]}
        rows = [row for i, film in films.items() for row in roi_rows(images[i], own[i], film, names)]
        metrics = {**summarize(list(films.values())), **placement_metrics(rows), **presence, **groups}
        if self.outfile_prefix is not None and is_main_process():
            self._write(films, rows, metrics)
        return metrics

    def _check_film(self, image_id: int, path: str | None) -> None:
        """Compare the names as well: ids start at 1 in most files, so the file of another data set may have them, too."""
        if image_id not in self._images:
            raise DatasetError(
                f"{self.ann_file}: no image with id {image_id}, expected that of {path or 'a tested film'}: {OTHER_FILE}"
            )
        name = self._images[image_id]["file_name"]
        if path is not None and not same_film(path, name):
            raise DatasetError(
                f"{self.ann_file}: image {image_id} is {name}, but the film that was tested as image {image_id} is {path}, "
                f"expected the same film: {OTHER_FILE}"
            )

    def _classes(self) -> list[str]:
        return list((self.dataset_meta or {}).get("classes") or [each["name"] for each in self.coco["categories"]])

    def _labels(self) -> dict[int, int]:
        """Class indices by category id, without the categories that aren't among the classes."""
        classes = self._classes()
        return {each["id"]: classes.index(each["name"]) for each in self.coco["categories"] if each["name"] in classes}

    def _wanted(self, classes: Sequence[str]) -> RoiCounts:
        return RoiCounts.of(self.rois_per_image, classes, "RoiMetric: rois_per_image")

    def _least(self, classes: Sequence[str]) -> NDArray[np.float64]:
        """The least score of each class ``[C]``."""
        given = self.least_score
        by_class = dict(given) if isinstance(given, Mapping) else dict.fromkeys(classes, given)
        scores = [finite(by_class.get(name)) for name in classes]
        if set(by_class) != set(classes) or any(score is None for score in scores):
            raise ConfigError(f"RoiMetric: least_score={given!r}, expected a score, or one for each of {list(classes)}")
        return np.array(scores, dtype=np.float64)

    def _per_class(self, films: dict[int, FilmResult], truth: dict[int, Labelled]) -> dict[str, float]:
        classes = self._classes()
        if len(classes) < 2:
            return {}
        labels = np.concatenate([truth[image_id][1] for image_id in films])
        iou = np.array([roi.iou for film in films.values() for roi in film.rois])
        of_class = {classes[label]: iou[labels == label] for label in np.unique(labels)}
        means = {f"avg_iou/{name}": float(values.mean()) for name, values in of_class.items()}
        return {**means, **{f"acc50/{name}": float((values >= 0.5).mean()) for name, values in of_class.items()}}

    def _per_group(self, films: Mapping[int, FilmResult]) -> dict[str, float]:
        """Metrics of each kind of ROI and of each view of films; of ``unknown`` where only others have one."""
        annotations, metrics = self._annotations(False), dict[str, float]()
        for key in (KIND, VIEW):
            groups: dict[str, list[tuple[FilmResult, list[RoiResult]]]] = defaultdict(list)
            for image_id, film in films.items():
                image = self._images[image_id]
                names = [group_of(each if key == KIND else image, key) for each in annotations[image_id]]
                for name in dict.fromkeys(names if key == KIND else [group_of(image, key)]):
                    groups[name].append((film, [roi for roi, own in zip(film.rois, names) if own == name]))
            for name, parts in sorted(groups.items()) if set(groups) != {UNKNOWN} else ():
                rois = [roi for _, some in parts for roi in some]
                found = group_metrics([film for film, _ in parts], rois, self._least(self._classes()))
                metrics.update((f"{metric}/{key}={name}", value) for metric, value in found.items())
        return metrics

    def _annotations(self, ignored: bool) -> dict[int, list[dict]]:
        """Annotations of the classes by image id: the ignored ones, or else the ROIs."""
        labels = self._labels()
        grouped: dict[int, list[dict]] = {image_id: [] for image_id in self._images}
        for annotation in self.coco["annotations"]:
            if annotation["category_id"] in labels and is_ignored(annotation) == ignored:
                grouped[annotation["image_id"]].append(annotation)
        return grouped

    def _labelled(self, ignored: bool) -> dict[int, Labelled]:
        """Boxes and class indices of `_annotations`, by image id."""
        index, found = self._labels(), {}
        for image_id, own in self._annotations(ignored).items():
            labels = np.array([index[each["category_id"]] for each in own], dtype=np.int64)
            found[image_id] = self._on_film(image_id, xywh_to_xyxy([each["bbox"] for each in own])), labels
        return found

    def _on_film(self, image_id: int, boxes: Boxes) -> Boxes:
        """`boxes` ``[N, 4]`` clipped to the film."""
        image = self._images[image_id]
        return boxes.clip(0, [image["width"], image["height"]] * 2)

    def _write(self, films: dict[int, FilmResult], rois: Sequence[dict], metrics: dict[str, float]) -> None:
        images, by_label = self._images, dict(enumerate(self._classes()))
        extras = [row for i, film in films.items() for row in extra_rows(images[i], film, by_label)]
        ignored = [row for i, film in films.items() for row in extra_rows(images[i], film, by_label, on_ignored=True)]
        head = dict(figures=metrics, ann_file=Path(self.ann_file).name, **({"ignored": ignored} if ignored else {}))
        write_roi_table(str(self.outfile_prefix), head, rois, extras)
        MMLogger.get_current_instance().info(f"ROI table, worst first: {self.outfile_prefix}.roi.csv")


class StrictCoco(COCO):
    """mmdet's COCO file, read as hipdet reads JSON: a byte order mark is no fault."""

    def __init__(self, annotation_file: str | None = None) -> None:
        super().__init__()
        if annotation_file is not None:
            self.dataset = read_json(Path(annotation_file), "COCO annotations")
            self.createIndex()
            self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs


@METRICS.register_module()
class RoiCocoMetric(CocoMetric):
    """``CocoMetric`` with hipdet's rules.

    * `ann_file` is looked up in the data root, see :func:`hipdet.core.configs.in_place`.
    * An annotation with ``ignore`` is treated as one with ``iscrowd``; pycocotools would treat it as any other.
    * Films of `ann_file` that weren't evaluated are skipped; mmdet would count the boxes of films that
      :class:`hipdet.engine.dataset.RoiDataset` leaves out as missed.

    For other files the metrics equal those of CocoMetric.
    """

    def __init__(self, ann_file: str | None = None, *args: Any, **kwargs: Any) -> None:
        path = None if ann_file is None else in_place(ann_file)
        strict = path is not None and not kwargs.get("sort_categories")  # mmdet sorts only what it reads itself
        super().__init__(None if strict else path, *args, **kwargs)
        if strict:
            with get_local_path(path, backend_args=self.backend_args) as local:
                self._coco_api = StrictCoco(local)
        if self._coco_api is not None:  # None if the labels are in the samples
            for annotation in self._coco_api.dataset["annotations"]:
                annotation["iscrowd"] = int(is_ignored(annotation))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Metrics over the films of `results`."""
        self.img_ids = sorted({prediction["img_id"] for _, prediction in results})
        metrics: dict[str, float] = super().compute_metrics(results)
        return metrics
