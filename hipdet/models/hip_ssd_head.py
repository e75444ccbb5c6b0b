"""The paper's simplified SSD head: one map, one aspect ratio, a few scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from hipdet.core.errors import ConfigError
from hipdet.models.proposals import best_proposals, distinct, film_shape, ignored_boxes, on_ignored


def conv_block(in_channels: int, out_channels: int, stride: int, dropout: float) -> nn.Sequential:
    """3x3 convolution with bias -> ReLU -> BatchNorm -> dropout: fastai's order, which mmcv's ConvModule can't express."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
    return nn.Sequential(conv, nn.ReLU(inplace=True), nn.BatchNorm2d(out_channels), nn.Dropout(dropout))


def bounded_deltas(raw: Tensor, cell: Tensor, anchor: Tensor) -> Tensor:
    """Tanh-bounded box predictions as deltas of ``DeltaXYWHBBoxCoder`` (docs/method.md, "Decoding").

    The centre moves by at most half a cell and the sides change by a factor within (0.5, 1.5).

    Args:
        raw: Network output ``[N, A, 4, H, W]``.
        cell: Cell width and height in pixels ``[2]``.
        anchor: Anchor widths and heights in pixels ``[A, 2]``.

    Returns:
        Deltas ``[N, A, 4, H, W]``: (dx, dy) in anchor sides, (dw, dh) as logarithms.
    """
    half = 0.5 * torch.tanh(raw)
    shift = half[:, :, :2] * (cell / anchor)[None, :, :, None, None]
    return torch.cat([shift, torch.log1p(half[:, :, 2:])], dim=2)


