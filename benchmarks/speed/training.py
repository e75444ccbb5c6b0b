"""Training through mmengine's runner against a bare loop of the same network on random tensors, epoch by epoch in turns."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from hipdet.engine.loop import has_bfloat16
from speed.brief_training import read_plain_config
from speed.models import ROOT
from speed.paper_cost import PAPER_EPOCHS, PAPER_FILMS
from speed.results import Table
from speed.timing import Spread

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


@dataclass
class Seconds:
    """Per iteration, a value for each epoch."""

    runner: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)


_running: Seconds = Seconds()


@HOOKS.register_module()
class BareLoopHook(Hook):
    """Times each epoch, and after it as many iterations of the bare loop."""

    priority = "LOWEST"  # what other hooks do after an iteration counts

    def before_train_epoch(self, runner: Runner) -> None:
        """The loader's workers have not started yet."""
        self.start = time.perf_counter()

    def after_train_epoch(self, runner: Runner) -> None:
        """The runner's share, then the bare loop's."""
        count = len(runner.train_dataloader)
        _running.runner.append((time.perf_counter() - self.start) / count)
        step = bare_step(runner.model, runner.optim_wrapper, runner.cfg)
        step()
        start = time.perf_counter()
        for _ in range(count):
            step()
        _running.bare.append((time.perf_counter() - start) / count)


def bare_step(model: nn.Module, wrapper: Any, cfg: Any) -> Callable[[], None]:
    """Forward, a plain loss, backward and optimizer step of backbones and head on random tensors, as precise as `wrapper`."""
    detector: Any = copy.deepcopy(model).train()
    for mine, theirs in zip(detector.modules(), model.modules()):
        mine.training = theirs.training  # frozen BatchNorm
    groups = [list(group["params"]) for group in wrapper.optimizer.param_groups]
    place = {id(p): number for number, p in enumerate(model.parameters())}
    mine = list(detector.parameters())
    optimizer = type(wrapper.optimizer)([{"params": [mine[place[id(p)]] for p in group]} for group in groups], lr=1e-4)
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


def training(work: Path, data: Path, threads: int) -> Table:
    """The section; `data` has phantoms."""
    torch.set_num_threads(threads)
    rows, stages = [], []
    for title, name, groups, films in RUNS:
        seconds = _measure(title, name, groups, films, work, data)
        runner, bare = np.array(seconds.runner[1:]), np.array(seconds.bare[1:])
        batch = read_plain_config(ROOT / f"configs/{name}.py").train_dataloader.batch_size
        ratio = Spread.of(bare / runner)
        rows.append(
            [title, str(batch), Spread.of(runner).text(1e3, 0), Spread.of(bare).text(1e3, 0), ratio.text(digits=2)]
        )
        if groups is not None:
            stages.append(float(np.median(runner)) / batch)
    hours = sum(stages) * PAPER_FILMS * PAPER_EPOCHS / 3600
    note = (
        f"Milliseconds per iteration, median (5% .. 95%) of {EPOCHS - 1} epochs: everything from the epoch's start to the "
        "last hook, with two workers that load, against forward, backward and optimizer step of the same backbones and "
        "head on random tensors in the same process and precision (bfloat16), in turns. At this pace the paper's recipe "
        f"({PAPER_FILMS} films, 3 x {PAPER_EPOCHS} epochs) would take {hours:.0f} hours on this machine."
    )
    columns = ["training", "batch", "runner", "bare loop", "runner's pace / bare loop's"]
    return Table("Training", note, columns, rows)


def _measure(title: str, name: str, groups: int | None, films: int, work: Path, data: Path) -> Seconds:
    global _running
    _running = Seconds()
    cfg = read_plain_config(ROOT / f"configs/{name}.py")
    cfg.work_dir = str(work / f"training_{name}")
    cfg.train_dataloader.dataset.update(
        data_root=str(data), ann_file="annotations/cgoa_oaih_train.json", indices=films, verify_films=False
    )
    cfg.train_cfg = dict(type=cfg.train_cfg.type, max_epochs=EPOCHS)
    for part in ("val", "test"):
        cfg[f"{part}_cfg"] = cfg[f"{part}_dataloader"] = cfg[f"{part}_evaluator"] = None
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", interval=EPOCHS + 1, save_last=False)
    cfg.optim_wrapper.type = "Bfloat16OptimWrapper"  # the paper's config is for a GPU; here it would take hours
    cfg.log_level = "ERROR"
    cfg.experiment_name = f"{name}_{groups}"
    if groups is not None:
        cfg.custom_hooks[0].stages = [dict(train_groups=groups)]
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type="BareLoopHook")]
    Runner.from_cfg(cfg).train()
    return _running
