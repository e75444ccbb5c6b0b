import numpy as np
import pytest

from dicom_bytes import film
from film_bytes import UPRIGHT, encoded
from hipdet.core.errors import RadiographError
from hipdet.radiographs.grey import area_mean
from hipdet.radiographs.read import read_deep, read_radiograph

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
    with pytest.raises(RadiographError, match=f"a picture of modality {modality}, not a radiograph"):
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
