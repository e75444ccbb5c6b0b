"""Stock detectors of mmdet, untrained, built from their settings: its wheels hold no configs."""

from __future__ import annotations

from typing import Any

from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from torch import nn

import hipdet.plugin  # noqa: F401  (before mmdet: makes mmcv-lite usable)

SSD300 = dict(
    type="SingleStageDetector",
    backbone=dict(
        type="SSDVGG", depth=16, with_last_pool=False, ceil_mode=True, out_indices=(3, 4), out_feature_indices=(22, 34)
    ),
    neck=dict(
        type="SSDNeck",
        in_channels=(512, 1024),
        out_channels=(512, 1024, 512, 256, 256, 256),
        level_strides=(2, 2, 1, 1),
        level_paddings=(1, 1, 0, 0),
        l2_norm_scale=20,
    ),
    bbox_head=dict(
        type="SSDHead",
        in_channels=(512, 1024, 512, 256, 256, 256),
        num_classes=1,
        anchor_generator=dict(
            type="SSDAnchorGenerator",
            scale_major=False,
            input_size=300,
            basesize_ratio_range=(0.15, 0.9),
            strides=[8, 16, 32, 64, 100, 300],
            ratios=[[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
    ),
)
RTMDET_TINY = dict(
    type="RTMDet",
    backbone=dict(
        type="CSPNeXt",
        arch="P5",
        expand_ratio=0.5,
        deepen_factor=0.167,
        widen_factor=0.375,
        channel_attention=True,
        norm_cfg=dict(type="BN"),
        act_cfg=dict(type="SiLU", inplace=True),
    ),
    neck=dict(
        type="CSPNeXtPAFPN",
        in_channels=[96, 192, 384],
        out_channels=96,
        num_csp_blocks=1,
        expand_ratio=0.5,
        norm_cfg=dict(type="BN"),
        act_cfg=dict(type="SiLU", inplace=True),
    ),
    bbox_head=dict(
        type="RTMDetSepBNHead",
        num_classes=1,
        in_channels=96,
        feat_channels=96,
        stacked_convs=2,
        anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type="DistancePointBBoxCoder"),
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True),
        loss_bbox=dict(type="GIoULoss"),
        with_objectness=False,
        exp_on_reg=False,
        share_conv=True,
        pred_kernel_size=1,
        norm_cfg=dict(type="BN"),
        act_cfg=dict(type="SiLU", inplace=True),
    ),
)
PEERS: dict[str, tuple[dict[str, Any], int]] = {"SSD300": (SSD300, 300), "RTMDet-tiny": (RTMDET_TINY, 640)}


def peer(name: str) -> tuple[nn.Module, int]:
    """The network, and the side of its square in pixels."""
    init_default_scope("mmdet")
    settings, side = PEERS[name]
    return MODELS.build(settings).eval(), side
