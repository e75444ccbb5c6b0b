"""Backbones on grey films: a ResNet of their own, three channels for others, and pretrained weights with a way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.error import URLError

import torch
from mmdet.models import DetDataPreprocessor
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from mmengine.model.weight_init import PretrainedInit
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from hipdet.core.errors import CheckpointError

# of the ImageNet weights (recipe)
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


@MODELS.register_module()
class GreyResNet(ResNet):
    """mmdet's ``ResNet`` that takes greys 0 .. 255 of one channel and makes the three normalised ones itself.

    So films travel from disk to here as one channel instead of three equal ones, and are reduced or cropped before they are
    normalised: a third of the work and less.  Its weights are those of ``ResNet``; the data preprocessor is mmdet's without
    ``mean`` and ``std``.  Three equal channels give the same as one.

    Args:
        mean: Of the three channels.
        std: Likewise.
        **kwargs: Those of ``ResNet``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *args: Any, mean: Sequence[float] = MEAN, std: Sequence[float] = STD, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, films: Tensor) -> tuple[Tensor, ...]:
        """Maps of `films` ``[N, 1, H, W]``, as ``ResNet`` gives them."""
        return super().forward((films - self.mean) / self.std)


@MODELS.register_module()
class GreyPreprocessor(DetDataPreprocessor):
    """``DetDataPreprocessor`` that also takes films of one channel: for any backbone but `GreyResNet`.

    Loading, augmenting and handing over one channel instead of three equal ones takes a third of the work; here it becomes
    three, with the values that ``DetDataPreprocessor`` gives.  Films of three channels are left to it.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalise ``data['inputs']``, films ``[C, H, W]`` each, into a batch ``[N, 3, H, W]``."""
        data = self.cast_data(data)
        return super().forward({**data, "inputs": [film.expand(3, -1, -1) for film in data["inputs"]]}, training)


WAYS_OUT = (
    "Fetch the file on another machine and pass --cfg-options model.backbone.init_cfg.checkpoint=FILE, "
    "or start from random weights with --cfg-options model.backbone.init_cfg=None (accuracy will be lower). "
    "A model with a refiner has a second backbone, model.refiner.backbone: do the same for it."
)


@WEIGHT_INITIALIZERS.register_module()
class PretrainedWeights(PretrainedInit):
    """mmengine's ``Pretrained`` whose failed download says what to do on a machine without a network.

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
