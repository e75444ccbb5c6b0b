"""Checkpoints that torch's safe loader reads, and that belong to the model that reads them."""

from __future__ import annotations

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from hipdet.checkpoint import state_dict_faults
from hipdet.errors import CheckpointError
from hipdet.plain import plain


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Keeps out of checkpoints what the safe loader refuses, and keeps checkpoints of other models out.

    mmengine 0.10.7 writes its ``message_hub`` of logged values into every checkpoint, which torch >= 2.6 doesn't load
    (reference stack).  Smoothed values of the log start anew after resuming; nothing else is lost.
    """

    priority = "LOWEST"  # after the hooks that add to the checkpoint

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Empty the message hub and make plain numbers of numpy's."""
        checkpoint["message_hub"] = dict(log_scalars={}, runtime_info={}, resumed_keys={})
        checkpoint["meta"] = plain(checkpoint["meta"])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the weights with the model: mmengine itself only warns.

        Raises:
            CheckpointError: when testing or resuming with weights of another model.
        """
        model = getattr(runner.model, "module", runner.model)
        faults = state_dict_faults(checkpoint.get("state_dict", checkpoint), model.state_dict())
        fine_tuning = isinstance(runner._train_loop, BaseLoop) and not runner._resume
        if faults and not fine_tuning:
            raise CheckpointError(
                f"{runner._load_from or 'the checkpoint'} is of another model: {faults}. "
                f"Use the config that it was trained with."
            )
