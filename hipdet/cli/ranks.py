"""Ranks on machines without a GPU, and their end."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config

from hipdet.errors import ConfigError


@contextmanager
def joined_ranks(cfg: Config) -> Iterator[None]:
    """Join the other ranks of the launcher, and leave them in order where the work succeeded.

    A process that ends while gloo's threads still hold tensors aborts now and then, a finished training with it. The
    threads are joined only when nothing refers to the group any more: let the runner be a local of the work.

    Raises:
        ConfigError: a launcher that needs a GPU, without one.
    """
    start_gloo(cfg)
    yield
    if torch.distributed.is_initialized():
        gc.collect()
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def start_gloo(cfg: Config) -> None:
    """Without a GPU, start a gloo group and wrap the model without device ids: mmengine assumes CUDA for both.

    Raises:
        ConfigError: a launcher that needs a GPU, without one.
    """
    if cfg.launcher == "none" or torch.cuda.is_available():
        return
    if cfg.launcher != "pytorch":
        raise ConfigError(f"--launcher {cfg.launcher} needs a GPU; on CPUs use --launcher pytorch (torchrun)")
    torch.distributed.init_process_group("gloo")
    cfg.model_wrapper_cfg = dict(
        type="MMDistributedDataParallel",
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
