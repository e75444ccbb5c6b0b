# The recommended detector: one map of square anchors on the reduced film, then a refiner that sees each ROI at a finer scale.
# Trains from scratch, on few films, on a CPU.
_base_ = ["from_scratch.py", "hips_augmented.py", "runtime.py"]
custom_imports = dict(imports=["hipdet.plugin"], allow_failed_imports=False)

image_size = (448, 448)
to_square = [
    # squares that reach over the edge of the film stay squares
    dict(type="Resize", scale=image_size, keep_ratio=True, interpolation="area", clip_object_border=False),
    dict(type="Pad", size=image_size, pad_val=dict(img=0)),
]
train_pipeline = [
    _base_.load_film,
    dict(type="LoadAnnotations", with_bbox=True),
    # unusual films: a tenth inverted, a tenth rotated by quarter turns
    dict(type="Invert", prob=0.1),
    *to_square,
    dict(
        type="RandomSimilarity",
        max_degrees=10.0,
        rotate_prob=0.9,
        scale=(0.5, 1.4),
        max_shift=0.15,
        flip_prob=0.5,
        quarter_turn_prob=0.1,
    ),
    dict(type="RandomGamma", limit=1.8),
    dict(type="RandomLighting", balance=0.2, contrast=0.3),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    _base_.load_film,
    *to_square,
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
auto_scale_lr = dict(base_batch_size=8)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

# makes three normalised channels of one
residual = dict(
    type="GreyResNet", depth=18, base_channels=32, norm_cfg=dict(type="BN", requires_grad=True), norm_eval=False
)
model = dict(
    type="RefiningDetector",
    data_preprocessor=dict(type="DetDataPreprocessor", pad_size_divisor=32),
    # the film at half its scale: 14x14 cells of 16 px there, 32 px of the input
    reduction=2,
    one_size=True,
    backbone=dict(**residual, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)),
    bbox_head=dict(
        type="HipSSDHead",
        num_classes=1,
        in_channels=128,
        feat_channels=128,
        dropout=0.1,
        # 10% .. 31.4% of the film, as in the paper
        anchor_generator=dict(type="SquareAnchorGenerator", strides=[32], scales=dict(start=1.4, stop=4.4, step=0.6)),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, alpha=0.25, gamma=2.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
    ),
    refiner=dict(
        type="RoiRefiner",
        backbone=dict(**residual, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,)),
        in_channels=64,
        pixels=96,
        context=1.5,
    ),
    train_cfg=dict(
        assigner=dict(
            type="MaxIoUAssigner", pos_iou_thr=0.4, neg_iou_thr=0.4, min_pos_iou=0.0, gt_max_assign_all=False
        ),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(nms_pre=100, score_thr=0.0, min_bbox_size=0, nms=dict(type="nms", iou_threshold=0.3), max_per_img=10),
)

train_cfg = dict(max_epochs=150, val_interval=50)
optim_wrapper = dict(
    type="Bfloat16OptimWrapper",
    optimizer=dict(_delete_=True, type="AdamW", lr=0.002, weight_decay=0.01),
    paramwise_cfg=dict(_delete_=True, groups=[dict(prefixes=["backbone", "bbox_head", "refiner"])]),
)
custom_hooks = [
    dict(type="StagedOneCycleHook", stages=[dict(train_groups=1)]),
    dict(type="EpochSeedHook"),
    dict(type="SafeCheckpointHook"),
    dict(type="MatchingCheckpointHook"),
    dict(type="ReportHook"),
    dict(type="PossibleRoisHook"),
    # 1% an iteration, taken every fourth
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.04, interval=4, gamma=100, update_buffers=True),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
