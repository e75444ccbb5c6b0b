"""The paper's three training stages within one run: which layer groups train, and their learning rate at each iteration."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from mmdet.registry import HOOKS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.hooks import Hook
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.engine.private import loaded_from, resumes, trains


@dataclass(frozen=True)
class Stage:
    """One training stage: the first `train_groups` layer groups train at `lr_mult` times their own learning rate.

    Args:
        train_groups: Number of trained layer groups, counted from the head; the others are frozen.
        lr_mult: Factor on each group's learning rate.
        portion: Share of all epochs, relative to the portions of the other stages.
        cycles: Number of learning-rate triangles within the stage.

    Raises:
        ConfigError: `portion` isn't above 0, or `cycles` is below 1.
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

    fastai 0.7's ``use_clr=(20, 10)`` (docs/method.md, "Learning rates"), with its whole-number turning point.

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
        ConfigError: a stage would have no epoch.
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
    """Factor on a group's base learning rate at `iteration` of a stage of `length` iterations."""
    cycle = -(-length // stage.cycles)  # the last cycle may be shorter
    start = iteration // cycle * cycle
    return stage.lr_mult * triangle(iteration - start, min(cycle, length - start), div, cut_div)


def is_under(name: str, prefix: str) -> bool:
    """Whether `name` is `prefix` or inside it: ``backbone.layer1`` has ``backbone.layer1.0``, not ``backbone.layer10``."""
    return name == prefix or name.startswith(f"{prefix}.")


def assign_groups(names: Iterable[str], groups: Sequence[Sequence[str]]) -> dict[str, int]:
    """The group of every parameter name, by prefix.

    Raises:
        ConfigError: a name is in no group or in several, or a prefix has no name.
    """
    assigned: dict[str, int] = {}
    for name in names:
        owners = {index for index, group in enumerate(groups) for prefix in group if is_under(name, prefix)}
        if len(owners) != 1:
            raise ConfigError(
                f"paramwise_cfg.groups: parameter {name} is in {len(owners)} groups, expected one: fix their prefixes"
            )
        assigned[name] = owners.pop()
    for prefix in (prefix for group in groups for prefix in group):
        if not any(is_under(name, prefix) for name in assigned):
            raise ConfigError(
                f"paramwise_cfg.groups: no parameter is under {prefix}, expected a prefix of {sorted(assigned)[:3]}, ..."
            )
    return assigned


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerGroupOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """One optimizer whose parameter groups are the model's layer groups, from the head to the input.

    ``paramwise_cfg=dict(groups=[dict(prefixes=['bbox_head']), ..., dict(prefixes=['backbone.conv1', ...], lr_mult=0.01)])``.
    Each parameter group keeps its ``prefixes`` for :class:`StagedOneCycleHook`.  A parameter belongs to exactly one group.
    """

    def _validate_cfg(self) -> None:
        groups = self.paramwise_cfg.get("groups")
        if not groups or any(not group.get("prefixes") for group in groups) or self.base_lr is None:
            raise ConfigError(
                "LayerGroupOptimWrapperConstructor: give optimizer.lr and paramwise_cfg.groups with prefixes"
            )

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, *_: Any, **__: Any) -> None:
        """Append to `params` the groups of all parameters of `module`, also of frozen ones: a later stage may train them.

        A prefix of a part that is None, such as an ``orientation_head`` that the config takes away, is passed over.
        """
        groups = self.paramwise_cfg["groups"]
        parameters = dict(module.named_parameters())
        there = [[each for each in group["prefixes"] if getattr(module, each, True) is not None] for group in groups]
        assigned = assign_groups(parameters, there)
        for index, group in enumerate(groups):
            own = [parameters[name] for name, owner in assigned.items() if owner == index]
            rate = self.base_lr * group.get("lr_mult", 1.0)
            params.append(dict(params=own, lr=rate, prefixes=list(group["prefixes"])))


