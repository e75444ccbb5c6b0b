"""What it takes to load and augment a film for training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope

from speed.brief_training import read_plain_config
from speed.films import SIDES, jpeg
from speed.models import ROOT
from speed.results import Table
from speed.timing import Spread, in_turns

CONFIGS = ("hip_roi_small", "hip_ssd_exp3")


def loading(work: Path, turns: int) -> tuple[Table, float]:
    """Of films of several sizes, in one worker; and the milliseconds of the paper's recipe for small films."""
    init_default_scope("mmdet")
    runs: dict[str, Callable[[], object]] = {}
    for name in CONFIGS:
        pipeline = Compose(read_plain_config(ROOT / f"configs/{name}.py").train_pipeline)
        for side in SIDES:
            runs[f"{name}, {side} px"] = partial(_load, pipeline, jpeg(work, side))
    seconds = in_turns(runs, turns)
    rows = [[name, Spread.of(values).text(1e3), f"{1 / np.median(values):.0f}"] for name, values in seconds.items()]
    note = (
        "Milliseconds of one worker for one JPEG, from the page cache to the augmented square, median (5% .. 95%) of "
        f"{turns} turns, and films/s of one worker. Training reads films whole; hipdet convert ... --copies 448 makes "
        "large ones as cheap as small ones."
    )
    paper = 1e3 * float(np.median(seconds[f"{CONFIGS[1]}, {SIDES[0]} px"]))
    return Table("Loading for training", note, ["config and film", "ms", "films/s"], rows), paper


def _load(pipeline: Any, film: Path) -> object:
    box = dict(bbox=[100.0, 100.0, 200.0, 200.0], bbox_label=0, ignore_flag=0)
    return pipeline(dict(img_path=str(film), img_id=0, height=1, width=1, instances=[box]))
