"""The one-cycle schedule in closed form: a learning rate is a function of the iteration and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from hipdet.errors import ConfigError


@dataclass(frozen=True)
class Stage:
    """One stage of the recipe: the first `train_groups` layer groups learn at `lr_mult` times their own rate.

    Args:
        train_groups: Trained layer groups, counted from the head; the others are frozen.
        lr_mult: Factor on every group's rate.
        portion: Share of all epochs, relative to the other stages'.
        cycles: Triangles within the stage.

    Raises:
        ConfigError: a portion or cycles that aren't above 0.
    """

    train_groups: int
    lr_mult: float = 1.0
    portion: float = 1.0
    cycles: int = 1

    def __post_init__(self) -> None:
        if not (self.portion > 0 and self.cycles >= 1):
            raise ConfigError(
                f"StagedOneCycleHook: a stage needs a portion above 0 and 1 or more cycles, found portion={self.portion}, "
                f"cycles={self.cycles}"
            )


def triangle(iteration: int, length: int, div: float = 20.0, cut_div: int = 10) -> float:
    """Factor on the peak rate: from ``1 / div`` to 1 in the first ``1 / cut_div`` of the cycle, and back to it.

    fastai 0.7's ``use_clr=(20, 10)`` (recipe, "Learning rates"), with its whole-number turning point.

    Args:
        iteration: 0-based, below `length`.
        length: Iterations of the cycle.
    """
    cut = length // cut_div
    pct = iteration / cut if iteration <= cut and cut else 1 - (iteration - cut) / (length - cut)
    return (1 + pct * (div - 1)) / div


def stage_starts(stages: Sequence[Stage], max_epochs: int) -> list[int]:
    """First epoch of every stage, and `max_epochs` at the end.

    Raises:
        ConfigError: a stage that would be left without an epoch.
    """
    total = sum(stage.portion for stage in stages)
    ends = [round(max_epochs * share / total) for share in accumulate(stage.portion for stage in stages)]
    starts = [0, *ends]
    if any(end <= start for start, end in zip(starts, ends)):
        raise ConfigError(
            f"train_cfg.max_epochs={max_epochs} leaves one of the {len(stages)} stages of StagedOneCycleHook without an "
            f"epoch (they would start at {starts[:-1]}); give at least {len(stages)} epochs or change the portions"
        )
    return starts


def learning_rate_factor(stage: Stage, iteration: int, length: int, div: float = 20.0, cut_div: int = 10) -> float:
    """Factor on a group's base rate at `iteration` of a stage of `length` iterations."""
    cycle = -(-length // stage.cycles)  # the last cycle may be shorter
    start = iteration // cycle * cycle
    return stage.lr_mult * triangle(iteration - start, min(cycle, length - start), div, cut_div)