@HOOKS.register_module()
class StagedOneCycleHook(Hook):
    """Trains the head, then the last groups, then all, in learning-rate triangles (docs/method.md, "Learning rates").

    At a stage's first epoch the optimizer's state is cleared, as fastai starts with a new optimizer.  BatchNorm is in train
    mode in trained groups and, as in fastai, in eval mode in frozen ones.  ``train_cfg.max_epochs`` is divided among the
    stages; the config must have no ``param_scheduler``.

    The rate depends only on the epoch, the batch and this run's config, so a resumed run continues exactly.  If the config
    or the number of films has changed, the new values are used: no rates, groups or number of iterations are taken from the
    checkpoint.

    Args:
        stages: Arguments of :class:`hipdet.engine.schedule.Stage`, in order.
        div: Peak rate divided by the start rate.
        cut_div: The peak is after ``1 / cut_div`` of the cycle.
        freeze_norms: Whether BatchNorm is in eval mode in frozen groups; else it takes on the films' mean and spread.
        keep_ends: Keep the weights at the end of each stage but the last, as ``stage_1.pth``, ``stage_2.pth``, ...

    Raises:
        ConfigError: `div` isn't above 0, or `cut_div` is below 1; in training, the config contradicts itself.
        CheckpointError: a resumed checkpoint has no number of epochs.
    """

    priority = "VERY_HIGH"  # so that the logged rate is the one in use

    def __init__(
        self,
        stages: Sequence[dict],
        div: float = 20.0,
        cut_div: int = 10,
        freeze_norms: bool = True,
        keep_ends: bool = False,
    ) -> None:
        if not (div > 0 and cut_div >= 1):
            raise ConfigError(
                f"StagedOneCycleHook: needs div above 0 and cut_div of 1 or more, found div={div}, cut_div={cut_div}"
            )
        self.stages = [Stage(**stage) for stage in stages]
        self.div = div
        self.cut_div = cut_div
        self.freeze_norms = freeze_norms
        self.keep_ends = keep_ends
        self.starts: list[int] = []
        self.frozen_norms: list[nn.Module] = []
        self.configured: list[dict[str, Any]] = []  # the config's settings of each layer group

    def before_run(self, runner: Runner) -> None:
        """Keep the config's rates, scaled by ``auto_scale_lr`` if enabled: resuming replaces them by the checkpoint's."""
        if isinstance(runner.optim_wrapper, OptimWrapper):  # not when testing
            for group in self._groups(runner):
                group.setdefault("initial_lr", group["lr"])
            kept = ("initial_lr", "prefixes")
            self.configured = [{key: group[key] for key in kept if key in group} for group in self._groups(runner)]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """When resuming, count iterations as if all epochs had been as long as this run's.

        mmengine's gradient accumulation (``accumulative_counts``) depends on this count and the last iteration's.
        """
        if not (resumes(runner) and trains(runner, by_epochs=True)):
            return
        meta = checkpoint.get("meta")
        epoch = meta.get("epoch") if isinstance(meta, dict) else None
        if type(epoch) is not int or epoch < 0:
            raise CheckpointError(
                f"{loaded_from(runner) or 'the checkpoint'}: meta.epoch must be 0 or more, found {epoch!r}"
            )
        checkpoint["meta"] = dict(meta or {}, iter=epoch * len(runner.train_dataloader))

    def before_train(self, runner: Runner) -> None:
        """Check that the config fits together and divide the epochs among the stages."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ConfigError("StagedOneCycleHook: needs train_cfg of type EpochBasedTrainLoop")
        if runner.param_schedulers:
            raise ConfigError(
                "StagedOneCycleHook sets the learning rate itself: remove param_scheduler from the config"
            )
        groups = self._groups(runner)
        if any("prefixes" not in group for group in groups):
            raise ConfigError("StagedOneCycleHook: needs optim_wrapper.constructor='LayerGroupOptimWrapperConstructor'")
        if any(not 1 <= stage.train_groups <= len(groups) for stage in self.stages):
            raise ConfigError(
                f"StagedOneCycleHook: train_groups must be 1 to {len(groups)}, the number of layer groups"
            )
        self.starts = stage_starts(self.stages, runner.max_epochs)
        for group, configured in zip(groups, self.configured):
            group.update(configured)

    def before_train_epoch(self, runner: Runner) -> None:
        """Freeze and unfreeze groups; at a stage's first epoch, clear the optimizer's state."""
        index = bisect(self.starts, runner.epoch) - 1
        stage, groups = self.stages[index], self._groups(runner)
        for number, group in enumerate(groups):
            for parameter in group["params"]:
                parameter.requires_grad_(number < stage.train_groups)
                if number >= stage.train_groups:
                    parameter.grad = None  # otherwise the optimizer would still update it
        frozen = [prefix for group in groups[stage.train_groups :] for prefix in group["prefixes"]]
        self.frozen_norms = [
            module
            for name, module in getattr(runner.model, "module", runner.model).named_modules()
            if self.freeze_norms and isinstance(module, _BatchNorm) and any(is_under(name, prefix) for prefix in frozen)
        ]
        if runner.epoch == self.starts[index]:
            runner.optim_wrapper.optimizer.state.clear()
            runner.logger.info(
                f"Stage {index + 1} of {len(self.stages)}: epochs {runner.epoch + 1} to {self.starts[index + 1]}, training "
                f"{stage.train_groups} of {len(groups)} layer groups at {stage.lr_mult} times their rates"
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any | None = None) -> None:
        """Set the learning rates, and frozen BatchNorms to eval mode, as the loop has just called ``model.train()``."""
        for norm in self.frozen_norms:
            norm.eval()
        index = bisect(self.starts, runner.epoch) - 1
        per_epoch = len(runner.train_dataloader)
        length = (self.starts[index + 1] - self.starts[index]) * per_epoch
        iteration = (runner.epoch - self.starts[index]) * per_epoch + batch_idx
        factor = learning_rate_factor(self.stages[index], iteration, length, self.div, self.cut_div)
        for group in self._groups(runner):
            group["lr"] = group["initial_lr"] * factor

    def after_train_epoch(self, runner: Runner) -> None:
        """At a stage's end, write its weights; they don't become the checkpoint that a training resumes from."""
        if self.keep_ends and runner.epoch + 1 in self.starts[1:-1]:
            name = f"stage_{self.starts.index(runner.epoch + 1)}.pth"
            runner.save_checkpoint(runner.work_dir, name, save_optimizer=False, save_param_scheduler=False)

    @staticmethod
    def _groups(runner: Runner) -> list[dict[str, Any]]:
        return runner.optim_wrapper.optimizer.param_groups
