"""The orientation head: which way up a film is and whether it is inverted, from the first look's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from hipdet.core.annotations import UNKNOWN_TURN

TURNS = 4  # by 0, 90, 180 and 270 degrees


@MODELS.register_module()
class OrientationHead(BaseModule):
    """Two convolutions, the mean over the map, and a linear layer with five outputs.

    Four are for the number of quarter turns counter-clockwise that make the film upright, one says whether it is inverted.
    It learns from ``orientation`` of a film's metainfo, ``(quarters, inverted)``, which `RandomOrientation` sets: films that
    are known to be upright are rotated and inverted at random.  A mirror image can't be told from the other side's film.

    Args:
        in_channels: Channels of the last map of the backbone.
        feat_channels: Channels of the convolutions.
        dropout: Dropout before the linear layer.
        loss_weight: Weight of the loss, which is summed over the films of a batch, as the detection head's is.
    """

    def __init__(
        self,
        in_channels: int,
        feat_channels: int = 96,
        dropout: float = 0.2,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.loss_weight = loss_weight
        layers: list[nn.Module] = []
        for channels in (in_channels, feat_channels):
            layers += [
                nn.Conv2d(channels, feat_channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(feat_channels),
                nn.ReLU(inplace=True),
            ]
        self.convs = nn.Sequential(*layers)
        self.drop = nn.Dropout(dropout)
        self.linear = nn.Linear(feat_channels, TURNS + 1)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Logits ``[N, 5]`` from the maps of the backbone, of which the last is used."""
        means = self.convs(features[-1]).mean(dim=(2, 3))
        logits: Tensor = self.linear(self.drop(means)).float()
        return logits

    def loss(self, features: tuple[Tensor, ...], samples: Sequence[Any]) -> dict[str, Tensor]:
        """Cross-entropy of both answers; films of which they aren't known don't count."""
        logits = self(features)
        nothing = (UNKNOWN_TURN, UNKNOWN_TURN)
        truth = logits.new_tensor([sample.metainfo.get("orientation", nothing) for sample in samples]).long()
        turns = F.cross_entropy(logits[:, :TURNS], truth[:, 0], ignore_index=UNKNOWN_TURN, reduction="sum")
        known = (truth[:, 1] != UNKNOWN_TURN).float()
        greys = F.binary_cross_entropy_with_logits(
            logits[:, TURNS], truth[:, 1].clamp(min=0).float(), weight=known, reduction="sum"
        )
        return dict(loss_orientation=self.loss_weight * (turns + greys))

    def predict(self, features: tuple[Tensor, ...]) -> Tensor:
        """Probabilities ``[N, 5]``: of each number of quarter turns, which add up to 1, and of an inverted film."""
        logits = self(features)
        return torch.cat([logits[:, :TURNS].softmax(dim=1), logits[:, TURNS:].sigmoid()], dim=1)
