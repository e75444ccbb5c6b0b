# The paper's model: ResNet-101, no neck, one 7x7 map, six square scales, focal loss.
# ImageNet weights are downloaded.  Offline: a local file, or None for random weights:
#   --cfg-options model.backbone.init_cfg.checkpoint=/path/resnet101-63fe2227.pth
#   --cfg-options model.backbone.init_cfg=None
custom_imports = dict(imports=["hipdet.plugin"], allow_failed_imports=False)

model = dict(
    type="SingleStageDetector",
    data_preprocessor=dict(type="DetDataPreprocessor", pad_size_divisor=32),
    backbone=dict(
        type="GreyResNet",  # makes three normalised channels of one
        depth=101,
        num_stages=4,
        out_indices=(3,),
        frozen_stages=-1,  # the stages freeze and unfreeze
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=False,
        style="pytorch",
        init_cfg=dict(
            type="PretrainedWeights",
            checkpoint="https://download.pytorch.org/models/resnet101-63fe2227.pth",
            sha256="63fe2227",
            source=dict(
                depth=101,
                blocks=(3, 4, 23, 3),
                channel_order="rgb",
                mean=(123.675, 116.28, 103.53),
                std=(58.395, 57.12, 57.375),
            ),
        ),
    ),
    bbox_head=dict(
        type="HipSSDHead",
        num_classes=1,
        in_channels=2048,
        feat_channels=256,
        anchor_generator=dict(type="SquareAnchorGenerator", strides=[32], scales=dict(start=0.7, stop=2.2, step=0.3)),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, alpha=0.25, gamma=5.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
    ),
    train_cfg=dict(
        # min_pos_iou 0 forces the best anchor of every hip
        assigner=dict(
            type="MaxIoUAssigner", pos_iou_thr=0.4, neg_iou_thr=0.4, min_pos_iou=0.0, gt_max_assign_all=False
        ),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    # no score threshold: with gamma 5 scores saturate low.  Hips hardly overlap, so neither do two detections
    test_cfg=dict(nms_pre=100, score_thr=0.0, min_bbox_size=0, nms=dict(type="nms", iou_threshold=0.3), max_per_img=10),
)
