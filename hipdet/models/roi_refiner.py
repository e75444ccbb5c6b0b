"""The second look: a refiner of each proposed ROI, at a finer scale than that of the first stage."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from hipdet.core.errors import ConfigError
from hipdet.models.proposals import on_ignored


class CropFrames(NamedTuple):
    """Coordinate frames of proposals: origin at the centre, unit the proposal's long side, perhaps rotated or mirrored.

    There are no matrix products here: mixed precision would round them to thousandths, which are whole pixels.

    Fields: `centre` ``[R, 2]`` and `side` ``[R]`` in pixels of the film, `axes` ``[R, 2, 2]``, whose columns are the unit
    vectors of the frame's x and y on the film, at right angles.
    """

    centre: Tensor
    side: Tensor
    axes: Tensor

    @classmethod
    def around(cls, boxes: Tensor, angle: Tensor | None = None, mirror: Tensor | None = None) -> CropFrames:
        """Frames of `boxes` ``[R, 4]``, rotated by `angle` ``[R]`` (radians), mirrored where `mirror` ``[R]`` is -1."""
        angle = torch.zeros_like(boxes[:, 0]) if angle is None else angle
        mirror = torch.ones_like(angle) if mirror is None else mirror
        cos, sin = angle.cos(), angle.sin()
        axes = torch.stack([torch.stack([cos * mirror, -sin], 1), torch.stack([sin * mirror, cos], 1)], 1)
        side = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1).clamp(min=1.0)
        return cls((boxes[:, :2] + boxes[:, 2:]) / 2, side, axes)

    def split(self, counts: list[int]) -> list[CropFrames]:
        """Split into parts of ``counts[0]``, ``counts[1]``, ... frames."""
        return [CropFrames(*parts) for parts in zip(*(field.split(counts) for field in self))]

    def encode(self, boxes: Tensor) -> Tensor:
        """Encode `boxes` ``[R, 4]`` on the film as ``[R, 4]``: centre in the frame, logarithms of width and height.

        A rotated frame keeps width and height: a square encloses a round object.
        """
        offset = (boxes[:, :2] + boxes[:, 2:]) / 2 - self.centre
        shift = (self.axes * offset[:, :, None]).sum(1) / self.side[:, None]
        return torch.cat([shift, ((boxes[:, 2:] - boxes[:, :2]) / self.side[:, None]).log()], dim=1)

    def decode(self, deltas: Tensor) -> Tensor:
        """The inverse of `encode`."""
        centre = self.centre + (self.axes * deltas[:, None, :2]).sum(2) * self.side[:, None]
        half = deltas[:, 2:].exp() * self.side[:, None] / 2
        return torch.cat([centre - half, centre + half], dim=1)

    def sample(self, film: Tensor, context: float, pixels: int) -> Tensor:
        """Crop the windows, `context` sides wide, from one `film` ``[C, H, W]``: ``[R, C, pixels, pixels]``."""
        height, width = film.shape[1:]
        unit = 2 / film.new_tensor([width, height])  # the film spans -1 .. 1
        steps = cell_centres(pixels, 1, film)[:, 0, 1:] * context  # [pixels, 1] in sides
        spans = self.axes * self.side[:, None, None] * unit[:, None]
        across, down = (spans[:, None, :, axis] * steps for axis in (0, 1))  # [R, pixels, 2]
        # separable: only one addition over all pixels of all windows
        grid = (self.centre[:, None] * unit - 1 + down)[:, :, None] + across[:, None]  # [R, pixels, pixels, 2]
        black = film.amin(dim=(1, 2), keepdim=True)  # outside the film
        # the windows are stacked in one tall picture, so that the film isn't copied for each; an export must not fix R
        tall = F.grid_sample((film - black)[None], grid.reshape(1, -1, pixels, 2), align_corners=False)
        return (tall[0] + black).reshape(len(film), -1, pixels, pixels).transpose(0, 1)


def cell_centres(height: int, width: int, like: Tensor) -> Tensor:
    """Centres (x, y) of the cells of a grid over the unit square around 0, ``[height, width, 2]``."""
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width - 0.5
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height - 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def random_frames(boxes: Tensor, shift: float, zoom: float, degrees: float) -> CropFrames:
    """Random frames for `boxes` ``[R, 4]``, with errors as in proposals of the first stage.

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


class Refinement(NamedTuple):
    """The refiner's output for R crops.

    Fields: `deltas` ``[R, 4]`` in the frames of `CropFrames`; `quality` ``[R]``, logits of the IoU; the cells' `votes`
    ``[R, 4, cells]``, of which the deltas are the mean, and the logarithms of their weights ``[R, cells]``.
    """

    deltas: Tensor
    quality: Tensor
    votes: Tensor
    log_weights: Tensor


def mixing_block(channels: int, kernel: int) -> nn.Sequential:
    """What is added to a map: a `kernel` x `kernel` convolution of each channel, then a 1x1 convolution of all channels.

    A cell of a small map sees all of it for a tenth of what a full convolution costs (ConvNeXt, Liu et al. 2022).
    """
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    )


