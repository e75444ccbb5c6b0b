# Recommended where milliseconds count: three quarters of medium's channels, one pass of the refiner.
_base_ = ["_base_/hip_roi.py"]

model = dict(
    passes=(2,),
    backbone=dict(base_channels=24),
    bbox_head=dict(in_channels=96, feat_channels=96),
    refiner=dict(backbone=dict(base_channels=24), in_channels=48, feat_channels=96),
)
