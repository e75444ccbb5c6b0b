"""Hooks for training and testing: seeds for each epoch, a check of the ROIs before training, and the final report."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
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
from hipdet.core.files import write_json
from hipdet.core.records import plain
from hipdet.core.versions import REQUIREMENTS, installed
from hipdet.data.copies import film_digest
from hipdet.engine.checkpoint import model_fingerprint, weights_fingerprint
from hipdet.engine.dataset import RoiDataset, seed_everything
from hipdet.engine.private import loaded_from, resumes, trains
from hipdet.engine.transforms import mirroring_steps
from hipdet.evaluation.report import metrics_table
from hipdet.models.refining_detector import RefiningDetector
from hipdet.version import __version__

BEFORE, WITHIN, LOADING = range(3)  # streams of random numbers in an epoch
DESIGN = "hipdet anchors writes a config for these films"


def iter_parts(dataset: Any, outer: Sequence[Any] = ()) -> Iterator[tuple[Any, Sequence[Any]]]:
    """The data sets inside the wrappers of mmengine and mmdet (``dataset``, ``datasets``).

    Each comes with the outer steps that mirror films, which it can't see itself: those of wrappers such as
    ``MultiImageMixDataset``, and `outer`.
    """
    parts = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if parts == [None]:
        yield dataset, outer
        return
    own = [step for each in getattr(dataset, "pipeline", ()) for step in mirroring_steps(each)]
    for part in parts:
        yield from iter_parts(part, [*outer, *own])


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Reseeds this process and the loader's workers in every epoch: mmengine doesn't keep generator states in checkpoints.

    Random numbers depend only on seed, epoch and rank, so a resumed run equals an uninterrupted one bit for bit.

    Workers may outlive the epoch (``persistent_workers``), so `RoiDataset` passes the new seed on to them.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed this process, and the loading of this epoch unless it has started already."""
        seed_everything(runner.seed, runner.epoch, get_rank(), BEFORE)
        self.before_load_epoch(runner, runner.epoch)

    def before_load_epoch(self, runner: Runner, epoch: int) -> None:
        """Seed what workers load, perhaps before the previous epoch is over (`SteadyTrainLoop`)."""
        datasets = [part for part, _ in iter_parts(runner.train_dataloader.dataset) if isinstance(part, RoiDataset)]
        for number, dataset in enumerate(datasets):
            dataset.seed_workers(runner.seed, epoch, get_rank(), LOADING + number)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any | None = None) -> None:
        """Seed the network, at the epoch's first batch: a loader draws a random number if it starts its workers."""
        if batch_idx == 0:
            seed_everything(runner.seed, runner.epoch, get_rank(), WITHIN)


@HOOKS.register_module()
class PossibleRoisHook(Hook):
    """Checks that a single-stage detector can give the classes and the number of ROIs that it is to learn.

    For a ``RefiningDetector``, also their shapes and sizes.  No wrapper may mirror films without swapping left and right.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the labels.

        Raises:
            ConfigError: the detector lacks classes, gives fewer ROIs than a film has or can't give their shapes, or films
                are mirrored without their classes of left and right.
        """
        model = getattr(runner.model, "module", runner.model)
        dataset = runner.train_dataloader.dataset
        # mmdet's PipelineSwitchHook
        switched = [hook.switch_pipeline for hook in runner.hooks if getattr(hook, "switch_pipeline", None)]
        outer = [step for steps in switched for step in mirroring_steps(Compose(steps))]
        for part, around in iter_parts(dataset, outer):
            if isinstance(part, RoiDataset):
                part.labels_of_mirror_images(around)
        # an RPN's boxes have no class; other kinds of data sets don't name their classes
        if not isinstance(model, SingleStageDetector) or isinstance(model, RPN) or not hasattr(dataset, "metainfo"):
            return
        rois, names = get_rois(dataset)
        faults = [*_find_count_faults(model, rois, names), *_find_shape_faults(model, rois, REFUSED)]
        if faults:
            raise ConfigError(f"this config can't give the ROIs of its training films: {'; '.join(faults)}. {DESIGN}")
        for doubt in _find_shape_faults(model, rois, PLANNED):
            runner.logger.warning(f"{doubt}. {DESIGN}")


def get_rois(dataset: Any) -> tuple[Rois, list[str]]:
    """The ROIs of an mmdet data set (or several in one) without ignored boxes, and the names of the films."""
    records = [part.get_data_info(index) for part, _ in iter_parts(dataset) for index in range(len(part))]
    kept = [(film, each) for film, record in enumerate(records) for each in record.get("instances", ())]
    kept = [(film, each) for film, each in kept if not each.get("ignore_flag")]
    films = np.array([film for film, _ in kept], dtype=np.int64)
    sides = np.array([max(record["width"], record["height"]) for record in records], dtype=np.float64)
    boxes = as_boxes([each["bbox"] for _, each in kept]) / sides[films][:, None]
    labels = np.array([each["bbox_label"] for _, each in kept], dtype=np.int64)
    names = [str(record["img_path"]) for record in records]
    return Rois(boxes, films, labels, sides, tuple(dataset.metainfo["classes"])), names