@MODELS.register_module()
class RoiRefiner(BaseModule):
    """Crop -> small backbone -> every cell votes for the ROI's centre and sides -> weighted mean of the votes.

    It trains on labels with random errors as in the first stage, and on background that the first stage proposes.  The
    quality learns the IoU of the refined box with the nearest label, so the score of a detection predicts its IoU.

    Args:
        backbone: An mmdet backbone, of which the last map is used.
        in_channels: Channels of that map.
        feat_channels: Channels of the 3x3 convolution before the votes.
        pixels: Side of the backbone's input, the crop.
        context: Side of the crop in long sides of the proposal.
        square: Whether width and height are equal: their votes are averaged.
        copies: Number of crops of each label in training.
        mixing: Side of the kernel, odd, of a convolution by channels before the votes, so that each cell sees the ROI from
            edge to edge; 0 for none.  Checkpoints from before hipdet had it need 0.
        background: Number of background crops of each film in training: the best proposals that hardly overlap a label (IoU
            below .3), and random places if there are too few.  Proposals on an ignored box aren't used.
        shift, zoom, degrees: Errors of training crops, see `random_frames`.
        reach: Standard deviation of the weights of cells around the ROI's centre that learn to vote, in its sides.
        vote_weight: Weight of that loss.
        loss_iou, loss_delta: mmdet losses of boxes ``[R, 4]`` and of deltas ``[R, 4]``.

    Raises:
        ConfigError: `background` is below 1, or `mixing` is even.
    """

    def __init__(
        self,
        backbone: dict,
        in_channels: int,
        feat_channels: int = 128,
        pixels: int = 128,
        context: float = 2.0,
        square: bool = True,
        copies: int = 2,
        background: int = 1,
        shift: float = 0.2,
        zoom: float = 1.35,
        degrees: float = 10.0,
        reach: float = 0.1,
        vote_weight: float = 1.0,
        mixing: int = 0,
        loss_iou: dict | None = None,
        loss_delta: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if background < 1:
            raise ConfigError(f"RoiRefiner: background must be 1 or more, found {background}: films may have no label")
        if mixing < 0 or (mixing and mixing % 2 == 0):
            raise ConfigError(f"RoiRefiner: mixing must be 0 or an odd side of a kernel, found {mixing}")
        self.pixels, self.context, self.square = pixels, context, square
        self.copies, self.background = copies, background
        self.shift, self.zoom, self.degrees = shift, zoom, degrees
        self.reach, self.vote_weight = reach, vote_weight
        self.backbone = MODELS.build(backbone)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, feat_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(feat_channels),
            nn.ReLU(inplace=True),
        )
        self.mixing = mixing_block(feat_channels, mixing) if mixing else None
        self.vote = nn.Conv2d(feat_channels, 6, 3, padding=1)  # x, y, log w, log h, weight, quality
        nn.init.zeros_(self.vote.weight)  # training starts from equal votes, whose mean is the proposal
        nn.init.zeros_(self.vote.bias)  # type: ignore[arg-type]
        self.loss_iou = MODELS.build(loss_iou or dict(type="GIoULoss", loss_weight=2.0))
        self.loss_delta = MODELS.build(loss_delta or dict(type="L1Loss", loss_weight=4.0))

    def forward(self, crops: Tensor) -> Refinement:
        """Refine `crops` ``[R, C, pixels, pixels]``."""
        features = self.stem(self.backbone(crops)[-1])
        if self.mixing is not None:
            features = F.relu(features + self.mixing(features))
        maps = self.vote(features).float()  # [R, 6, h, w]
        cells = cell_centres(maps.shape[2], maps.shape[3], maps).permute(2, 0, 1) * self.context
        sides = maps[:, 2:4].mean(1, keepdim=True).expand(-1, 2, -1, -1) if self.square else maps[:, 2:4]
        votes = torch.cat([cells + maps[:, :2], sides], dim=1).flatten(2)
        log_weights = maps[:, 4].flatten(1).log_softmax(dim=1)
        weights = log_weights.exp()
        quality = (maps[:, 5].flatten(1) * weights).sum(1)
        return Refinement((votes * weights[:, None]).sum(2), quality, votes, log_weights)

    def loss(
        self, films: Tensor, labels: list[Tensor], proposals: list[Tensor], ignored: list[Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Losses on crops of `films` ``[N, C, H, W]`` around their `labels` and of background.

        For each film, `labels` ``[G, 4]``, `proposals` ``[P, 4]`` (best first) and `ignored` boxes ``[I, 4]`` (neither ROI
        nor background) are in pixels.
        """
        spared = ignored if ignored and any(map(len, ignored)) else None
        if spared:
            shape = films.shape[2], films.shape[3]
            proposals = [found[~on_ignored(found, boxes, shape)] for found, boxes in zip(proposals, spared)]
        frames, counts, nearest = self._training_frames(films, labels, proposals)
        parts = [part.sample(film, self.context, self.pixels) for film, part in zip(films, frames.split(counts))]
        crops = torch.cat(parts)
        found = self(crops)
        refined = frames.decode(found.deltas)
        # NaN where a film has no label: no overlap
        overlap = bbox_overlaps(refined.detach(), nearest, is_aligned=True).nan_to_num(0.0)
        offset = (frames.centre - (nearest[:, :2] + nearest[:, 2:]) / 2).abs().amax(1)
        positive = offset < frames.side * self.shift * self.zoom
        quality = found.quality
        if spared:  # a crop that starts on an ignored box, or is refined onto one, is no example of background
            starts = frames.decode(torch.zeros_like(found.deltas))
            by_film = zip(starts.split(counts), refined.detach().split(counts), spared)
            left_out = [on_ignored(old, boxes, shape) | on_ignored(new, boxes, shape) for old, new, boxes in by_film]
            used = positive | ~torch.cat(left_out)
            quality, overlap = quality[used], overlap[used]
        learns = len(quality) > 0
        losses = dict(
            loss_quality=F.binary_cross_entropy_with_logits(quality, overlap) if learns else found.quality.sum() * 0
        )
        if not positive.any():
            return {**losses, "loss_refined": found.deltas.sum() * 0, "loss_votes": found.votes.sum() * 0}
        target = frames.encode(nearest)[positive]
        losses["loss_refined"] = self.loss_iou(refined[positive], nearest[positive]) + self.loss_delta(
            found.deltas[positive], target
        )
        losses["loss_votes"] = self._vote_loss(found.votes[positive], found.log_weights[positive], target)
        return losses

    def _vote_loss(self, votes: Tensor, log_weights: Tensor, target: Tensor) -> Tensor:
        """Loss that teaches cells near the ROI's centre to vote and to weigh; without it, votes tend to stay equal.

        `votes` is ``[P, 4, cells]``, `log_weights` ``[P, cells]``, `target` ``[P, 4]``.
        """
        side = math.isqrt(votes.shape[2])
        cells = cell_centres(side, side, votes).reshape(-1, 2) * self.context
        distance = (target[:, None, :2] - cells).norm(dim=2)  # [P, cells] in sides
        near = (-0.5 * (distance / self.reach) ** 2).softmax(dim=1)
        error = (votes - target[:, :, None]).abs().sum(1)
        return self.vote_weight * ((error - log_weights) * near).sum(1).mean()

    def _training_frames(
        self, films: Tensor, labels: list[Tensor], proposals: list[Tensor]
    ) -> tuple[CropFrames, list[int], Tensor]:
        """Frames around the labels of each film and its background, R in all.

        Returns:
            The frames, film after film; their number for each film; the label nearest to each frame ``[R, 4]``, NaN where the
            film has none.
        """
        about = [
            torch.cat([boxes.repeat(self.copies, 1), self._background(boxes, found, films)])
            for boxes, found in zip(labels, proposals)
        ]
        counts = [len(boxes) for boxes in about]
        frames = random_frames(torch.cat(about), self.shift, self.zoom, self.degrees)
        nearest = [_nearest(part.centre, boxes) for part, boxes in zip(frames.split(counts), labels)]
        return frames, counts, torch.cat(nearest)

    def _background(self, boxes: Tensor, proposals: Tensor, films: Tensor) -> Tensor:
        """Background boxes: from `proposals`, then at random, as large as the labels (without labels, a fifth of a film)."""
        wrong = proposals[(bbox_overlaps(proposals, boxes) < 0.3).all(dim=1)][: self.background]
        missing = self.background - len(wrong)
        extent = films.new_tensor([films.shape[3], films.shape[2]])
        sides = (boxes[:, 2:] - boxes[:, :2]).amax(1) if len(boxes) else extent.max()[None] / 5
        half = sides[torch.randint(len(sides), (missing,), device=films.device)][:, None] / 2
        centre = torch.rand(missing, 2, device=films.device) * extent
        anywhere = torch.cat([centre - half, centre + half], dim=1)
        return torch.cat([wrong, anywhere])

    def refine(self, film: Tensor, boxes: Tensor, mirrored: bool = False) -> tuple[Tensor, Tensor]:
        """Refine `boxes` ``[R, 4]`` on one `film` ``[C, H, W]``: refined boxes and their predicted IoU ``[R]``.

        With `mirrored`, the network runs on the crops' mirror images; the boxes refer to the film in any case.
        """
        frames = CropFrames.around(boxes, mirror=-torch.ones_like(boxes[:, 0]) if mirrored else None)
        found = self(frames.sample(film, self.context, self.pixels))
        return frames.decode(found.deltas), found.quality.sigmoid()


def _nearest(points: Tensor, boxes: Tensor) -> Tensor:
    """For each of `points` ``[R, 2]``, the box ``[R, 4]`` of `boxes` ``[G, 4]`` with the nearest centre; NaN without."""
    if not len(boxes):
        return torch.full((len(points), 4), torch.nan, device=points.device)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return boxes[(points[:, None] - centres).norm(dim=2).argmin(dim=1)]
