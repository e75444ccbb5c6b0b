# Hip films in COCO form: verified before training, square-padded to 224 px.  Paths are overridden by what builds on this.
# if $HIPDET_DATA is set, hipdet takes that folder instead
data_root = "data"
classes = ("hip",)
metainfo = dict(classes=classes, palette=[(220, 20, 60)])
image_size = (224, 224)

# one channel: GreyResNet makes three of it
load_film = dict(type="LoadImageFromFile", color_type="grayscale", backend_args=dict(backend="radiograph"))
# area interpolation: bilinear aliases when a 2,688-px film becomes 224 px
to_square = [
    dict(type="Resize", scale=image_size, keep_ratio=True, interpolation="area"),
    dict(type="Pad", size=image_size, pad_val=dict(img=0)),
]
train_pipeline = [
    load_film,
    dict(type="LoadAnnotations", with_bbox=True),
    *to_square,
    dict(type="RandomSimilarity", max_degrees=3.0, rotate_prob=0.9),
    dict(type="RandomLighting", balance=0.5, contrast=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    load_film,
    *to_square,
    # after the geometric steps, so that these boxes stay in pixels of the film
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]

films = dict(type="RoiDataset", data_root=data_root, metainfo=metainfo, data_prefix=dict(img=""))
loader = dict(batch_size=16, num_workers=2)
train_dataloader = dict(
    **loader,
    persistent_workers=True,  # EpochSeedHook seeds them every epoch
    collate_fn=dict(type="collate_films"),
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        **films,
        ann_file="annotations/cgoa_oaih_train.json",
        filter_cfg=dict(filter_empty_gt=False),  # a film without ROI shows what is none
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    **loader,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**films, ann_file="annotations/cgoa_oaih_val.json", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    **loader,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**films, ann_file="annotations/gis.json", test_mode=True, pipeline=test_pipeline),
)

val_evaluator = [
    dict(type="RoiCocoMetric", ann_file=data_root + "/annotations/cgoa_oaih_val.json", metric="bbox"),
    dict(type="RoiMetric", ann_file=data_root + "/annotations/cgoa_oaih_val.json", rois_per_image=2),
]
test_evaluator = [
    dict(type="RoiCocoMetric", ann_file=data_root + "/annotations/gis.json", metric="bbox"),
    dict(type="RoiMetric", ann_file=data_root + "/annotations/gis.json", rois_per_image=2),
]
