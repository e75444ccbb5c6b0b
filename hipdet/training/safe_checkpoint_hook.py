"""Checkpoints that torch's safe loader reads."""

from __future__ import annotations

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from hipdet.plain import plain


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Keeps out of checkpoints what the safe loader refuses.

    mmengine 0.10.7 writes its ``message_hub`` of logged values into every checkpoint, which torch >= 2.6 doesn't load
    (reference stack).  Smoothed values of the log start anew after resuming; nothing else is lost.
    """

    priority = "LOWEST"  # after the hooks that add to the checkpoint

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Empty the message hub and make plain numbers of numpy's."""
        checkpoint["message_hub"] = dict(log_scalars={}, runtime_info={}, resumed_keys={})
        checkpoint["meta"] = plain(checkpoint["meta"])
