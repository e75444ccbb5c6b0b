"""Backbones on grey films: a ResNet for one channel, three channels for other backbones, and pretrained weights."""

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

# of ImageNet, for the pretrained weights (docs/method.md, "Input")
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
FAINT = 4.0  # grey values of 255


@MODELS.register_module()
class GreyResNet(ResNet):
    """mmdet's ``ResNet`` on one channel of grey values 0 .. 255, which it normalises itself.

    So films are loaded, reduced and cropped with one channel instead of three equal ones, and normalised last: a third of
    the work or less.  The weights are those of ``ResNet``; use mmdet's data preprocessor without ``mean`` and ``std``.
    Three equal channels give the same result as one.

    Args:
        in_channels: 3, or 1 for a network that isn't pretrained: its first convolution then has a third of the work, and
            the channel has the average of means and of standard deviations.
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
        *args: Any,
        in_channels: int = 3,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        standardise: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, in_channels=in_channels, **kwargs)
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
            films = (films - centre) * (self.std.mean() / (spread + FAINT)) + self.mean.mean()
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


WAYS_OUT = (
    "Download the file on another machine and pass --cfg-options model.backbone.init_cfg.checkpoint=FILE, "
    "or start from random weights with --cfg-options model.backbone.init_cfg=None (accuracy will be lower). "
    "A model with a refiner has a second backbone, model.refiner.backbone: do the same for it."
)


@WEIGHT_INITIALIZERS.register_module()
class PretrainedWeights(PretrainedInit):
    """mmengine's ``Pretrained`` with an error that says what to do if the download fails.

    Give a URL rather than ``torchvision://``, which needs a torchvision that can be imported.

    Raises:
        CheckpointError: the weights can't be downloaded or found.
    """

    def __call__(self, module: nn.Module) -> Any:
        """Load the weights into `module`."""
        try:
            return super().__call__(module)
        except (URLError, ConnectionError, TimeoutError, FileNotFoundError) as error:
            raise CheckpointError(f"can't get the pretrained weights {self.checkpoint}: {error}. {WAYS_OUT}") from error
