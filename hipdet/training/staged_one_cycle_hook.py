"""The paper's three training stages within one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hipdet.errors import ConfigError
from hipdet.training.layer_groups import is_under
from hipdet.training.one_cycle import Stage, learning_rate_factor, stage_starts


@HOOKS.register_module()
class StagedOneCycleHook(Hook):
    """Trains the head, then the last groups, then everything, each with one triangle of the learning rate (recipe).

    At a stage's first epoch the optimizer forgets its state, which is fastai's fresh optimizer.  BatchNorm of a frozen group
    is in eval mode, of a trained one in train mode.  The rate is a function of the iteration, so a resumed run continues
    exactly.  ``train_cfg.max_epochs`` is divided among the stages; no ``param_scheduler`` beside it.

    Args:
        stages: In order, as :class:`hipdet.training.one_cycle.Stage`'s arguments.
        div: Peak rate by start rate.
        cut_div: The peak stands after ``1 / cut_div`` of the cycle.
    """

    priority = "VERY_HIGH"  # the logged rate is the one that is used

    def __init__(self, stages: Sequence[dict], div: float = 20.0, cut_div: int = 10) -> None:
        self.stages = [Stage(**stage) for stage in stages]
        self.div = div
        self.cut_div = cut_div
        self.starts: list[int] = []
        self.frozen_norms: list[nn.Module] = []

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
        for group in groups:
            group.setdefault("initial_lr", group["lr"])  # kept in checkpoints

    def before_train_epoch(self, runner: Runner) -> None:
        """Freeze and thaw; at the first epoch of a stage start with a fresh optimizer."""
        index = self._stage_index(runner.epoch)
        stage, groups = self.stages[index], self._groups(runner)
        for number, group in enumerate(groups):
            for parameter in group["params"]:
                parameter.requires_grad_(number < stage.train_groups)
                if number >= stage.train_groups:
                    parameter.grad = None  # else the optimizer would still move it
        self.frozen_norms = self._norms(runner, groups[stage.train_groups :])
        if runner.epoch == self.starts[index]:
            runner.optim_wrapper.optimizer.state.clear()
            runner.logger.info(
                f"Stage {index + 1} of {len(self.stages)}: epochs {runner.epoch + 1} to {self.starts[index + 1]}, training "
                f"{stage.train_groups} of {len(groups)} layer groups at {stage.lr_mult} times their rates"
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any | None = None) -> None:
        """Set this iteration's learning rates and, as the loop has just called ``model.train()``, the frozen BatchNorms."""
        for norm in self.frozen_norms:
            norm.eval()
        index = self._stage_index(runner.epoch)
        per_epoch = len(runner.train_dataloader)
        start, end = self.starts[index] * per_epoch, self.starts[index + 1] * per_epoch
        factor = learning_rate_factor(self.stages[index], runner.iter - start, end - start, self.div, self.cut_div)
        for group in self._groups(runner):
            group["lr"] = group["initial_lr"] * factor

    def _stage_index(self, epoch: int) -> int:
        return max(index for index in range(len(self.stages)) if epoch >= self.starts[index])

    @staticmethod
    def _groups(runner: Runner) -> list[dict[str, Any]]:
        return runner.optim_wrapper.optimizer.param_groups

    @staticmethod
    def _norms(runner: Runner, frozen: list[dict[str, Any]]) -> list[nn.Module]:
        """BatchNorm modules of the frozen groups."""
        model = getattr(runner.model, "module", runner.model)
        prefixes = [prefix for group in frozen for prefix in group["prefixes"]]
        return [
            module
            for name, module in model.named_modules()
            if isinstance(module, _BatchNorm) and any(is_under(name, prefix) for prefix in prefixes)
        ]
