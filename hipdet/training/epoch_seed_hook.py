"""Random numbers that depend on seed, epoch and rank alone, so that a resumed run equals a straight one bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from hipdet.datasets import RoiDataset
from hipdet.random_numbers import seed_everything

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
