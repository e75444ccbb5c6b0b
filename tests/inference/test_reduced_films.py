"""Films that were decoded at a fraction of their size: boxes end up where they belong."""

import io

import numpy as np
import pytest
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
