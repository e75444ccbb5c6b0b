"""Backbones on grey films: a ResNet for one channel, and three channels for other backbones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models import DetDataPreprocessor
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from torch import Tensor

# of ImageNet, for the pretrained weights (docs/method.md, "Input")
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
SPREAD = sum(STD) / len(STD)
FAINT = 4.0  # grey values of 255


@MODELS.register_module()
class GreyResNet(ResNet):
    """mmdet's ``ResNet`` on one channel of grey values 0 .. 255, which it normalises itself.

    So films are loaded, reduced and cropped with one channel instead of three equal ones, and normalised last: a third of
    the work or less.  The weights are those of ``ResNet``; use mmdet's data preprocessor without ``mean`` and ``std``.
    Three equal channels give the same result as one.

    Args:
        in_channels: 3, or 1, for a third of the work in the first convolution: the channel has the average of means and of
            standard deviations.
        blocks: Residual blocks of each stage, if they aren't those of ``ResNet`` at this depth.
        mean: Means of the three channels.
        std: Standard deviations of the three channels.
        standardise: First give each film the mean grey value and the spread of ImageNet, so that how bright it is and how
            much contrast it has needn't be learnt; spreads below about `FAINT` grey values are noise and stay small.
        **kwargs: Arguments of ``ResNet``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        blocks: Sequence[int] | None = None,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        standardise: bool = False,
        **kwargs: Any,
    ) -> None:
        if blocks is not None:
            self.arch_settings = {depth: (ResNet.arch_settings[depth][0], tuple(blocks))}
        super().__init__(depth, in_channels=in_channels, **kwargs)
        self.standardise = standardise
        for name, values in (("mean", torch.tensor(mean)), ("std", torch.tensor(std))):
            channels = values if in_channels == len(values) else values.mean().expand(in_channels)
            self.register_buffer(name, channels.reshape(1, -1, 1, 1).clone(), persistent=False)

    def forward(self, films: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of `films` ``[N, 1, H, W]``, as from ``ResNet``."""
        if films.shape[1] > self.mean.shape[1]:
            films = films[:, :1]  # one of three equal channels
        if self.standardise:
            spread, centre = torch.std_mean(films, dim=(1, 2, 3), keepdim=True)
            films = (films - centre) * (SPREAD / (spread + FAINT)) + self.mean.mean()
        return super().forward((films - self.mean) / self.std)


@MODELS.register_module()
class GreyPreprocessor(DetDataPreprocessor):
    """``DetDataPreprocessor`` that also takes films of one channel: for any backbone other than `GreyResNet`.

    Loading, augmenting and collating one channel instead of three equal ones takes a third of the work; here it is
    expanded to three, with the result of ``DetDataPreprocessor``.  Films of three channels work as usual.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalise ``data['inputs']``, films ``[C, H, W]`` each, into a batch ``[N, 3, H, W]``."""
        data = self.cast_data(data)
        return super().forward({**data, "inputs": [film.expand(3, -1, -1) for film in data["inputs"]]}, training)
