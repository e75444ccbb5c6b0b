"""Random numbers that depend on seed, epoch and rank alone, so that a resumed run equals a straight one bit for bit."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmdet.registry import HOOKS
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Reseeds this process at the start of every epoch: mmengine doesn't keep generator states in checkpoints."""

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed from (seed of the run, epoch, rank)."""
        sequence = np.random.SeedSequence([runner.seed, runner.epoch, get_rank()])
        seed_everything(int(sequence.generate_state(1)[0]))


@FUNCTIONS.register_module()
def seed_worker(worker_id: int) -> None:
    """``worker_init_fn`` of a data loader: seed numpy and Python from the number that torch drew for this epoch and worker.

    mmengine's own gives a worker the same seed in every epoch, and so the same augmentation.
    """
    seed_everything(torch.initial_seed() % 2**32)
