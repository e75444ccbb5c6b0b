"""A ResNet for grey films."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from torch import Tensor

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
