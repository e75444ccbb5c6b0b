# The demo's model on FracAtlas hips, from scratch: fold $HIPDET_FOLD of what hipdet convert fracatlas wrote.
# Validation shows the fold that is left out; nothing is chosen by it: the last checkpoint is the result.
_base_ = ["hip_ssd_r18_demo.py"]

data_root = "data"
# hipdet puts the number there, 0 without $HIPDET_FOLD
fold = "fold{HIPDET_FOLD}"
train_dataloader = dict(batch_size=8, dataset=dict(ann_file="annotations/" + fold + "_train.json"))
auto_scale_lr = dict(base_batch_size=8)
val_dataloader = dict(dataset=dict(ann_file="annotations/" + fold + "_test.json"))
test_dataloader = dict(dataset=dict(ann_file="annotations/" + fold + "_test.json"))
val_evaluator = [
    dict(type="RoiCocoMetric", ann_file=data_root + "/annotations/" + fold + "_test.json", metric="bbox"),
    dict(type="RoiMetric", ann_file=data_root + "/annotations/" + fold + "_test.json", rois_per_image=2),
]
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=200, val_interval=50)
