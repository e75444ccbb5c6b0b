"""A second look at each proposed ROI, at a finer scale than the first pass had."""

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
from hipdet.models.crop_frames import CropFrames, cell_centres, random_frames
from hipdet.models.proposals import on_ignored


class Refinement(NamedTuple):
    """What the refiner reads off R crops.

    Fields: `deltas` ``[R, 4]`` in the frames of `CropFrames`; `quality` ``[R]``, logits of the IoU; the cells' `votes`
    ``[R, 4, cells]``, of which the deltas are the mean, and the logarithms of their weights ``[R, cells]``.
    """

    deltas: Tensor
    quality: Tensor
    votes: Tensor
    log_weights: Tensor


@MODELS.register_module()
class RoiRefiner(BaseModule):
    """Crop -> small backbone -> every cell votes for the ROI's centre and sides -> weighted mean of the votes.

    It trains on labels moved as a first pass might miss them, and on background that the first pass proposes.  The quality is
    trained to be the IoU of the refined box with the nearest label, so that the score of a detection predicts its IoU.

    Args:
        backbone: An mmdet backbone; its last map is read.
        in_channels: Channels of that map.
        feat_channels: Channels of the 3x3 convolution before the votes.
        pixels: Side of the crop that the backbone sees.
        context: Side of the crop in long sides of the proposal.
        square: Width and height are one: their votes are averaged.
        copies: Crops of each label in training.
        background: Crops of background in training, for each film: the best proposals that hardly overlap a label (IoU below
            .3), and places at random where there are too few.  What lies on an ignored box is none.
        shift, zoom, degrees: How far training crops miss the label, see `random_frames`.
        reach: Standard deviation of the cells that learn to vote about the ROI's centre, in its sides.
        vote_weight: Weight of that loss.
        loss_iou, loss_delta: mmdet losses of boxes ``[R, 4]`` and of deltas ``[R, 4]``.

    Raises:
        ConfigError: no background.
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
        loss_iou: dict | None = None,
        loss_delta: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if background < 1:
            raise ConfigError(f"RoiRefiner: background must be 1 or more, found {background}: films may have no label")
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
        self.vote = nn.Conv2d(feat_channels, 6, 3, padding=1)  # x, y, log w, log h, weight, quality
        nn.init.zeros_(self.vote.weight)  # begins with the proposal as the mean of equal votes
        nn.init.zeros_(self.vote.bias)  # type: ignore[arg-type]
        self.loss_iou = MODELS.build(loss_iou or dict(type="GIoULoss", loss_weight=2.0))
        self.loss_delta = MODELS.build(loss_delta or dict(type="L1Loss", loss_weight=4.0))

    def forward(self, crops: Tensor) -> Refinement:
        """Read `crops` ``[R, C, pixels, pixels]``."""
        maps = self.vote(self.stem(self.backbone(crops)[-1])).float()  # [R, 6, h, w]
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
        """Losses on crops of `films` ``[N, C, H, W]`` about their `labels` and of background.

        `labels`, `proposals`, best first, and `ignored` boxes, which are neither ROI nor background, are ``[G, 4]``,
        ``[P, 4]`` and ``[I, 4]`` pixels for each film.
        """
        spared = ignored if ignored and any(map(len, ignored)) else None
        if spared:
            shape = films.shape[2], films.shape[3]
            proposals = [found[~on_ignored(found, there, shape)] for found, there in zip(proposals, spared)]
        frames, counts, nearest = self._training_frames(films, labels, proposals)
        parts = [part.read(film, self.context, self.pixels) for film, part in zip(films, frames.split(counts))]
        crops = torch.cat(parts)
        found = self(crops)
        refined = frames.decode(found.deltas)
        # NaN where a film has no label at all: no overlap
        overlap = bbox_overlaps(refined.detach(), nearest, is_aligned=True).nan_to_num(0.0)
        offset = (frames.centre - (nearest[:, :2] + nearest[:, 2:]) / 2).abs().amax(1)
        positive = offset < frames.side * self.shift * self.zoom
        quality = found.quality
        if spared:  # neither what begins on an ignored box nor what is moved there shows what background is
            begun = frames.decode(torch.zeros_like(found.deltas))
            seen = zip(begun.split(counts), refined.detach().split(counts), spared)
            left_out = [on_ignored(at, there, shape) | on_ignored(to, there, shape) for at, to, there in seen]
            counted = positive | ~torch.cat(left_out)
            quality, overlap = quality[counted], overlap[counted]
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
        """Cells near the ROI's centre learn to vote, and to weigh: without it the mean of equal votes is hard to leave.

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
        """Frames about the labels of each film and its background, R in all.

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
        """Boxes ``[background, 4]``: of `proposals`, then anywhere, as large as the labels (a fifth of a film without)."""
        wrong = proposals[(bbox_overlaps(proposals, boxes) < 0.3).all(dim=1)][: self.background]
        missing = self.background - len(wrong)
        extent = films.new_tensor([films.shape[3], films.shape[2]])
        sides = (boxes[:, 2:] - boxes[:, :2]).amax(1) if len(boxes) else extent.max()[None] / 5
        half = sides[torch.randint(len(sides), (missing,), device=films.device)][:, None] / 2
        centre = torch.rand(missing, 2, device=films.device) * extent
        anywhere = torch.cat([centre - half, centre + half], dim=1)
        return torch.cat([wrong, anywhere])

    def refine(self, film: Tensor, boxes: Tensor, mirrored: bool = False) -> tuple[Tensor, Tensor]:
        """Re-read `boxes` ``[R, 4]`` of one `film` ``[C, H, W]``: better boxes, and the IoU ``[R]`` that they should have.

        `mirrored`: the network sees the crops' mirror images; the boxes are those of the film all the same.
        """
        frames = CropFrames.around(boxes, mirror=-torch.ones_like(boxes[:, 0]) if mirrored else None)
        found = self(frames.read(film, self.context, self.pixels))
        return frames.decode(found.deltas), found.quality.sigmoid()


def _nearest(points: Tensor, boxes: Tensor) -> Tensor:
    """For each of `points` ``[R, 2]`` that of `boxes` ``[G, 4]`` whose centre is nearest, ``[R, 4]``; NaN without boxes."""
    if not len(boxes):
        return torch.full((len(points), 4), torch.nan, device=points.device)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return boxes[(points[:, None] - centres).norm(dim=2).argmin(dim=1)]
