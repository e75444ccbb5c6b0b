"""Training by mmengine's runner compared with a bare loop, the time to load films, and the cost of the paper's recipe."""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import MODELS
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hipdet.engine.loop import has_bfloat16
from hipdet.engine.schedule import LayerGroupOptimWrapperConstructor
from speed.films import SIDES, jpeg, training_films
from speed.models import plain_config
from speed.results import Spread, Table, in_turns, say

EPOCHS = 4  # the first warms up
# title, config, trained layer groups (None: all), films
RUNS = (
    ("small", "hip_roi_small", None, 160),
    ("medium", "hip_roi_medium", None, 160),
    ("large", "hip_roi_large", None, 80),
    ("ResNet-101, stage 1: head", "hip_ssd_exp3", 1, 48),
    ("ResNet-101, stage 2: head, last groups", "hip_ssd_exp3", 2, 48),
    ("ResNet-101, stage 3: all", "hip_ssd_exp3", 3, 48),
)
LOADED = ("hip_roi_small", "hip_ssd_exp3")
PAPER_FILMS, PAPER_EPOCHS = 6568, 40  # per stage
RATES = (10, 50)  # sustained TFLOP/s: a gaming GPU in float32, a data-centre GPU in mixed precision
GPUS = (1, 8)
WORKERS = 2  # per GPU


def section(work: Path, args: argparse.Namespace) -> list[Table]:
    """The tables of this section."""
    torch.set_num_threads(args.threads)
    steps = _training(work, training_films(work))
    loaded, milliseconds = _loading(work, args.turns)
    return [steps, loaded, _paper_cost(milliseconds)]


class BareLoopHook(Hook):
    """Times each epoch, then as many iterations of the bare loop: seconds per iteration, one value per epoch."""

    def __init__(self) -> None:
        self.runner: list[float] = []
        self.bare: list[float] = []

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the clock before the loader's workers start."""
        self.start = time.perf_counter()

    def after_train_epoch(self, runner: Runner) -> None:
        """Record the time of the runner, then that of the bare loop."""
        count = len(runner.train_dataloader)
        self.runner.append((time.perf_counter() - self.start) / count)
        step = bare_step(runner.model, runner.optim_wrapper, runner.cfg)
        step()
        start = time.perf_counter()
        for _ in range(count):
            step()
        self.bare.append((time.perf_counter() - start) / count)


