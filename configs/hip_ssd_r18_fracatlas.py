# The paper's head on ResNet-18, trained from scratch on FracAtlas hips: fold $HIPDET_FOLD of what tools/convert.py wrote.
# Validation shows the fold that is left out; nothing is chosen by it: the last checkpoint is the result.
_base_ = ['hip_ssd_r18_demo.py']

data_root = '{{$HIPDET_DATA:data}}'
fold = 'fold{{$HIPDET_FOLD:0}}'
load_film = _base_.load_film
train_pipeline = [
    load_film,
    dict(type='LoadAnnotations', with_bbox=True),
    *_base_.to_square,
    # 80 films are few: more of everything than the paper needed for 6,568
    dict(type='RandomSimilarity', max_degrees=10.0, rotate_prob=0.9, scale=(0.8, 1.25), max_shift=0.1, flip_prob=0.5),
    dict(type='RandomGamma', limit=1.8),
    dict(type='RandomLighting', balance=0.2, contrast=0.3),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=8, dataset=dict(ann_file=f'annotations/{fold}_train.json', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(ann_file=f'annotations/{fold}_test.json'))
test_dataloader = dict(dataset=dict(ann_file=f'annotations/{fold}_test.json'))
evaluators = [
    dict(type='CocoMetric', ann_file=f'{data_root}/annotations/{fold}_test.json', metric='bbox'),
    dict(type='RoiMetric', ann_file=f'{data_root}/annotations/{fold}_test.json', rois_per_image=2),
]
val_evaluator = evaluators
test_evaluator = evaluators

# nothing is pretrained, so there is nothing to thaw: one stage, one rate for all groups
train_cfg = dict(max_epochs=200, val_interval=50)
optim_wrapper = dict(
    optimizer=dict(lr=0.001), paramwise_cfg=dict(_delete_=True, groups=[dict(prefixes=['backbone', 'bbox_head'])]))
custom_hooks = [
    dict(type='StagedOneCycleHook', stages=[dict(train_groups=1)]),
    dict(type='EpochSeedHook'),
    dict(type='SafeCheckpointHook'),
    dict(type='ReportHook'),
]
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=1, save_best=None), logger=dict(interval=10))
