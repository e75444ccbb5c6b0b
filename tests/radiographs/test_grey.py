"""JPEG films decoded at a fraction of their size: the fraction, the pixels and their place; deep films; area means."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from dicom_bytes import film
from film_bytes import PNG, UPRIGHT, encoded
from hipdet.core.errors import RadiographError
from hipdet.radiographs.grey import area_mean
from hipdet.radiographs.read import read_deep, read_radiograph, read_reduced


def smooth(width, height):
    """A gradient with a wave, which is smooth enough that block means are known."""
    y, x = np.mgrid[:height, :width]
    return np.rint(100 + 60 * np.sin(x / 60) + 90 * y / height - 45).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "at_least", "step"),
    [
        ((1600, 1200), 1601, 1),
        ((1600, 1200), 801, 1),
        ((1600, 1200), 800, 2),
        ((1600, 1200), 401, 2),
        ((1600, 1200), 400, 4),
        ((1600, 1200), 10, 8),  # the smallest fraction
        ((1200, 1600), 400, 4),
        ((1603, 1201), 400, 4),  # 401 x 301: the last cells hold 3 and 1 pixels
        ((1600, 3), 100, 2),  # no side vanishes
    ],
)
def test_how_much_is_decoded(size, at_least, step):
    film = read_reduced(encoded(smooth(*size), "JPEG"), at_least)
    assert (film.width, film.height, film.step) == (*size, step)
    assert film.pixels.shape == (-(-size[1] // step), -(-size[0] // step))


@pytest.mark.parametrize("step", [2, 4, 8])
def test_pixels_are_means_of_blocks(step):
    whole = smooth(640, 480)
    film = read_reduced(encoded(whole, "JPEG", quality=95), 640 // step)
    means = whole.reshape(480 // step, step, 640 // step, step).mean(axis=(1, 3))
    np.testing.assert_allclose(film.pixels, means, atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("size", "step"), [((640, 480), 4), ((642, 480), 2), ((641, 480), 1)])
def test_films_that_exif_rotates(orientation, size, step):
    """Partial cells must stay at the right and the bottom, so the step must divide the sides of a rotated film."""
    data = encoded(smooth(*size), "JPEG", orientation, quality=95)
    film, whole = read_reduced(data, 160), read_radiograph(data)
    assert film.step == (step if orientation != 1 else 4)
    assert (film.height, film.width) == whole.shape
    rows, columns = (np.arange(length) * film.step for length in film.pixels.shape)
    close = np.abs(film.pixels.astype(int) - whole[np.ix_(rows, columns)]) <= 20  # the first pixels of the cells
    assert close.mean() > 0.99


def test_other_kinds_are_read_whole():
    film = read_reduced(PNG, 8)
    assert film.step == 1
    np.testing.assert_array_equal(film.pixels, read_radiograph(PNG))


@pytest.mark.parametrize("subsampling", [0, 2])
def test_grey_films_stored_in_colour(subsampling):
    """The stored luminance equals the grey computed from the colours, which are neutral."""
    data = encoded(Image.fromarray(smooth(200, 160)).convert("RGB"), "JPEG", quality=90, subsampling=subsampling)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.array(image.convert("L"))
    np.testing.assert_array_equal(read_radiograph(data), expected)


def test_colour_is_not_decoded(monkeypatch):
    asked = []
    original = JpegImageFile.draft
    monkeypatch.setattr(JpegImageFile, "draft", lambda self, *args: asked.append(args) or original(self, *args))
    data = encoded(Image.fromarray(smooth(1600, 1200)).convert("RGB"), "JPEG")
    read_radiograph(data)
    read_reduced(data, 400)
    assert asked == [("L", None), ("L", (400, 300))]


@pytest.mark.parametrize("cut", [2, 200, 2000])
def test_damage_is_reported_as_when_read_whole(cut):
    data = encoded(smooth(320, 240), "JPEG")[:-cut]
    with pytest.raises(RadiographError) as whole:
        read_radiograph(data)
    with pytest.raises(RadiographError) as reduced:
        read_reduced(data, 40)
    assert str(reduced.value) == str(whole.value)


DEEP = np.linspace(100, 4000, 64 * 48).reshape(64, 48).astype(np.uint16)


def test_8_bits_are_scaled():
    np.testing.assert_array_equal(read_deep(encoded(UPRIGHT, "PNG")), UPRIGHT * np.uint16(257))


@pytest.mark.parametrize("data", [encoded(DEEP, "PNG"), encoded(DEEP, "TIFF"), encoded(np.float32(DEEP), "TIFF")])
def test_16_bit_pictures_keep_their_greys_within_the_window(data):
    pixels = read_deep(data)
    low, high = np.percentile(DEEP, (0.5, 99.5))
    np.testing.assert_allclose(pixels, np.clip((DEEP - low) / (high - low), 0, 1) * 65535, atol=1.01)
    assert len(np.unique(pixels)) > 2900
    np.testing.assert_allclose(pixels / 257, read_radiograph(data), atol=0.51)  # the same window


@pytest.mark.parametrize(
    "changes",
    [
        dict(WindowCenter="2048", WindowWidth="4096"),
        dict(WindowCenter="2048", WindowWidth="4096", PhotometricInterpretation="MONOCHROME1"),
        dict(RescaleSlope="2", RescaleIntercept="-100"),
        dict(PixelPaddingValue=100, WindowCenter="2048", WindowWidth="4096"),
    ],
)
def test_dicom(changes):
    pytest.importorskip("pydicom")
    data = film(DEEP, BitsStored=12, HighBit=11, **changes)
    pixels = read_deep(data)
    assert pixels.dtype == np.uint16
    np.testing.assert_allclose(pixels / 257, read_radiograph(data), atol=0.51)
    assert len(np.unique(pixels)) > 2900


@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "NM", "US"])
def test_slices_are_refused(modality):
    pytest.importorskip("pydicom")
    with pytest.raises(RadiographError, match=f"modality {modality}, expected a radiograph"):
        read_deep(film(DEEP, Modality=modality), "s.dcm")


def test_area_mean_by_hand():
    values = np.array([[0, 10, 20], [30, 40, 50]])
    np.testing.assert_allclose(area_mean(values, 1, 1), [[25]])
    # three columns over two: the middle one is shared
    np.testing.assert_allclose(area_mean(values, 2, 1), [[(15 + 0.5 * 25) / 1.5, (0.5 * 25 + 35) / 1.5]])
    np.testing.assert_allclose(area_mean(values, 6, 2), np.repeat(values, 2, axis=1))
    # two and a half columns, one and a half rows
    np.testing.assert_allclose(area_mean(values, 1, 1, 2.5, 1.5), [[(0 + 10 + 10 + 15 + 20 + 12.5) / 3.75]])
    np.testing.assert_allclose(area_mean(values, 2, 2, 2, 2), values[:, :2])
    assert area_mean(np.ones((3, 2000)), 7, 5).max() == pytest.approx(1)  # columns in several blocks
