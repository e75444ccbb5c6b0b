# Recommended with a network: large, initialised with torchvision's ImageNet weights of ResNet-18, which learn slower.
# Offline: fetch the file on another machine, and
#   --cfg-options model.backbone.init_cfg.checkpoint=FILE model.refiner.backbone.init_cfg.checkpoint=FILE
_base_ = ["hip_roi_large.py"]

imagenet = dict(
    type="PretrainedWeights",
    checkpoint="https://download.pytorch.org/models/resnet18-f37072fd.pth",
    sha256="f37072fd",
    source=dict(
        depth=18,
        blocks=(2, 2, 2, 2),
        channel_order="rgb",
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
    ),
)
model = dict(backbone=dict(init_cfg=imagenet), refiner=dict(backbone=dict(init_cfg=imagenet)))

# one stage from the start, as from scratch: the weight average sees a single course
train_cfg = dict(max_epochs=100, val_interval=20)
optim_wrapper = dict(
    paramwise_cfg=dict(
        _delete_=True,
        groups=[
            dict(prefixes=["bbox_head", "refiner.stem", "refiner.vote"]),
            dict(prefixes=["backbone", "refiner.backbone"], lr_mult=0.1),
        ],
    )
)
custom_hooks = [
    dict(type="StagedOneCycleHook", stages=[dict(train_groups=2)]),
    dict(type="EpochSeedHook"),
    dict(type="SafeCheckpointHook"),
    dict(type="MatchingCheckpointHook"),
    dict(type="ReportHook"),
    dict(type="PossibleRoisHook"),
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.04, interval=4, gamma=100, update_buffers=True),
]
