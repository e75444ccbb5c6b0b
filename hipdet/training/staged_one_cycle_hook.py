"""The paper's three training stages within one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hipdet.errors import CheckpointError, ConfigError
from hipdet.training.layer_groups import is_under
from hipdet.training.one_cycle import Stage, learning_rate_factor, stage_starts


@HOOKS.register_module()
class StagedOneCycleHook(Hook):
    """Trains the head, then the last groups, then everything, each with one triangle of the learning rate (recipe).

    At a stage's first epoch the optimizer forgets its state, which is fastai's fresh optimizer.  BatchNorm of a frozen group
    is in eval mode, of a trained one in train mode.  ``train_cfg.max_epochs`` is divided among the stages; no
    ``param_scheduler`` beside it.

    The rate is a function of the epoch, the batch and this run's config, so a resumed run continues exactly, and where the
    config or the number of films has changed it goes by the new ones: of the checkpoint it takes no rate, no groups and no
    number of iterations.

    Args:
        stages: In order, as :class:`hipdet.training.one_cycle.Stage`'s arguments.
        div: Peak rate by start rate.
        cut_div: The peak stands after ``1 / cut_div`` of the cycle.

    Raises:
        ConfigError: `div` isn't above 0 or `cut_div` below 1; on training, a config that doesn't fit together.
        CheckpointError: a resumed checkpoint without a number of epochs.
    """

    priority = "VERY_HIGH"  # the logged rate is the one that is used

    def __init__(self, stages: Sequence[dict], div: float = 20.0, cut_div: int = 10) -> None:
        if not (div > 0 and cut_div >= 1):
            raise ConfigError(
                f"StagedOneCycleHook: needs div above 0 and cut_div of 1 or more, found div={div}, cut_div={cut_div}"
            )
        self.stages = [Stage(**stage) for stage in stages]
        self.div = div
        self.cut_div = cut_div
        self.starts: list[int] = []
        self.frozen_norms: list[nn.Module] = []
        self.configured: list[dict[str, Any]] = []  # what the config says of each layer group

    def before_run(self, runner: Runner) -> None:
        """Keep the config's rates, scaled if ``auto_scale_lr`` says so: resuming puts the checkpoint's in their place."""
        if isinstance(runner.optim_wrapper, OptimWrapper):  # not when testing
            for group in self._groups(runner):
                group.setdefault("initial_lr", group["lr"])
            kept = ("initial_lr", "prefixes")
            self.configured = [{key: group[key] for key in kept if key in group} for group in self._groups(runner)]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """On resuming, count iterations as if all epochs had been as long as this run's.

        mmengine accumulates gradients (``accumulative_counts``) by that count and the last iteration's.
        """
        if not (runner._resume and isinstance(runner._train_loop, EpochBasedTrainLoop)):
            return
        meta = checkpoint.get("meta")
        epoch = meta.get("epoch") if isinstance(meta, dict) else None
        if type(epoch) is not int or epoch < 0:
            raise CheckpointError(
                f"{runner._load_from or 'the checkpoint'}: meta.epoch must be 0 or more, found {epoch!r}"
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
        length = (self.starts[index + 1] - self.starts[index]) * per_epoch
        iteration = (runner.epoch - self.starts[index]) * per_epoch + batch_idx
        factor = learning_rate_factor(self.stages[index], iteration, length, self.div, self.cut_div)
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
