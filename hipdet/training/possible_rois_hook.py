"""Nothing is trained that can't give the ROIs of its training films."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from mmdet.models.detectors import RPN, SingleStageDetector
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from hipdet.anchors.rois import Rois
from hipdet.anchors.second_look import PLANNED, REFUSED, shared_fits, square_fits
from hipdet.boxes import as_boxes
from hipdet.errors import ConfigError
from hipdet.models.refining_detector import RefiningDetector
from hipdet.training.outer_mirroring import refuse_outer_mirroring

DESIGN = "tools/design_anchors.py writes a config for these films"


@HOOKS.register_module()
class PossibleRoisHook(Hook):
    """Compares a single-stage detector with the ROIs that it is to learn: of which classes, how many, and of a
    ``RefiningDetector`` of which shapes and sizes.  Also that nothing around the data sets mirrors left and right classes.
    """

    def before_train(self, runner: Runner) -> None:
        """Look at the labels.

        Raises:
            ConfigError: classes that the detector lacks, more ROIs on a film than it gives, shapes that it can't give, or
                films that are mirrored without their classes of left and right.
        """
        model = getattr(runner.model, "module", runner.model)
        dataset = runner.train_dataloader.dataset
        refuse_outer_mirroring(dataset, runner.hooks)
        # an RPN's boxes have no class; data sets of other kinds say nothing of classes
        if not isinstance(model, SingleStageDetector) or isinstance(model, RPN) or not hasattr(dataset, "metainfo"):
            return
        rois, names = rois_of(dataset)
        faults = [*_of_classes(model, rois), *_of_numbers(model, rois, names), *_of_shapes(model, rois, REFUSED)]
        if faults:
            raise ConfigError(f"this config can't give the ROIs of its training films: {'; '.join(faults)}. {DESIGN}")
        for doubt in _of_shapes(model, rois, PLANNED):
            runner.logger.warning(f"{doubt}. {DESIGN}")


def rois_of(dataset: Any) -> tuple[Rois, list[str]]:
    """The ROIs of an mmdet data set, or of several in one, and the names of their films; ignored boxes are none."""
    records = list(_records(dataset))
    kept = [(film, each) for film, record in enumerate(records) for each in record.get("instances", ())]
    kept = [(film, each) for film, each in kept if not each.get("ignore_flag")]
    films = np.array([film for film, _ in kept], dtype=np.int64)
    sides = np.array([max(record["width"], record["height"]) for record in records], dtype=np.float64)
    boxes = as_boxes([each["bbox"] for _, each in kept]) / sides[films][:, None]
    labels = np.array([each["bbox_label"] for _, each in kept], dtype=np.int64)
    names = [str(record["img_path"]) for record in records]
    return Rois(boxes, films, labels, sides, tuple(dataset.metainfo["classes"])), names


def _records(dataset: Any) -> Iterator[Mapping[str, Any]]:
    if hasattr(dataset, "datasets"):  # ConcatDataset
        for part in dataset.datasets:
            yield from _records(part)
    elif hasattr(dataset, "dataset"):  # RepeatDataset, MultiImageMixDataset
        yield from _records(dataset.dataset)
    else:
        yield from (dataset.get_data_info(index) for index in range(len(dataset)))


def _of_classes(model: SingleStageDetector, rois: Rois) -> Iterator[str]:
    found = getattr(model.bbox_head, "num_classes", None)
    if found is not None and found != len(rois.classes):
        yield f"model.bbox_head.num_classes={found}, and the classes are {list(rois.classes)}"


def _of_numbers(model: SingleStageDetector, rois: Rois, names: Sequence[str]) -> Iterator[str]:
    passes = model.passes if isinstance(model, RefiningDetector) else ()
    for label, name in enumerate(rois.classes):
        count = np.bincount(rois.of_class(label).films, minlength=len(names))
        if passes and len(names) and count.max() > passes[0]:
            film = int(count.argmax())
            yield (
                f"model.passes={passes} gives up to {passes[0]} ROIs of a class, and {names[film]} has "
                f"{count[film]} of {name!r}: let the first be {count[film]} or more, or mend the labels of that film"
            )
    count = np.bincount(rois.films, minlength=len(names))
    most = (model.test_cfg or {}).get("max_per_img")
    if most is not None and (not passes or len(rois.classes) == 1) and len(names) and count.max() > most:
        film = int(count.argmax())
        yield f"model.test_cfg.max_per_img={most}, and {names[film]} has {count[film]} ROIs: set as many or more"


def _of_shapes(model: SingleStageDetector, rois: Rois, least: float) -> Iterator[str]:
    if not isinstance(model, RefiningDetector):
        return
    for name, fit in square_fits(rois).items() if model.passes and model.refiner.square else ():
        if fit < least:
            yield (
                f"model.refiner.square=True, and squares reach a mean IoU of {fit:.2f} with the labels of {name!r}: "
                f"set it to False"
            )
    for name, fit in shared_fits(rois).items() if model.one_size else ():
        if fit < least:
            yield (
                f"model.one_size=True, and boxes of one size on a film reach a mean IoU of {fit:.2f} with the labels of "
                f"{name!r}: set it to False"
            )
