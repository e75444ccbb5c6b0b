# Recommended with a GPU or an hour of CPU, or with more than a few hundred films: medium with twice the channels.
_base_ = ["_base_/hip_roi.py"]

model = dict(
    backbone=dict(base_channels=64),
    bbox_head=dict(in_channels=256, feat_channels=256),
    refiner=dict(backbone=dict(base_channels=64), in_channels=128),
)
