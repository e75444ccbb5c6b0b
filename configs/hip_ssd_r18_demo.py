# The same shape on ResNet-18, from scratch: for two CPU cores.
_base_ = ['hip_ssd_exp3.py']

model = dict(
    backbone=dict(depth=18, init_cfg=None), bbox_head=dict(in_channels=512))