def bare_step(model: nn.Module, wrapper: Any, cfg: Any) -> Callable[[], None]:
    """Forward, a plain loss, backward and optimizer step of backbones and head on random tensors, as precise as `wrapper`."""
    detector: Any = copy.deepcopy(model).train()
    for mine, theirs in zip(detector.modules(), model.modules()):
        mine.training = theirs.training  # frozen BatchNorm
    place = dict(zip(model.parameters(), detector.parameters()))
    groups = [{"params": [place[each] for each in group["params"]]} for group in wrapper.optimizer.param_groups]
    optimizer = type(wrapper.optimizer)(groups, lr=1e-4)
    batch, side = cfg.train_dataloader.batch_size, max(cfg.image_size)
    side //= getattr(detector, "reduction", 1)
    films = torch.randn(batch, 1, side, side)
    refiner: Any = getattr(detector, "refiner", None)
    crops: Tensor | None = None
    if refiner is not None:
        count = batch * (2 * refiner.copies + refiner.background)
        crops = torch.randn(count, 1, refiner.pixels, refiner.pixels)
    enabled = cfg.optim_wrapper.type == "Bfloat16OptimWrapper" and has_bfloat16("cpu")

    def outputs() -> list[Tensor]:
        scores, deltas = detector.bbox_head(detector.backbone(films))
        return [*scores, *deltas, *(refiner(crops) if refiner is not None else ())]

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = torch.stack([each.float().square().mean() for each in outputs()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _training(work: Path, data: Path) -> Table:
    rows, stages = [], []
    for title, name, groups, films in RUNS:
        say(f"training {title}: {EPOCHS} epochs of {films} films, twice")
        seconds = _timed(name, groups, films, work, data)
        runner, bare = np.array(seconds.runner[1:]), np.array(seconds.bare[1:])
        batch = plain_config(name).train_dataloader.batch_size
        spreads = [
            Spread.of(runner).text(1e3, 0),
            Spread.of(bare).text(1e3, 0),
            Spread.of(bare / runner).text(digits=2),
        ]
        rows.append([title, str(batch), *spreads])
        if groups is not None:
            stages.append(float(np.median(runner)) / batch)
    hours = sum(stages) * PAPER_FILMS * PAPER_EPOCHS / 3600
    note = (
        f"Milliseconds per iteration, median (5% .. 95%) of {EPOCHS - 1} epochs. Runner: everything from the start of the "
        "epoch to the last hook, with two workers. Bare loop: forward, backward and optimizer step of the same backbones and "
        "head on random tensors, in the same process and precision (bfloat16), in turns. At this speed the paper's recipe "
        f"({PAPER_FILMS} films, 3 x {PAPER_EPOCHS} epochs) would take {hours:.0f} hours on this machine."
    )
    columns = ["training", "batch", "runner", "bare loop", "runner's pace / bare loop's"]
    return Table("Training", note, columns, rows)


def _timed(name: str, groups: int | None, films: int, work: Path, data: Path) -> BareLoopHook:
    cfg = plain_config(name)
    cfg.work_dir = str(work / f"training_{name}")
    cfg.train_dataloader.dataset.update(
        data_root=str(data), ann_file="annotations/cgoa_oaih_train.json", indices=films, verify_films=False
    )
    cfg.train_cfg = dict(type=cfg.train_cfg.type, max_epochs=EPOCHS)
    for part in ("val", "test"):
        cfg[f"{part}_cfg"] = cfg[f"{part}_dataloader"] = cfg[f"{part}_evaluator"] = None
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", interval=EPOCHS + 1, save_last=False)
    cfg.optim_wrapper.type = "Bfloat16OptimWrapper"  # the float32 of the paper's config would take hours here
    cfg.log_level = "ERROR"
    cfg.experiment_name = f"{name}_{groups}"
    if groups is not None:
        cfg.custom_hooks[0].stages = [dict(train_groups=groups)]
    runner, seconds = Runner.from_cfg(cfg), BareLoopHook()
    runner.register_hook(seconds, "LOWEST")  # after the other hooks, so that their time is included
    runner.train()
    return seconds


def _loading(work: Path, turns: int) -> tuple[Table, float]:
    """Loading times of films of several sizes in one worker; also milliseconds per small film with the paper's pipeline."""
    init_default_scope("mmdet")
    runs: dict[str, Callable[[], object]] = {}
    for name in LOADED:
        pipeline = Compose(plain_config(name).train_pipeline)
        for side in SIDES:
            runs[f"{name}, {side} px"] = partial(_load, pipeline, jpeg(work, side))
    seconds = in_turns(runs, turns, "loading")
    rows = [[name, Spread.of(values).text(1e3), f"{1 / np.median(values):.0f}"] for name, values in seconds.items()]
    note = (
        "Milliseconds of one worker for one JPEG, from the page cache to the augmented square, median (5% .. 95%) of "
        f"{turns} turns, and films/s of one worker. Training reads films whole; hipdet convert ... --copies 448 makes "
        "large ones as cheap as small ones."
    )
    paper = 1e3 * float(np.median(seconds[f"{LOADED[1]}, {SIDES[0]} px"]))
    return Table("Loading for training", note, ["config and film", "ms", "films/s"], rows), paper


def _load(pipeline: Any, film: Path) -> object:
    box = dict(bbox=[100.0, 100.0, 200.0, 200.0], bbox_label=0, ignore_flag=0)
    return pipeline(dict(img_path=str(film), img_id=0, height=1, width=1, instances=[box]))


def _paper_cost(loading_ms: float) -> Table:
    """Minutes on GPUs with each of `RATES`, if a worker loads a film in `loading_ms`."""
    stages = [flops(groups) for groups in (1, 2, 3)]
    compute = sum(stages) * PAPER_FILMS * PAPER_EPOCHS
    loading = loading_ms / 1e3 * PAPER_FILMS * PAPER_EPOCHS * len(stages)
    rows = [
        [str(gpus), str(rate), f"{compute / rate / 1e12 / gpus / 60:.0f}", f"{loading / WORKERS / gpus / 60:.0f}"]
        for gpus in GPUS
        for rate in RATES
    ]
    each_stage = ", ".join(f"{each / 1e9:.0f}" for each in stages)
    note = (
        f"Estimate for {PAPER_FILMS} films and 3 x {PAPER_EPOCHS} epochs of configs/hip_ssd_exp3.py: {compute / 1e15:.0f} "
        f"PFLOP, counted ({each_stage} GFLOP per film in stages 1, 2, 3), and {WORKERS} workers per GPU that need "
        f"{loading_ms:.1f} ms per film, measured. Training takes the longer of the two times, plus validation and the time "
        "that ranks wait for each other."
    )
    return Table("The paper's recipe on GPUs", note, ["GPUs", "TFLOP/s each", "compute, min", "loading, min"], rows)


def flops(groups: int) -> int:
    """Floating-point operations of a training step for one film with `groups` layer groups trained."""
    init_default_scope("mmdet")
    cfg: Any = plain_config("hip_ssd_exp3")
    detector: Any = MODELS.build(cfg.model).train()
    settings = dict(type="OptimWrapper", optimizer=cfg.optim_wrapper.optimizer)
    wrapper: Any = LayerGroupOptimWrapperConstructor(settings, cfg.optim_wrapper.paramwise_cfg)(detector)
    for number, group in enumerate(wrapper.optimizer.param_groups):
        for parameter in group["params"]:
            parameter.requires_grad_(number < groups)
    films = 2  # BatchNorm needs more than one
    with FlopCounterMode(display=False) as counter:
        scores, deltas = detector.bbox_head(detector.backbone(torch.randn(films, 1, *cfg.image_size)))
        sum(each.sum() for each in (*scores, *deltas)).backward()
    return counter.get_total_flops() // films
