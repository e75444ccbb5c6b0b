"""Mirroring by what stands around a data set, which the data set itself can't see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mmcv.transforms import Compose

from hipdet.datasets.roi_dataset import RoiDataset
from hipdet.transforms.mirroring import mirroring_steps


def refuse_outer_mirroring(dataset: Any, hooks: Iterable[Any] = ()) -> None:
    """Look at the pipelines of wrappers such as ``MultiImageMixDataset``, and at those that hooks switch to.

    Args:
        dataset: That of training.
        hooks: Of the runner; mmdet's ``PipelineSwitchHook`` has a ``switch_pipeline``.

    Raises:
        ConfigError: films of a `RoiDataset` are mirrored, but not their classes of left and right.
    """
    switched = [hook.switch_pipeline for hook in hooks if getattr(hook, "switch_pipeline", None)]
    outer = [step for steps in switched for step in mirroring_steps(Compose(steps))]
    for part, steps in _parts(dataset, outer):
        if isinstance(part, RoiDataset):
            part.labels_of_mirror_images(steps)


def _parts(dataset: Any, outer: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
    """The data sets within `dataset`, each with the mirroring steps around it."""
    parts = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if parts == [None]:
        yield dataset, outer
        return
    own = [step for each in getattr(dataset, "pipeline", ()) for step in mirroring_steps(each)]
    for part in parts:
        yield from _parts(part, [*outer, *own])
