# Experiment 10 of the paper: grid 7, 6 scales 0.7 1.0 1.3 1.6 1.9 2.2, 294 anchors; OAIH -> GIS.
_base_ = ["_base_/hip_ssd_r101.py", "_base_/hips.py", "_base_/staged_one_cycle.py", "_base_/runtime.py"]

model = dict(
    bbox_head=dict(
        downsamples=[0],
        anchor_generator=dict(strides=[32], scales=dict(start=0.7, stop=2.2, step=0.3)),
    )
)

train_dataloader = dict(dataset=dict(ann_file="annotations/oaih_train.json"))
val_dataloader = dict(dataset=dict(ann_file="annotations/oaih_val.json"))
test_dataloader = dict(dataset=dict(ann_file="annotations/gis.json"))
val_evaluator = [
    dict(type="RoiCocoMetric", ann_file=_base_.data_root + "/annotations/oaih_val.json", metric="bbox"),
    dict(type="RoiMetric", ann_file=_base_.data_root + "/annotations/oaih_val.json", rois_per_image=2),
]
test_evaluator = [
    dict(type="RoiCocoMetric", ann_file=_base_.data_root + "/annotations/gis.json", metric="bbox"),
    dict(type="RoiMetric", ann_file=_base_.data_root + "/annotations/gis.json", rois_per_image=2),
]
