import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import Pad, Resize

from hipdet.core.boxes import turn_boxes
from hipdet.inference import preprocess as shrunk_film
from hipdet.inference.preprocess import shrink


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


@pytest.mark.parametrize("size", [(454, 373), (373, 454), (2688, 2208), (448, 448), (100, 64), (449, 448), (900, 3)])
@pytest.mark.parametrize("opencv", [True, False])
def test_the_square_is_that_of_the_configs(size, opencv, monkeypatch):
    """mmdet's Resize with area interpolation and Pad; without OpenCV to one grey."""
    if not opencv:
        monkeypatch.setattr(shrunk_film, "cv2", None)
    film = noise(*size)
    shrunk = shrink(film, 448)
    results = Resize((448, 448), keep_ratio=True, interpolation="area")({"img": np.stack([film] * 3, axis=2)})
    assert shrunk.pixels.shape == results["img_shape"]
    expected = Pad(size=(448, 448), pad_val=dict(img=(0, 0, 0)))(results)["img"][..., 0]
    np.testing.assert_allclose(shrunk.padded().astype(int), expected, atol=0 if opencv else 1)
    scale = np.array([*results["scale_factor"], *results["scale_factor"]])
    np.testing.assert_allclose(shrunk.to_film([[3, 4, 50, 60]]), np.array([[3, 4, 50, 60]]) / scale)
    np.testing.assert_allclose(shrunk.to_square(shrunk.to_film([[3, 4, 50, 60]])), [[3, 4, 50, 60]])


def test_seen_turned_and_inverted():
    film = noise(300, 200)
    turned = shrink(film, 100).seen(1, inverted=True)
    assert (turned.width, turned.height) == (300, 200)
    np.testing.assert_array_equal(turned.pixels, 255 - np.rot90(shrink(film, 100).pixels))
    assert not turned.padded()[67:].any()  # what is padded isn't inverted


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(-5, 5), st.data())
def test_boxes_turn_with_their_film(width, height, quarters, data):
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    film = np.zeros((height, width), bool)
    film[y0:y1, x0:x1] = True
    rows, columns = np.nonzero(np.rot90(film, quarters))
    found = turn_boxes([[x0, y0, x1, y1]], quarters, width, height)
    assert found.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    size = (height, width) if quarters % 2 else (width, height)
    assert turn_boxes(found, -quarters, *size).tolist() == [[x0, y0, x1, y1]]
