# Few films, such as 80: less dropout, five times the weight of the boxes, and after the first stage rates four times as high,
# as the paper's recipe takes 80 times as many steps.
_base_ = ["hip_ssd_r18.py"]

model = dict(bbox_head=dict(dropout=0.1, loss_bbox=dict(loss_weight=5.0)))
custom_hooks = [
    dict(
        type="StagedOneCycleHook",
        stages=[
            dict(train_groups=1, lr_mult=1.0),  # head .01
            dict(train_groups=2, lr_mult=1.0),  # 1e-4, 1e-3, 1e-2
            dict(train_groups=3, lr_mult=1.0),
        ],
    ),
    dict(type="EpochSeedHook"),
    dict(type="SafeCheckpointHook"),
    dict(type="MatchingCheckpointHook"),
    dict(type="ReportHook"),
    dict(type="PossibleRoisHook"),
]
