# Experiment 6 of the paper: grid 14, 31 scales 0.7 .. 2.2 by 0.05, 6076 anchors; CGOA+OAIH -> GIS.
_base_ = ["_base_/hip_ssd_r101.py", "_base_/hips.py", "_base_/staged_one_cycle.py", "_base_/runtime.py"]

# the 14x14 map of layer3: layer4, whose map has 7x7 cells, is left out
model = dict(
    backbone=dict(num_stages=3, out_indices=(2,), strides=(1, 2, 2), dilations=(1, 1, 1)),
    bbox_head=dict(
        in_channels=1024,
        downsamples=[0],
        anchor_generator=dict(strides=[16], scales=dict(start=0.7, stop=2.2, step=0.05)),
    ),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        groups=[
            dict(prefixes=["bbox_head"], lr_mult=1.0),
            dict(prefixes=["backbone.layer3"], lr_mult=0.1),
            dict(prefixes=["backbone.conv1", "backbone.bn1", "backbone.layer1", "backbone.layer2"], lr_mult=0.01),
        ]
    )
)

train_dataloader = dict(dataset=dict(ann_file="annotations/cgoa_oaih_train.json"))
val_dataloader = dict(dataset=dict(ann_file="annotations/cgoa_oaih_val.json"))
test_dataloader = dict(dataset=dict(ann_file="annotations/gis.json"))
val_evaluator = [
    dict(type="RoiCocoMetric", ann_file=_base_.data_root + "/annotations/cgoa_oaih_val.json", metric="bbox"),
    dict(type="RoiMetric", ann_file=_base_.data_root + "/annotations/cgoa_oaih_val.json", rois_per_image=2),
]
test_evaluator = [
    dict(type="RoiCocoMetric", ann_file=_base_.data_root + "/annotations/gis.json", metric="bbox"),
    dict(type="RoiMetric", ann_file=_base_.data_root + "/annotations/gis.json", rois_per_image=2),
]