@MODELS.register_module()
class HipSSDHead(AnchorHead):
    """Dropout -> 3x3 conv -> ReLU -> BN -> dropout -> class and box convolutions (paper, section 3.3).

    It takes the last feature map (docs/method.md, "Head").  Inference is mmdet's own, but boxes are clipped to the film.
    The loss of a batch is the *sum* over its images of the mean L1 distance of decoded corners in [0, 1] image units, plus
    the focal loss summed over all anchors and divided by the number of classes (docs/method.md, "Loss").

    Args:
        downsamples: For each anchor level, the number of stride-2 convolutions before it: ``(0,)`` is the paper's single
            map, ``(1, 2, 3)`` gives 4x4, 2x2 and 1x1 on a 7x7 map (experiment 1).
        dropout: Dropout before and after each convolution.
        class_bias: Initial bias of the class convolutions; with -4, nearly everything starts as background.
        init_cfg: None keeps PyTorch's initialisation, as fastai did (docs/method.md, "Head").

    Raises:
        ConfigError: `downsamples` doesn't match the anchor levels, the class loss has no sigmoid, or the box coder isn't
            plain DeltaXYWH.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *args: Any,
        downsamples: Sequence[int] = (0,),
        dropout: float = 0.4,
        class_bias: float = -4.0,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        self.downsamples = tuple(downsamples)
        self.dropout = dropout
        self.class_bias = class_bias
        kwargs["reg_decoded_bbox"] = True  # targets are corners: the loss compares decoded boxes
        super().__init__(num_classes, in_channels, *args, init_cfg=init_cfg, **kwargs)
        if not self.use_sigmoid_cls:
            raise ConfigError("HipSSDHead: loss_cls has use_sigmoid=False, expected use_sigmoid=True")
        if tuple(self.bbox_coder.means) != (0,) * 4 or tuple(self.bbox_coder.stds) != (1,) * 4:
            raise ConfigError(
                f"HipSSDHead: bbox_coder has target_means={self.bbox_coder.means} and target_stds={self.bbox_coder.stds}, "
                f"expected the defaults 0 and 1, as tanh bounds the boxes: remove them"
            )

    def _init_layers(self) -> None:
        levels = self.prior_generator.num_levels
        if len(self.downsamples) != levels or sorted(self.downsamples) != list(self.downsamples):
            raise ConfigError(
                f"HipSSDHead: downsamples={self.downsamples} must ascend and have one number for each of the {levels} "
                f"levels of the anchor generator"
            )
        width = self.feat_channels
        self.drop = nn.Dropout(self.dropout)
        self.stem = conv_block(self.in_channels, width, 1, self.dropout)
        self.down = nn.ModuleList(conv_block(width, width, 2, self.dropout) for _ in range(self.downsamples[-1]))
        anchors = self.prior_generator.num_base_priors
        self.conv_cls = nn.ModuleList(nn.Conv2d(width, n * self.cls_out_channels, 3, padding=1) for n in anchors)
        self.conv_reg = nn.ModuleList(nn.Conv2d(width, n * 4, 3, padding=1) for n in anchors)
        for conv in self.conv_cls:
            nn.init.constant_(conv.get_parameter("bias"), self.class_bias)
        for level, base in enumerate(self.prior_generator.base_anchors):
            cell = torch.tensor(self.prior_generator.strides[level], dtype=torch.float32)
            self.register_buffer(f"cell_{level}", cell, persistent=False)
            self.register_buffer(f"anchor_{level}", base[:, 2:] - base[:, :2], persistent=False)

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Class logits ``[N, A*C, H, W]`` and box deltas ``[N, A*4, H, W]`` of each anchor level."""
        x = self.stem(self.drop(feats[-1]))
        scores, deltas, depth = [], [], 0
        for level, downsample in enumerate(self.downsamples):
            for block in self.down[depth:downsample]:
                x = block(x)
            depth = downsample
            raw = self.conv_reg[level](x).float()  # [N, A*4, H, W]; mixed precision ends here
            n, _, h, w = raw.shape
            bounded = bounded_deltas(
                raw.view(n, -1, 4, h, w), getattr(self, f"cell_{level}"), getattr(self, f"anchor_{level}")
            )
            scores.append(self.conv_cls[level](x).float())
            deltas.append(bounded.flatten(1, 2))
        return scores, deltas

    def predict(self, x: tuple[Tensor, ...], batch_data_samples: list, rescale: bool = False) -> list:
        """Predict as mmdet does, but clip boxes to the film; mmdet lets them reach into the padding of the square."""
        metas = [dict(each.metainfo, img_shape=film_shape(each.metainfo)) for each in batch_data_samples]
        return self.predict_by_feat(*self(x), batch_img_metas=metas, rescale=rescale)

    def flat(self, scores: list[Tensor], deltas: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """All anchors ``[A, 4]`` in pixels, their class logits ``[N, A, C]`` and box deltas ``[N, A, 4]``."""
        sizes = [tuple(level.shape[-2:]) for level in scores]
        anchors = torch.cat(self.prior_generator.grid_priors(sizes, device=scores[0].device))
        return anchors, flatten_levels(scores, self.cls_out_channels), flatten_levels(deltas, 4)

    def loss_and_propose(self, x: tuple[Tensor, ...], samples: list, settings: Any) -> tuple[dict, list[Tensor]]:
        """Losses, and for each film the boxes ``[P, 4]`` that `settings` (a ``test_cfg``) would keep, best first."""
        labels, ignored, metas = unpack_gt_instances(samples)
        scores, deltas = self(x)
        losses = self.loss_by_feat(scores, deltas, labels, metas, ignored)
        with torch.no_grad():
            anchors, logits, moves = self.flat(scores, deltas)
            height, width = metas[0]["batch_input_shape"]
            extent = anchors.new_tensor([width, height])
            # of all classes together: they only serve as the refiner's background crops, which have no class
            found = torch.vmap(best_proposals, (0, 0, None, None, None))(
                logits, moves, anchors, extent, settings.nms_pre
            )
            suppress = torch.vmap(distinct, (0, None, None))
            chosen, scores = suppress(found, settings.nms.iou_threshold, settings.max_per_img)
        return losses, [boxes[kept[score > 0]] for boxes, kept, score in zip(found.boxes, chosen, scores)]

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list | None = None,
    ) -> dict[str, Tensor]:
        """The two losses of a batch, each a scalar with a gradient even where no anchor is positive."""
        sizes = [tuple(score.shape[-2:]) for score in cls_scores]
        anchor_list, valid_flags = self.get_anchors(sizes, batch_img_metas, device=cls_scores[0].device)
        labels, label_weights, targets, *_ = self.get_targets(
            anchor_list, valid_flags, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
        )
        label = torch.cat(labels, dim=1)  # [N, anchors]; num_classes is background
        logits = flatten_levels(cls_scores, self.cls_out_channels)  # [N, anchors, C]
        # with one-hot targets mmdet uses its PyTorch focal loss, also on a GPU: the other one needs a compiled mmcv
        one_hot = F.one_hot(label, self.num_classes + 1)[..., : self.num_classes]
        focal = self.loss_cls(
            logits.flatten(0, 1),
            one_hot.flatten(0, 1),
            torch.cat(label_weights, dim=1).flatten(),
            reduction_override="sum",
        )
        height, width = batch_img_metas[0]["batch_input_shape"]
        sides = logits.new_tensor([width, height, width, height])
        deltas, target = flatten_levels(bbox_preds, 4), torch.cat(targets, dim=1)
        return dict(
            loss_cls=focal / self.num_classes,
            loss_bbox=self._box_loss(deltas, label, target / sides, anchor_list, sides),
        )

    def _get_targets_single(
        self,
        flat_anchors: Tensor,
        valid_flags: Tensor,
        gt_instances: InstanceData,
        img_meta: dict,
        gt_instances_ignore: InstanceData | None = None,
        unmap_outputs: bool = True,
    ) -> tuple:
        """Targets as in mmdet, but background anchors on an ignored box get a weight of 0.

        ``MaxIoUAssigner(ignore_iof_thr=...)`` can't be used: on a film without an ROI it takes these anchors for background,
        and where an ignored box covers an ROI, it forces that ROI on an anchor elsewhere.
        """
        labels, weights, *others = super()._get_targets_single(
            flat_anchors, valid_flags, gt_instances, img_meta, None, unmap_outputs
        )
        ignored = ignored_boxes(gt_instances_ignore, get_box_tensor(gt_instances.bboxes))
        if len(ignored):
            background = labels == self.num_classes
            covered = on_ignored(get_box_tensor(flat_anchors), ignored, img_meta["img_shape"][:2])
            weights = weights.masked_fill(background & covered, 0.0)
        return (labels, weights, *others)

    def _box_loss(
        self, deltas: Tensor, label: Tensor, targets: Tensor, anchor_list: list[list[Tensor]], sides: Tensor
    ) -> Tensor:
        """Sum over images of the mean L1 distance of decoded corners in [0, 1] units.

        `deltas` and `targets` are ``[N, anchors, 4]``, `label` is ``[N, anchors]``, `sides` the image's w, h, w, h in pixels.
        """
        positive = label < self.num_classes  # [N, anchors]
        if not positive.any():
            return deltas.sum() * 0
        anchors = torch.cat([get_box_tensor(level) for level in anchor_list[0]]).expand_as(deltas)
        decoded = get_box_tensor(self.bbox_coder.decode(anchors[positive], deltas[positive]))  # [P, 4] pixels
        share = 1 / (4 * positive.sum(dim=1, keepdim=True).clamp(min=1))  # [N, 1]
        weight = share.expand_as(label)[positive][:, None].expand(-1, 4)  # [P, 4]
        return self.loss_bbox(decoded / sides, targets[positive], weight, reduction_override="sum")


def flatten_levels(maps: list[Tensor], channels: int) -> Tensor:
    """Reshape maps ``[N, A*channels, H, W]`` of all levels to ``[N, anchors, channels]`` in the anchors' order."""
    return torch.cat([m.permute(0, 2, 3, 1).reshape(m.shape[0], -1, channels) for m in maps], dim=1)
