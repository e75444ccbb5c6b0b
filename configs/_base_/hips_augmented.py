# Few films: stronger augmentation than the paper needed for 6,568.
_base_ = ["hips.py"]

train_pipeline = [
    _base_.load_film,
    dict(type="LoadAnnotations", with_bbox=True),
    *_base_.to_square,
    dict(type="RandomSimilarity", max_degrees=10.0, rotate_prob=0.9, scale=(0.8, 1.25), max_shift=0.1, flip_prob=0.5),
    dict(type="RandomGamma", limit=1.8),
    dict(type="RandomLighting", balance=0.2, contrast=0.3),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
