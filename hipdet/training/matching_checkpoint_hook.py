"""Checkpoints are loaded into the model that they are of."""

from __future__ import annotations

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from hipdet.checkpoint import state_dict_faults
from hipdet.errors import CheckpointError


@HOOKS.register_module()
class MatchingCheckpointHook(Hook):
    """Turns weights of another model away when testing or resuming: mmengine itself only warns."""

    priority = "VERY_HIGH"  # before mmengine's EMAHook loads its part

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the weights with the model.

        Raises:
            CheckpointError: weights of another model.
        """
        model = getattr(runner.model, "module", runner.model)
        faults = state_dict_faults(checkpoint.get("state_dict", checkpoint), model.state_dict())
        fine_tuning = isinstance(runner._train_loop, BaseLoop) and not runner._resume
        if faults and not fine_tuning:
            raise CheckpointError(
                f"{runner._load_from or 'the checkpoint'} is of another model: {faults}. "
                f"Use the config that it was trained with."
            )
