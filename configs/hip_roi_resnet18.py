# Hips of any kind of film, however it was made: the second look is the beginning of a ResNet-18, a head tells which way up
# a film is, and training makes films as hard as those from the web.  To be started from weights of synthetic films:
#   --cfg-options load_from=hipdet/weights/phantoms.safetensors
_base_ = ["_base_/hip_roi.py"]

train_pipeline = [
    _base_.load_film,
    dict(type="LoadAnnotations", with_bbox=True),
    # before the film is padded to a square, so that the padding doesn't tell how it was rotated
    dict(type="RandomOrientation", turn_prob=0.3, invert_prob=0.1),
    *_base_.to_square,
    dict(
        type="RandomSimilarity",
        max_degrees=12.0,
        rotate_prob=0.9,
        scale=(0.5, 1.4),
        max_shift=0.15,
        flip_prob=0.5,
        max_stretch=1.3,
    ),
    dict(type="RandomMarks"),
    dict(type="RandomDegradation"),
    dict(type="RandomGamma", limit=2.0),
    dict(type="RandomLighting", balance=0.2, contrast=0.4),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "orientation"),
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

model = dict(
    # children's hips are small in the first look: its best boxes are often wrong, but hardly ever all six
    passes=(6, 2),
    proposal_thr=0.1,
    one_size="half",
    backbone=dict(in_channels=1),
    # 6.4% .. 23.9% of the film: children's hips, too
    bbox_head=dict(anchor_generator=dict(scales=dict(start=0.9, stop=3.35, step=0.35))),
    orientation_head=dict(type="OrientationHead", in_channels=128),
    refiner=dict(
        backbone=dict(base_channels=64, in_channels=1, standardise=True),
        in_channels=128,
        pixels=64,
        context=1.3,
        copies=9,
        shift=0.3,
        zoom=1.6,
        mixing=7,
    ),
)
train_cfg = dict(max_epochs=60, val_interval=60)
optim_wrapper = dict(
    paramwise_cfg=dict(
        _delete_=True,
        groups=[
            dict(
                prefixes=[
                    "backbone", "bbox_head", "orientation_head", "refiner.stem", "refiner.vote", "refiner.mixing",
                ]
            ),
            dict(prefixes=["refiner.backbone"], lr_mult=0.1),  # pretrained; without load_from: 1
        ],
    )
)  # fmt: skip
custom_hooks = [
    dict(type="StagedOneCycleHook", stages=[dict(train_groups=2)]),
    dict(type="EpochSeedHook"),
    dict(type="SafeCheckpointHook"),
    dict(type="MatchingCheckpointHook"),
    dict(type="ReportHook"),
    dict(type="PossibleRoisHook"),
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.04, interval=4, gamma=100, update_buffers=True),
]
