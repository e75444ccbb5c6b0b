# Three stages of 40 epochs: the head, the last two layer groups, everything (paper, section 3.4).
train_cfg = dict(type="SteadyTrainLoop", max_epochs=120, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="Adam", lr=0.01, betas=(0.9, 0.99), weight_decay=0),
    constructor="LayerGroupOptimWrapperConstructor",
    paramwise_cfg=dict(
        groups=[
            dict(prefixes=["bbox_head"], lr_mult=1.0),
            dict(prefixes=["backbone.layer3", "backbone.layer4"], lr_mult=0.1),
            dict(prefixes=["backbone.conv1", "backbone.bn1", "backbone.layer1", "backbone.layer2"], lr_mult=0.01),
        ]
    ),
)
param_scheduler = []
custom_hooks = [
    dict(
        type="StagedOneCycleHook",
        stages=[
            dict(train_groups=1, lr_mult=1.0),  # head .01
            dict(train_groups=2, lr_mult=0.25),  # 2.5e-5, 2.5e-4, 2.5e-3
            dict(train_groups=3, lr_mult=0.25),
        ],
    ),
    dict(type="EpochSeedHook"),
    dict(type="SafeCheckpointHook"),
    dict(type="MatchingCheckpointHook"),
    dict(type="ReportHook"),
    dict(type="PossibleRoisHook"),
]
find_unused_parameters = True  # distributed: a stage leaves the frozen groups without gradients
auto_scale_lr = dict(enable=False, base_batch_size=16)
