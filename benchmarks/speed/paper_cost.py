"""What the paper's recipe costs, from counted operations and measured loading."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from hipdet.engine.schedule import LayerGroupOptimWrapperConstructor
from speed.brief_training import read_plain_config
from speed.models import ROOT
from speed.results import Table

PAPER_FILMS, PAPER_EPOCHS = 6568, 40  # per stage
RATES = (10, 50)  # TFLOP/s that a step sustains: a gaming card in float32, a data centre's in mixed precision
GPUS = (1, 8)
WORKERS = 2  # of each GPU


def paper_cost(loading_ms: float) -> Table:
    """Minutes on GPUs that sustain so much, where a worker loads a film in `loading_ms`."""
    stages = [flops(groups) for groups in (1, 2, 3)]
    compute = sum(stages) * PAPER_FILMS * PAPER_EPOCHS
    loading = loading_ms / 1e3 * PAPER_FILMS * PAPER_EPOCHS * len(stages)
    rows = [
        [str(gpus), str(rate), f"{compute / rate / 1e12 / gpus / 60:.0f}", f"{loading / WORKERS / gpus / 60:.0f}"]
        for gpus in GPUS
        for rate in RATES
    ]
    note = (
        f"{PAPER_FILMS} films, 3 x {PAPER_EPOCHS} epochs of configs/hip_ssd_exp3.py on paper: {compute / 1e15:.0f} PFLOP, "
        "counted ("
        + ", ".join(f"{each / 1e9:.0f}" for each in stages)
        + f" GFLOP a film in stages 1, 2, 3), and {WORKERS} workers for each GPU that need {loading_ms:.1f} ms a film, as "
        "measured. The longer of the two is what it takes; validation and ranks that wait for each other come on top."
    )
    return Table("The paper's recipe on GPUs", note, ["GPUs", "TFLOP/s each", "compute, min", "loading, min"], rows)


def flops(groups: int) -> int:
    """Floating-point operations of a training step for one film with so many layer groups thawed."""
    init_default_scope("mmdet")
    cfg: Any = read_plain_config(ROOT / "configs/hip_ssd_exp3.py")
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
