# Experiment 1 of the paper: grid 4,2,1, 3 scales 0.7 1.0 1.3, 63 anchors; CGOA+OAIH -> GIS.
_base_ = ["_base_/hip_ssd_r101.py", "_base_/hips.py", "_base_/staged_one_cycle.py", "_base_/runtime.py"]

# the 7x7 map of the backbone, halved by stride-2 convolutions: one, two and three of them give 4x4, 2x2 and 1x1 cells
model = dict(
    bbox_head=dict(
        downsamples=[1, 2, 3],
        anchor_generator=dict(strides=[56, 112, 224], scales=dict(start=0.7, stop=1.3, step=0.3)),
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
