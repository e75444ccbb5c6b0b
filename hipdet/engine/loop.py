"""Epochs without a wait between them, training without a GPU, in bfloat16 where supported, on several ranks; and its logs."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.registry import LOOPS, OPTIM_WRAPPERS
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from hipdet.core.errors import ConfigError
from hipdet.engine.private import batches_at_work, end_workers


@LOOPS.register_module()
class SteadyTrainLoop(EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop``, but workers start loading the next epoch during the last batch of the current one.

    With few films, an epoch is short, and the network would wait for the first batch of each.  This needs workers that
    outlive the epoch (``persistent_workers``); otherwise nothing changes.  The order of the films is the same.

    Hooks may have a method ``before_load_epoch(runner, epoch)``, which is called before anything of `epoch` is loaded, while
    the previous epoch is still running.
    """

    _begun: Iterator | None = None  # the next epoch's batches

    def run(self) -> nn.Module:
        """Train, then end the workers, for each of which the garbage collector would wait five seconds."""
        model = super().run()
        loader: Any = self.dataloader
        self._begun = None
        end_workers(loader)
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
        # a hook that changes the pipeline restarts the workers (mmdet's PipelineSwitchHook)
        if batches is None or batches is not batches_at_work(loader):
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
        with torch.random.fork_rng(devices=[]):  # a loader draws a number, which mustn't change the network's
            return iter(loader)


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Runs forward passes under autocast to bfloat16, which has the range of float32 and so needs no loss scaling.

    mmengine's ``AmpOptimWrapper`` doesn't support CPUs.  A processor or GPU without bfloat16 trains in float32.  Weights,
    optimizer, losses and boxes are always in float32.

    Args:
        **kwargs: Arguments of ``OptimWrapper``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._announced = False

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of a training step's forward pass."""
        device = next(model.parameters()).device.type
        enabled = has_bfloat16(device)
        if not self._announced:
            print_log(f"training on {device} in {'bfloat16' if enabled else 'float32'}", logger="current")
            self._announced = True
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16, enabled=enabled):
            yield


def has_bfloat16(device: str) -> bool:
    """Whether the device type ("cpu", "cuda") has instructions for bfloat16: emulated, it would be slower than float32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    # private, and missing from older versions of torch: those train in float32
    asked = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
    return device == "cpu" and any(ask() for ask in asked if ask)


@contextmanager
def strict_logs() -> Iterator[None]:
    """Let a log that can't be written end the block: logging itself would print a traceback for each line, and go on."""
    usual = logging.StreamHandler.handleError

    def stop(handler: logging.Handler, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            usual(handler, record)
        elif not isinstance(error, BrokenPipeError):  # nobody reads the output any more, but the file has it
            error.filename = getattr(handler, "baseFilename", "standard output")
            raise error

    handlers: Any = logging.StreamHandler
    handlers.handleError = stop
    try:
        yield
    finally:
        handlers.handleError = usual


@contextmanager
def joined_ranks(cfg: Config) -> Iterator[None]:
    """Join the launcher's process group, and leave it properly if the work succeeds.

    mmengine assumes CUDA for the group and the model's wrapper.  Without a GPU, they become a gloo group and a wrapper
    without device ids.

    A process that ends while gloo's threads still hold tensors sometimes aborts, even after a finished training.  The
    threads are joined only when nothing refers to the group any more, so make the runner a local variable of the work.

    Raises:
        ConfigError: the launcher needs a GPU, but there is none.
    """
    if cfg.launcher != "none" and not torch.cuda.is_available():
        if cfg.launcher != "pytorch":
            raise ConfigError(f"--launcher {cfg.launcher} needs a GPU; on CPUs use --launcher pytorch (torchrun)")
        torch.distributed.init_process_group("gloo")
        cfg.model_wrapper_cfg = dict(
            type="MMDistributedDataParallel",
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get("find_unused_parameters", False),
        )
    yield
    if torch.distributed.is_initialized():
        gc.collect()
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
