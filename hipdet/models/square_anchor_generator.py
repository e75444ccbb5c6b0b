"""Square anchors centred on the cells of a feature map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.models.task_modules import AnchorGenerator
from mmdet.registry import TASK_UTILS

from hipdet.anchors.anchor_set import arithmetic_scales
from hipdet.core.errors import ConfigError


@TASK_UTILS.register_module()
class SquareAnchorGenerator(AnchorGenerator):
    """One 1:1 anchor per scale and cell, in fastai's order: row, column, scale (paper, section 3.3).

    An anchor's side is ``scale * stride`` pixels of the padded square and its centre ``(i + 1/2) * stride``.  None is
    clipped or dropped at the border (docs/method.md, "Anchors").

    Args:
        strides: Cell side of every level in pixels: ``[32]`` is a 7x7 grid on 224 px.
        scales: A list, or ``dict(start=0.7, stop=2.2, step=0.3)`` for equal steps with `stop` included.

    Raises:
        ConfigError: there is no scale, or one isn't positive.
    """

    def __init__(self, strides: Sequence[int], scales: Sequence[float] | Mapping[str, float], **kwargs: Any) -> None:
        if isinstance(scales, Mapping):
            scales = arithmetic_scales(**scales)
        if not scales or min(scales) <= 0:
            raise ConfigError(
                f"SquareAnchorGenerator: scales must be positive numbers, at least one, found {list(scales)}"
            )
        # with an offset, mmdet places the centre at offset * base size, so base sizes must equal the strides (its default)
        super().__init__(strides=list(strides), ratios=[1.0], scales=list(scales), center_offset=0.5, **kwargs)
