"""Every use of a private name of mmengine and torch, tested with mmengine 0.10.7 and torch 2.13.

Overridden private names stay in their classes: ``CocoDataset._join_prefix`` (mmdet 3.3, :mod:`hipdet.engine.dataset`),
``AnchorHead._get_targets_single`` (:mod:`hipdet.models.hip_ssd_head`), ``EpochBasedTrainLoop._epoch`` and ``_max_epochs``
(:mod:`hipdet.engine.loop`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner


def resumes(runner: Runner) -> bool:
    """Whether `runner` resumes from a checkpoint, rather than only loading its weights."""
    return bool(runner._resume)


def loaded_from(runner: Runner) -> str | None:
    """The checkpoint that `runner` was told to load; None if there is none, or if it looks for the last one itself."""
    return runner._load_from


def trains(runner: Runner, by_epochs: bool = False) -> bool:
    """Whether `runner` is training, so its loop is built; ``runner.train_loop`` would build it."""
    return isinstance(runner._train_loop, EpochBasedTrainLoop if by_epochs else BaseLoop)


def batches_at_work(loader: Any) -> Iterator[Any] | None:
    """The current iterator of a loader with persistent workers."""
    batches: Iterator[Any] | None = loader._iterator
    return batches


def end_workers(loader: Any) -> None:
    """Drop the loader's iterator, which ends its workers."""
    loader._iterator = None
