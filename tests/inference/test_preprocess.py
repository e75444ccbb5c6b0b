"""Films that were decoded at a fraction of their size: boxes end up where they belong."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import Pad, Resize
from PIL import Image

from hipdet import HipDetector
from hipdet.core.boxes import turn_boxes
from hipdet.inference import preprocess as shrunk_film
from hipdet.inference.preprocess import shrink
from hipdet.radiographs.read import read_radiograph, read_reduced


def film_with_square(width, height, box):
    pixels = np.zeros((height, width), np.uint8)
    x0, y0, x1, y1 = box
    pixels[y0:y1, x0:x1] = 200
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return pixels, file.getvalue()


def edges(pixels):
    """The square's box, by how much of its grey each row and column holds."""
    rows, columns = pixels.sum(axis=1) / pixels.sum(axis=1).max(), pixels.sum(axis=0) / pixels.sum(axis=0).max()
    return [
        (columns > 0.5).argmax(),
        (rows > 0.5).argmax(),
        *(len(c) - (c[::-1] > 0.5).argmax() for c in (columns, rows)),
    ]


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("size", [(1600, 1200), (1597, 1203), (1203, 1599)])
def test_boxes_are_in_pixels_of_the_whole_film(size, quarters):
    """To one pixel of the square, of which one stands for 16 of the film."""
    box = [320, 480, 800, 960]
    pixels, data = film_with_square(*size, box)
    film = read_reduced(data, 200)
    assert film.step == 4 if max(size) < 1600 else 8
    seen = shrink(film, 100).seen(quarters, inverted=False)
    expected = turn_boxes([box], quarters, *size)
    assert (seen.width, seen.height) == np.rot90(pixels, quarters).shape[::-1]
    np.testing.assert_allclose(seen.to_film([edges(seen.pixels)]), expected, atol=16)
    np.testing.assert_allclose(seen.to_film(seen.to_square(expected)), expected)


@pytest.mark.parametrize("opencv", [True, False])
@pytest.mark.parametrize(
    ("size", "step", "most"),
    [
        ((1600, 1200), 4, 1),  # 16 pixels of the film are 4 cells: the same mean, but for the rounding of a cell
        ((1592, 1200), 4, 8),
        ((1597, 1203), 2, 8),  # the last cell holds 1 or 3 pixels; cells on the edge between two pixels of the square
        ((1203, 1599), 4, 15),
    ],
)
def test_the_square_is_that_of_the_whole_film(size, step, most, opencv, monkeypatch):
    """Not only about as large: as if the film had been read whole, with no cell that reaches over the edge."""
    if not opencv:
        monkeypatch.setattr(shrunk_film, "cv2", None)
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 255, (size[1] // 16, size[0] // 16), np.uint8))
    file = io.BytesIO()
    coarse.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    reduced = read_reduced(file.getvalue(), max(size) // step)
    assert reduced.step == step
    whole = shrink(read_radiograph(file.getvalue()), 100)
    shrunk = shrink(reduced, 100)
    difference = np.abs(shrunk.pixels.astype(int) - whole.pixels)
    assert difference.max() <= most
    assert difference.mean() < 0.1 * most
    np.testing.assert_array_equal(shrunk.to_film([[1, 2, 30, 40]]), whole.to_film([[1, 2, 30, 40]]))


def test_boxes_end_at_the_film(untrained, tmp_path):
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 255, (40, 53), np.uint8))
    coarse.resize((2899, 2201), Image.Resampling.BICUBIC).save(tmp_path / "film.jpg", quality=95)
    detector = HipDetector(untrained.onnx, rois=3)
    assert detector.at_least == 1024
    (film,) = detector(tmp_path / "film.jpg")
    assert (film.width, film.height) == (2899, 2201)
    boxes = np.array([roi.box for roi in film.rois])
    assert len(boxes) == 3
    assert (boxes >= 0).all()
    assert (boxes <= [2899, 2201] * 2).all()


def test_whole_films_on_request(untrained, tmp_path):
    """The boxes of a film given as an array, which is whole."""
    generator = np.random.default_rng(1)
    coarse = Image.fromarray(generator.integers(0, 255, (40, 53), np.uint8))
    coarse.resize((2899, 2201), Image.Resampling.BICUBIC).save(tmp_path / "film.jpg", quality=95)
    (of_array,) = HipDetector(untrained.onnx)(read_radiograph(tmp_path / "film.jpg"))
    boxes = {}
    for whole in (True, False):
        (film,) = HipDetector(untrained.onnx, whole_films=whole)(tmp_path / "film.jpg")
        boxes[whole] = [roi.box for roi in film.rois]
    assert boxes[True] == [roi.box for roi in of_array.rois]
    assert boxes[False] != boxes[True]


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
