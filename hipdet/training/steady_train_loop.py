"""Epochs without a wait between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmdet.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop
from torch import nn


@LOOPS.register_module()
class SteadyTrainLoop(EpochBasedTrainLoop):
    """mmengine's epochs, but the loader's workers begin the next one while the last batch of the present one trains.

    With few films an epoch is short, and the network would wait for the first batch of each.  It needs workers that outlive
    the epoch (``persistent_workers``), else it does what ``EpochBasedTrainLoop`` does.  Films come in the same order.

    Hooks may have a method ``before_load_epoch(runner, epoch)``, called before anything of `epoch` is loaded, so that is when
    the epoch before isn't over yet.
    """

    _begun: Iterator | None = None  # the next epoch's batches

    def run(self) -> nn.Module:
        """Train, then end the workers: the garbage collector would wait five seconds for each."""
        model = super().run()
        loader: Any = self.dataloader
        self._begun = loader._iterator = None
        return model

    def run_epoch(self) -> None:
        """Train one epoch."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        for index, batch in enumerate(self._batches()):
            self.run_iter(index, batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def _batches(self) -> Iterator[Any]:
        loader: Any = self.dataloader
        batches, self._begun = self._begun, None
        # a hook that changed the pipeline has had the workers start anew (mmdet's PipelineSwitchHook)
        if batches is None or batches is not loader._iterator:
            batches = self._begin(self._epoch)
        for left in reversed(range(len(loader))):
            batch = next(batches)
            if left == 0 and loader.persistent_workers and self._epoch + 1 < self._max_epochs:
                self._begun = self._begin(self._epoch + 1)
            yield batch

    def _begin(self, epoch: int) -> Iterator[Any]:
        loader: Any = self.dataloader
        samplers: list[Any] = [loader.sampler, getattr(loader.batch_sampler, "sampler", None)]
        for sampler in samplers:
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
        self.runner.call_hook("before_load_epoch", epoch=epoch)
        with torch.random.fork_rng(devices=[]):  # a loader draws a number, the network's mustn't change by it
            return iter(loader)
