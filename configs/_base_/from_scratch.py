# Small data, two CPU cores, no pretrained weights: no frozen layers, so one stage at one rate.
_base_ = ["staged_one_cycle.py"]

train_cfg = dict(max_epochs=40, val_interval=10)
optim_wrapper = dict(
    optimizer=dict(lr=0.001), paramwise_cfg=dict(_delete_=True, groups=[dict(prefixes=["backbone", "bbox_head"])])
)
custom_hooks = [
    dict(type="StagedOneCycleHook", stages=[dict(train_groups=1)]),
    dict(type="EpochSeedHook"),
    dict(type="SafeCheckpointHook"),
    dict(type="MatchingCheckpointHook"),
    dict(type="ReportHook"),
    dict(type="PossibleRoisHook"),
]
