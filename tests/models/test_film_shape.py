"""Where the film ends in the square, against mmdet's own resizing and padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.datasets.transforms import Pad, Resize

from hipdet.models.proposals import film_shape

SIDE = st.integers(8, 700)


@settings(max_examples=60, deadline=None)
@given(height=SIDE, width=SIDE)
def test_it_is_what_mmdet_resized_before_it_padded(height, width):
    results = Resize(scale=(224, 224), keep_ratio=True)(dict(img=np.zeros((height, width, 3), np.uint8)))
    resized = results["img"].shape[:2]
    padded = Pad(size=(224, 224))(results)
    meta = dict(ori_shape=(height, width), img_shape=padded["img_shape"], scale_factor=padded["scale_factor"])
    assert meta["img_shape"] == (224, 224)
    assert film_shape(meta) == resized


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (dict(), (224, 112)),  # 800x400 at 0.28
        (dict(flip=True), (224, 112)),  # it was mirrored before it was padded
        (dict(ori_shape=None), (224, 224)),
        (dict(scale_factor=None), (224, 224)),
        (dict(scale_factor=(1.0, 1.0)), (224, 224)),  # never more than the square
    ],
)
def test_film_shape(changes, expected):
    meta = {**dict(ori_shape=(800, 400, 3), img_shape=(224, 224, 3), scale_factor=(0.28, 0.28)), **changes}
    assert film_shape({key: value for key, value in meta.items() if value is not None}) == expected
