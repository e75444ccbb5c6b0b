"""Batches of grey films for backbones with three input channels: for any but `GreyResNet`."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models import DetDataPreprocessor
from mmdet.registry import MODELS


@MODELS.register_module()
class GreyPreprocessor(DetDataPreprocessor):
    """``DetDataPreprocessor`` that also takes films of one channel.

    Loading, augmenting and handing over one channel instead of three equal ones takes a third of the work; here it becomes
    three, with the values that ``DetDataPreprocessor`` gives.  Films of three channels are left to it.

    Args:
        mean: Of the three channels.
        std: Likewise.
        bgr_to_rgb: Of films of three channels.
        **kwargs: Those of ``DetDataPreprocessor``.
    """

    def __init__(self, mean: list[float], std: list[float], bgr_to_rgb: bool = False, **kwargs: Any) -> None:
        super().__init__(mean=mean, std=std, bgr_to_rgb=bgr_to_rgb, **kwargs)
        self.padding = DetDataPreprocessor(**kwargs)  # what remains after normalisation

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalise ``data['inputs']``, films ``[C, H, W]`` each, into a batch ``[N, 3, H, W]``."""
        shapes = {film.shape for film in data["inputs"]}
        if any(shape[0] != 1 for shape in shapes):
            return super().forward(data, training)
        data = self.cast_data(data)
        films = data["inputs"]
        if len(shapes) == 1:  # in one piece
            films = [films if isinstance(films, torch.Tensor) else torch.stack(list(films))]
        normalised = [torch.sub(film, self.mean).div_(self.std) for film in films]
        inputs = normalised[0] if len(shapes) == 1 else normalised
        return self.padding({**data, "inputs": inputs}, training)
