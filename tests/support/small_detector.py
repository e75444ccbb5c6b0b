"""A RefiningDetector that is small enough for tests, and a sample for it."""

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

RESIDUAL = dict(type="mmdet.ResNet", depth=18, base_channels=8)


def detector_head():
    return dict(
        type="HipSSDHead",
        in_channels=32,
        feat_channels=16,
        anchor_generator=dict(type="SquareAnchorGenerator", strides=[32], scales=[1.4, 2.0, 2.6]),
        bbox_coder=dict(type="mmdet.DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="mmdet.FocalLoss", use_sigmoid=True, alpha=0.25, gamma=2.0),
        loss_bbox=dict(type="mmdet.L1Loss"),
    )


def make_detector(**changes):
    torch.manual_seed(0)
    backbone = dict(RESIDUAL, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
    head = dict(detector_head(), num_classes=1)
    second = dict(RESIDUAL, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,))
    settings = dict(
        type="RefiningDetector",
        backbone=backbone,
        bbox_head=head,
        refiner=dict(type="RoiRefiner", backbone=second, in_channels=16, feat_channels=16, pixels=64),
        train_cfg=dict(
            assigner=dict(type="mmdet.MaxIoUAssigner", pos_iou_thr=0.4, neg_iou_thr=0.4, min_pos_iou=0.0),
            allowed_border=-1,
            pos_weight=-1,
        ),
        test_cfg=ConfigDict(
            nms_pre=100, score_thr=0.0, min_bbox_size=0, nms=dict(type="nms", iou_threshold=0.3), max_per_img=10
        ),
    )
    return MODELS.build({**settings, **changes})


def sample(scale=1.0, boxes=()):
    meta = dict(img_shape=(256, 256), pad_shape=(256, 256), batch_input_shape=(256, 256), scale_factor=(scale, scale))
    labels = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.zeros(len(boxes), dtype=torch.long))
    return DetDataSample(metainfo=meta, gt_instances=labels)
