"""Square windows on films, with the way there and back."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class CropFrames(NamedTuple):
    """Coordinate frames of proposals: origin in the centre, unit the proposal's long side, perhaps turned or mirrored.

    No matrix products here: mixed precision would round them to thousandths, which is whole pixels.

    Fields: `centre` ``[R, 2]`` and `side` ``[R]`` in pixels of the film, `axes` ``[R, 2, 2]``, whose columns are the unit
    vectors of the frame's x and y on the film, at right angles.
    """

    centre: Tensor
    side: Tensor
    axes: Tensor

    @classmethod
    def around(cls, boxes: Tensor, angle: Tensor | None = None, mirror: Tensor | None = None) -> CropFrames:
        """Frames of `boxes` ``[R, 4]``, turned by `angle` ``[R]`` (radians) and mirrored where `mirror` ``[R]`` is -1."""
        angle = torch.zeros_like(boxes[:, 0]) if angle is None else angle
        mirror = torch.ones_like(angle) if mirror is None else mirror
        cos, sin = angle.cos(), angle.sin()
        axes = torch.stack([torch.stack([cos * mirror, -sin], 1), torch.stack([sin * mirror, cos], 1)], 1)
        side = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1).clamp(min=1.0)
        return cls((boxes[:, :2] + boxes[:, 2:]) / 2, side, axes)

    def split(self, counts: list[int]) -> list[CropFrames]:
        """The first ``counts[0]`` frames, then as many as the next number says, ..."""
        return [CropFrames(*parts) for parts in zip(*(field.split(counts) for field in self))]

    def encode(self, boxes: Tensor) -> Tensor:
        """`boxes` ``[R, 4]`` on the film as ``[R, 4]``: centre in the frame, logarithms of width and height.

        A turned frame takes the width and height as they are: a square stands for a round thing.
        """
        offset = (boxes[:, :2] + boxes[:, 2:]) / 2 - self.centre
        shift = (self.axes * offset[:, :, None]).sum(1) / self.side[:, None]
        return torch.cat([shift, ((boxes[:, 2:] - boxes[:, :2]) / self.side[:, None]).log()], dim=1)

    def decode(self, deltas: Tensor) -> Tensor:
        """The inverse of `encode`."""
        centre = self.centre + (self.axes * deltas[:, None, :2]).sum(2) * self.side[:, None]
        half = deltas[:, 2:].exp() * self.side[:, None] / 2
        return torch.cat([centre - half, centre + half], dim=1)

    def read(self, film: Tensor, context: float, pixels: int) -> Tensor:
        """Read the windows, `context` sides wide, off one `film` ``[C, H, W]`` as ``[R, C, pixels, pixels]``."""
        count, (height, width) = len(self.side), film.shape[1:]
        unit = 2 / film.new_tensor([width, height])  # the film spans -1 .. 1
        steps = cell_centres(pixels, 1, film)[:, 0, 1:] * context  # [pixels, 1] in sides
        spans = self.axes * self.side[:, None, None] * unit[:, None]
        across, down = (spans[:, None, :, axis] * steps for axis in (0, 1))  # [R, pixels, 2]
        # separable: one sum over all pixels of all windows
        grid = (self.centre[:, None] * unit - 1 + down)[:, :, None] + across[:, None]  # [R, pixels, pixels, 2]
        black = film.amin(dim=(1, 2), keepdim=True)  # what lies outside
        # the windows stacked in one tall picture: the film isn't copied for each
        tall = F.grid_sample((film - black)[None], grid.reshape(1, count * pixels, pixels, 2), align_corners=False)
        return (tall[0] + black).reshape(len(film), count, pixels, pixels).transpose(0, 1)


def cell_centres(height: int, width: int, like: Tensor) -> Tensor:
    """Centres (x, y) of the cells of a grid over the unit square about 0, ``[height, width, 2]``."""
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width - 0.5
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height - 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def random_frames(boxes: Tensor, shift: float, zoom: float, degrees: float) -> CropFrames:
    """Frames as a first pass might propose them for `boxes` ``[R, 4]``.

    Args:
        boxes: Labels, in pixels.
        shift: Error of either centre coordinate ~ U(-shift, shift) sides.
        zoom: Error of the side: factor within 1 / zoom .. zoom, uniform in the logarithm.
        degrees: Angle ~ U(-degrees, degrees); half of the frames are mirrored.
    """
    draw = torch.rand(len(boxes), 5, device=boxes.device, dtype=boxes.dtype) * 2 - 1
    frames = CropFrames.around(boxes, draw[:, 3] * math.radians(degrees), torch.where(draw[:, 4] < 0, -1.0, 1.0))
    centre = frames.centre + draw[:, :2] * shift * frames.side[:, None]
    return frames._replace(centre=centre, side=frames.side * (draw[:, 2] * math.log(zoom)).exp())
