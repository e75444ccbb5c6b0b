"""Nothing is trained that can't give the ROIs of its training films.

Random numbers that depend on seed, epoch and rank alone, so that a resumed run equals a straight one bit for bit.

Mirroring by what stands around a data set, which the data set itself can't see.

Prints the final table of training and testing and writes it beside the checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import Compose
from mmdet.models.detectors import RPN, SingleStageDetector
from mmdet.registry import HOOKS
from mmengine.dist import get_rank, master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from hipdet.anchors.rois import Rois
from hipdet.anchors.second_look import PLANNED, REFUSED, shared_fits, square_fits
from hipdet.core.boxes import as_boxes
from hipdet.core.errors import ConfigError
from hipdet.core.files import plain, write_json
from hipdet.core.versions import installed
from hipdet.engine.dataset import RoiDataset, seed_everything
from hipdet.engine.private import loaded_from, resumes
from hipdet.engine.transforms import mirroring_steps
from hipdet.evaluation.report import table
from hipdet.models.refining_detector import RefiningDetector
from hipdet.version import __version__

BEFORE, WITHIN, LOADING = range(3)  # streams of an epoch


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Reseeds this process and the loader's workers in every epoch: mmengine doesn't keep generator states in checkpoints.

    Workers may outlive the epoch (``persistent_workers``): `RoiDataset` tells them its seed.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """For what is loaded, if it isn't already."""
        self._seed(runner, BEFORE)
        self.before_load_epoch(runner, runner.epoch)

    def before_load_epoch(self, runner: Runner, epoch: int) -> None:
        """For what workers load, perhaps while the epoch before isn't over (`SteadyTrainLoop`)."""
        for number, dataset in enumerate(roi_datasets(runner.train_dataloader.dataset)):
            dataset.seed_workers(runner.seed, epoch, get_rank(), LOADING + number)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any | None = None) -> None:
        """For the network, at the epoch's first batch: a loader draws a number when it starts its workers, else not."""
        if batch_idx == 0:
            self._seed(runner, WITHIN)

    @staticmethod
    def _seed(runner: Runner, stream: int) -> None:
        seed_everything(runner.seed, runner.epoch, get_rank(), stream)


def roi_datasets(dataset: Any) -> Iterator[RoiDataset]:
    """The `RoiDataset` in what mmengine and mmdet wrap around data sets (``dataset``, ``datasets``)."""
    if isinstance(dataset, RoiDataset):
        yield dataset
    for inner in [getattr(dataset, "dataset", None), *getattr(dataset, "datasets", [])]:
        if inner is not None:
            yield from roi_datasets(inner)


def refuse_outer_mirroring(dataset: Any, hooks: Iterable[Any] = ()) -> None:
    """Look at the pipelines of wrappers such as ``MultiImageMixDataset``, and at those that hooks switch to.

    Args:
        dataset: That of training.
        hooks: Of the runner; mmdet's ``PipelineSwitchHook`` has a ``switch_pipeline``.

    Raises:
        ConfigError: films of a `RoiDataset` are mirrored, but not their classes of left and right.
    """
    switched = [hook.switch_pipeline for hook in hooks if getattr(hook, "switch_pipeline", None)]
    outer = [step for steps in switched for step in mirroring_steps(Compose(steps))]
    for part, steps in _parts(dataset, outer):
        if isinstance(part, RoiDataset):
            part.labels_of_mirror_images(steps)


def _parts(dataset: Any, outer: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
    """The data sets within `dataset`, each with the mirroring steps around it."""
    parts = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if parts == [None]:
        yield dataset, outer
        return
    own = [step for each in getattr(dataset, "pipeline", ()) for step in mirroring_steps(each)]
    for part in parts:
        yield from _parts(part, [*outer, *own])


DESIGN = "hipdet anchors writes a config for these films"


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


def versions() -> dict[str, str]:
    """Versions of hipdet and of what it runs on, by distribution."""
    names = ("torch", "mmengine", "mmcv", "mmcv-lite", "mmdet", "numpy")
    return {"hipdet": __version__, **dict(filter(None, (installed((name,)) for name in names)))}


@HOOKS.register_module()
class ReportHook(Hook):
    """Writes ``val_report.json`` at the end of training and ``test_report.json`` after testing into the work dir.

    Checkpoints carry the seconds of training until then, also those before an interruption (``meta.seconds``).
    """

    priority = "LOWEST"

    def __init__(self) -> None:
        self.started = time.time()
        self.validated: dict[str, float] | None = None
        self.tested_epoch: int | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the epoch of the weights: asking the runner for it would build the training set, which a tester may lack."""
        meta = checkpoint.get("meta", {})
        self.tested_epoch = meta.get("epoch")
        if resumes(runner):
            self.started = time.time() - meta.get("seconds", 0.0)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note how long training has taken."""
        checkpoint["meta"]["seconds"] = self._seconds()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the figures of the latest validation."""
        self.validated = metrics

    def after_train(self, runner: Runner) -> None:
        """Report the last validation."""
        if self.validated:
            self._report(runner, "val", self.validated, runner.epoch)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report the test."""
        if metrics:
            self._report(runner, "test", metrics, self.tested_epoch)

    def _seconds(self) -> float:
        return round(time.time() - self.started, 1)

    @master_only
    def _report(self, runner: Runner, what: str, metrics: dict[str, Any], epoch: int | None) -> None:
        path = Path(runner.work_dir) / f"{what}_report.json"
        dataset = (runner.val_dataloader if what == "val" else runner.test_dataloader).dataset
        write_json(
            path,
            dict(
                experiment=runner.experiment_name,
                ann_file=Path(dataset.ann_file).name,
                checkpoint=Path(loaded).name if (loaded := loaded_from(runner)) else None,
                epoch=epoch,
                seed=runner.seed,
                seconds=self._seconds(),
                parameters=sum(p.numel() for p in runner.model.parameters()),
                versions=versions(),
                figures=plain(metrics),
            ),
        )
        runner.logger.info(f"{Path(dataset.ann_file).name}: {table(metrics)}\nwritten to {path}")