def _find_count_faults(model: SingleStageDetector, rois: Rois, names: Sequence[str]) -> Iterator[str]:
    classes = getattr(model.bbox_head, "num_classes", None)
    if classes is not None and classes != len(rois.classes):
        yield f"model.bbox_head.num_classes={classes}, but the classes are {list(rois.classes)}"
    passes = model.passes if isinstance(model, RefiningDetector) else ()
    for label, name in enumerate(rois.classes if passes else ()):
        count, film = _fullest(rois.of_class(label))
        if count > passes[0]:
            yield (
                f"model.passes={passes} gives up to {passes[0]} ROIs of a class, but {names[film]} has "
                f"{count} of {name!r}: set the first pass to {count} or more, or fix the labels of that film"
            )
    count, film = _fullest(rois)
    most = (model.test_cfg or {}).get("max_per_img")
    if most is not None and (not passes or len(rois.classes) == 1) and count > most:
        yield f"model.test_cfg.max_per_img={most}, but {names[film]} has {count} ROIs: set it to {count} or more"


def _fullest(rois: Rois) -> tuple[int, int]:
    """The largest number of ROIs on a film, and that film; both 0 without ROIs."""
    count = np.bincount(rois.films, minlength=1)
    return int(count.max()), int(count.argmax())


def _find_shape_faults(model: SingleStageDetector, rois: Rois, least: float) -> Iterator[str]:
    taken = []
    if isinstance(model, RefiningDetector) and model.passes and model.refiner.square:
        taken.append(("refiner.square", "squares", square_fits(rois)))
    if isinstance(model, RefiningDetector) and model.one_size:
        taken.append(("one_size", "boxes of one size on a film", shared_fits(rois)))
    for setting, boxes, fits in taken:
        for name, fit in fits.items():
            if fit < least:
                reached = f"{boxes} reach a mean IoU of {fit:.2f} with the labels of {name!r}"
                yield f"model.{setting}=True, but {reached}, expected {least} or more: set it to False"


def cpu_seconds() -> float | None:
    """CPU seconds of this process, of its children that have ended and of those at work; None where these aren't told."""
    used = os.times()
    total = used.user + used.system + used.children_user + used.children_system
    for child in multiprocessing.active_children():
        try:
            fields = Path(f"/proc/{child.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # it has just ended, or this isn't Linux
            return None
        total += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")  # utime and stime, fields 14 and 15 of all
    return total


def film_paths(dataset: Any) -> Iterator[str]:
    """Files of the films of a data set of mmengine, also of those inside wrappers; nothing of other data sets."""
    inner = getattr(dataset, "datasets", None) or [
        each for each in [getattr(dataset, "dataset", None)] if each is not None
    ]
    for each in inner:
        yield from film_paths(each)
    if not inner and hasattr(dataset, "get_data_info"):
        yield from (dataset.get_data_info(number)["img_path"] for number in range(len(dataset)))


@HOOKS.register_module()
class ReportHook(Hook):
    """Writes ``val_report.json`` at the end of training and ``test_report.json`` after testing into the work dir.

    They have fingerprints of the model's settings and, after a test, of its weights: ``hipdet export --calibrate`` compares.
    Checkpoints hold the training time so far in seconds, including that before an interruption (``meta.seconds``), and the
    CPU seconds of this process and its workers (``meta.cpu_seconds``), where the system tells.  They also say which films the
    weights have seen (``meta.seen``): ``films``, digests of the training films (`film_digest`) and of those that the starting
    weights had seen; and ``known``, whether those are known.
    """

    priority = "LOWEST"

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.seen_known = True
        self.counted: set[str] | None = None
        self.started = time.time()
        self.cpu_before: float | None = 0.0
        self.validated: dict[str, float] | None = None
        self.tested_epoch: int | None = None
        self.tested_weights: str | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the epoch of the weights: ``runner.epoch`` would build the training set, which a tester may lack."""
        meta = checkpoint.get("meta", {})
        self.tested_epoch = meta.get("epoch")
        if trains(runner):
            before = meta.get("seen")
            films = before.get("films") if isinstance(before, dict) else None
            whole = isinstance(films, list) and all(isinstance(each, str) for each in films)
            self.seen = set(films or ()) if whole else set()
            self.seen_known = whole and before.get("known") is True
        else:
            self.tested_weights = weights_fingerprint(checkpoint)
        if resumes(runner):
            self.started = time.time() - meta.get("seconds", 0.0)
            self.cpu_before = meta.get("cpu_seconds")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note how long training has taken, and which films it has seen."""
        if self.counted is None:
            self.counted = {film_digest(Path(film)) for film in film_paths(runner.train_dataloader.dataset)}
        seen = sorted(self.seen | self.counted)
        checkpoint["meta"]["seen"] = dict(films=seen, known=self.seen_known)
        checkpoint["meta"]["seconds"] = self._seconds()
        used = cpu_seconds()
        if used is not None and self.cpu_before is not None:  # None: resumed from a checkpoint that doesn't say
            checkpoint["meta"]["cpu_seconds"] = round(self.cpu_before + used, 1)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the metrics of the latest validation."""
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
        names = ("torch", *(name for names, _, _ in REQUIREMENTS.values() for name in names), "numpy")
        ann_file = Path((runner.val_dataloader if what == "val" else runner.test_dataloader).dataset.ann_file).name
        report = dict(
            experiment=runner.experiment_name,
            ann_file=ann_file,
            checkpoint=Path(loaded).name if (loaded := loaded_from(runner)) else None,
            epoch=epoch,
            seed=runner.seed,
            seconds=self._seconds(),
            model=model_fingerprint(runner.cfg.model),
            weights=self.tested_weights if what == "test" else None,
            parameters=sum(p.numel() for p in runner.model.parameters()),
            versions={"hipdet": __version__, **dict(filter(None, (installed((name,)) for name in names)))},
            figures=plain(metrics),
        )
        write_json(path, report)
        runner.logger.info(f"{ann_file}: {metrics_table(metrics)}\nwritten to {path}")
