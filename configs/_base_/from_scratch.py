# Small data, two CPU cores, no pretrained weights: nothing to thaw, so one stage at one rate.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=0.001, betas=(0.9, 0.99), weight_decay=0),
    constructor='LayerGroupOptimWrapperConstructor',
    paramwise_cfg=dict(groups=[dict(prefixes=['backbone', 'bbox_head'])]))
param_scheduler = []
custom_hooks = [
    dict(type='StagedOneCycleHook', stages=[dict(train_groups=1)]),
    dict(type='EpochSeedHook'),
    dict(type='SafeCheckpointHook'),
    dict(type='ReportHook'),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
