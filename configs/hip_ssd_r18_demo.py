# The paper's head on a ResNet-18 of half width, from scratch: for phantoms and two CPU cores.
_base_ = ["_base_/hip_ssd_r101.py", "_base_/hips_augmented.py", "_base_/from_scratch.py", "_base_/runtime.py"]

# without pretrained weights the boxes learn slowly: more weight for them, less dropout (docs/results/experiments.md)
model = dict(
    backbone=dict(depth=18, base_channels=32, init_cfg=None),
    bbox_head=dict(in_channels=256, dropout=0.1, loss_bbox=dict(loss_weight=5.0)),
)
train_cfg = dict(max_epochs=26, val_interval=13)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2, save_best=None))
