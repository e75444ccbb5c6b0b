"""Pretrained backbone weights, with a way out for machines without a network."""

from __future__ import annotations

from typing import Any
from urllib.error import URLError

from mmengine.model.weight_init import PretrainedInit
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from hipdet.errors import CheckpointError

WAYS_OUT = (
    "Fetch the file on another machine and pass --cfg-options model.backbone.init_cfg.checkpoint=FILE, "
    "or start from random weights with --cfg-options model.backbone.init_cfg=None (accuracy will be lower). "
    "A model with a refiner has a second backbone, model.refiner.backbone: do the same for it."
)


@WEIGHT_INITIALIZERS.register_module()
class PretrainedWeights(PretrainedInit):
    """mmengine's ``Pretrained`` whose failed download says what to do.

    Give a URL rather than ``torchvision://``: that needs a torchvision that imports.

    Raises:
        CheckpointError: weights that can't be downloaded or found.
    """

    def __call__(self, module: nn.Module) -> Any:
        """Load the weights into `module`."""
        try:
            return super().__call__(module)
        except (URLError, ConnectionError, TimeoutError, FileNotFoundError) as error:
            raise CheckpointError(f"can't get the pretrained weights {self.checkpoint}: {error}. {WAYS_OUT}") from error
