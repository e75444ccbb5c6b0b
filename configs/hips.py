# The bundled model's: what hipdet fit planned for hips of any kind of film, and for films without a hip.
_base_ = ["_base_/hip_roi.py"]

model = dict(
    backbone=dict(in_channels=1),
    # 6.4% .. 23.9% of the film: children's hips, too
    bbox_head=dict(anchor_generator=dict(scales=dict(start=0.9, stop=3.35, step=0.35))),
    refiner=dict(backbone=dict(in_channels=1, standardise=True), pixels=64, context=1.3, copies=9, mixing=7),
)
train_cfg = dict(max_epochs=41, val_interval=41)
