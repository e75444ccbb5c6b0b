"""DICOM films that are read: greys, encodings, header and side."""

import io
import logging
import threading
import warnings

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

from dicom_bytes import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG_2000,
    JPEG_LS,
    RLE,
    film,
    fragments,
    jpeg_2000,
    run_length,
)
from film_bytes import JPEG as PICTURE
from film_bytes import UPRIGHT, encoded
from hipdet.core.errors import RadiographError
from hipdet.radiographs.dicom import dicom_header
from hipdet.radiographs.grey import RadiographHeader
from hipdet.radiographs.read import read_dicom_text, read_header, read_radiograph, read_reduced

ROW = np.array([[0, 100, 150, 200, 250, 300, 400]], np.uint16)
RESCALE = dict(RescaleSlope="2", RescaleIntercept="-100")  # -100 100 200 300 400 500 700
RAMP = np.tile(np.arange(4001, dtype=np.uint16), (8, 1))
DEEP = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        # PS3.3 C.11.2.1.2.1: (x - 299.5) / 400 + 0.5 between 99.5 and 499.5
        (dict(WindowCenter="300", WindowWidth="401"), [0, 0, 64, 128, 192, 255, 255]),
        (dict(WindowCenter="300\\9", WindowWidth="401\\9"), [0, 0, 64, 128, 192, 255, 255]),  # the first of several
        # C.11.2.1.3.2: (x - 300) / 400 + 0.5; 127.5 rounds to even
        (dict(WindowCenter="300", WindowWidth="400", VOILUTFunction="LINEAR_EXACT"), [0, 0, 64, 128, 191, 255, 255]),
        # C.11.2.1.3.1: 255 / (1 + exp(-4 (x - 301) / 400))
        (dict(WindowCenter="301", WindowWidth="400", VOILUTFunction="SIGMOID"), [5, 30, 68, 127, 186, 224, 250]),
        # MONOCHROME1 is inverted after the window: 255 - 63.75 = 191.25 and so on
        (
            dict(
                WindowCenter="300",
                WindowWidth="400",
                VOILUTFunction="LINEAR_EXACT",
                PhotometricInterpretation="MONOCHROME1",
            ),
            [255, 255, 191, 128, 64, 0, 0],
        ),
    ],
)
def test_rescale_and_window(tags, expected):
    assert read_radiograph(film(ROW, **RESCALE, **tags)).tolist() == [expected]


def test_a_negative_slope_inverts_the_film():
    tags = dict(RescaleSlope="-1", RescaleIntercept="400", WindowCenter="200", WindowWidth="400")
    pixels = read_radiograph(film(ROW, VOILUTFunction="LINEAR_EXACT", **tags))
    # 400 300 250 200 150 100 0 from 0 to 400: 255 x 0.75 = 191.25, 0.625 159.4, 0.5 127.5, 0.375 95.6, 0.25 63.75
    assert pixels.tolist() == [[255, 191, 159, 128, 96, 64, 0]]


@pytest.mark.parametrize(
    ("descriptor", "table", "values", "expected"),
    [
        # four entries from stored value 10 on; below and above, the first and the last
        ([4, 10, 8], [0, 100, 200, 255], [5, 10, 11, 12, 13, 99], [0, 0, 100, 200, 255, 255]),
        ([3, 0, 16], [0, 32768, 65535], [0, 1, 2, 3], [0, 128, 255, 255]),  # 32768 / 65535 x 255 = 127.502
        ([3, 0, 12], [0, 2000, 4095], [0, 1, 2, 3], [0, 125, 255, 255]),  # 2000 / 4095 x 255 = 124.54
        ([512, 0, 8], [at // 2 for at in range(512)], [0, 100, 300, 511], [0, 50, 150, 255]),  # 9 bits in, 8 bits out
    ],
)
def test_voi_lut(descriptor, table, values, expected):
    pixels = np.array([values], np.uint16)
    lut = dict(LUTDescriptor=descriptor, LUTData=table)
    wrong = dict(WindowCenter="2", WindowWidth="2")  # a table goes before a window
    assert read_radiograph(film(pixels, VOILUTSequence=lut, **wrong)).tolist() == [expected]


def test_modality_lut_goes_before_the_window():
    lut = dict(LUTDescriptor=[3, 1, 16], LUTData=[1000, 3000, 2000])
    tags = dict(ModalityLUTSequence=lut, WindowCenter="2000", WindowWidth="2000", VOILUTFunction="LINEAR_EXACT")
    assert read_radiograph(film(np.array([[0, 1, 2, 3, 4]], np.uint16), **tags)).tolist() == [[0, 0, 255, 128, 128]]


def test_signed_pixels():
    tags = dict(WindowCenter="0", WindowWidth="2000", VOILUTFunction="LINEAR_EXACT")
    assert read_radiograph(film(np.array([[-1000, -500, 0, 1000]], np.int16), **tags)).tolist() == [[0, 64, 128, 255]]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_12_bits_without_a_window_are_shown_by_percentiles(photometric):
    pixels = read_radiograph(film(RAMP, BitsStored=12, HighBit=11, PhotometricInterpretation=photometric))
    expected = [0, 0, 128, 255, 255]  # as of a 16-bit PNG: percentiles 20 and 3980
    columns = [0, 20, 2000, 3980, 4000]
    assert pixels[0, columns if photometric == "MONOCHROME2" else columns[::-1]].tolist() == expected


def test_8_bits():
    identity = dict(WindowCenter="128", WindowWidth="256")  # (x - 127.5) / 255 + 0.5
    np.testing.assert_array_equal(read_radiograph(film(UPRIGHT, **identity)), UPRIGHT)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [{}, dict(WindowCenter="2000", WindowWidth="4000")])
@pytest.mark.parametrize(
    ("dtype", "padding", "tags"),
    [
        (np.uint16, [9999], dict(PixelPaddingValue=9999)),
        (np.uint16, [0], dict(PixelPaddingValue=0)),
        (np.uint16, [9000, 9500, 9999], dict(PixelPaddingValue=9000, PixelPaddingRangeLimit=9999)),
        (np.int16, [-2000], dict(PixelPaddingValue=-2000)),
        (np.int16, [-2000], dict(PixelPaddingValue=63536)),  # the same bits, written as unsigned
    ],
)
def test_padding_is_black_and_does_not_set_the_window(photometric, window, dtype, padding, tags):
    ramp = np.maximum(RAMP, 1).astype(dtype)
    padded = np.concatenate([ramp, np.resize(np.array(padding, dtype), (40, ramp.shape[1]))])
    pixels = read_radiograph(film(padded, PhotometricInterpretation=photometric, **window, **tags))
    np.testing.assert_array_equal(
        pixels[:8], read_radiograph(film(ramp, PhotometricInterpretation=photometric, **window))
    )
    assert not pixels[8:].any()


@pytest.mark.parametrize(
    "tags",
    [
        dict(WindowCenter="2000", WindowWidth="0"),
        dict(WindowCenter="2000", WindowWidth="-5"),
        dict(WindowCenter="nan", WindowWidth="400"),
        dict(WindowCenter="2000", WindowWidth="wide"),
        dict(WindowCenter="2000"),
        dict(WindowCenter="2000", WindowWidth="400", VOILUTFunction="CUBIC"),
        dict(WindowCenter="", WindowWidth=""),
        dict(WindowCenter="0", WindowWidth="1"),  # a placeholder: all white
        dict(WindowCenter="2000", WindowWidth="2"),  # black and white
        dict(WindowCenter="500000", WindowWidth="100"),  # of other units: all black
        dict(WindowCenter="2000", WindowWidth="900000"),  # all one grey
        dict(VOILUTSequence=dict(LUTDescriptor=[4, 0, 16])),  # a table without data
        dict(VOILUTSequence=dict(LUTDescriptor=[4, 0, 5], LUTData=[1, 2, 3, 4])),  # of 5 bits
    ],
    ids=str,
)
def test_percentiles_replace_a_window_that_shows_nothing(tags):
    np.testing.assert_array_equal(read_radiograph(film(RAMP, **tags)), read_radiograph(film(RAMP)))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED])
def test_encodings(syntax, tmp_path):
    path = tmp_path / "001"  # a name without extension
    lut = dict(VOILUTSequence=dict(LUTDescriptor=[4096, 0, 16], LUTData=[16 * at for at in range(4096)]))
    path.write_bytes(film(DEEP, syntax, **lut))
    assert read_header(path) == RadiographHeader("DICOM", (64, 64), 1)
    # 16 x 4095 / 65535 x 255 = 254.94
    np.testing.assert_array_equal(read_radiograph(path), np.rint(DEEP * (16 * 255 / 65535)))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_without_preamble(syntax):
    bare = film(UPRIGHT, syntax, with_preamble=False)
    assert read_header(bare) == RadiographHeader("DICOM", (40, 24), 1)
    np.testing.assert_array_equal(read_radiograph(bare), read_radiograph(film(UPRIGHT)))
    only_preamble_missing = film(UPRIGHT)[132:]  # begins with group 2
    np.testing.assert_array_equal(read_radiograph(only_preamble_missing), read_radiograph(film(UPRIGHT)))


@pytest.mark.parametrize("syntax", [JPEG_2000, JPEG_LS, RLE])
def test_lossless_compression(syntax):
    if syntax == JPEG_LS:
        data = fragments(pytest.importorskip("jpeg_ls").encode(DEEP).tobytes())
    elif syntax == JPEG_2000:
        pytest.importorskip("openjpeg")
        code = jpeg_2000(DEEP)
        data = fragments(code[:200], code[200:])  # a frame may lie in several fragments
    else:
        data = fragments(run_length(DEEP))
    compressed = film(DEEP, syntax, data=data)
    assert read_header(compressed).upright == (64, 64)
    np.testing.assert_array_equal(read_radiograph(compressed), read_radiograph(film(DEEP)))


def test_jpeg():
    window = dict(WindowCenter="128", WindowWidth="256")
    pixels = read_radiograph(film(UPRIGHT, JPEG, data=fragments(encoded(UPRIGHT, "JPEG", quality=95)), **window))
    np.testing.assert_allclose(pixels, UPRIGHT, atol=3)


def real(name):
    films = pytest.importorskip("data_store", reason="pydicom-data isn't installed")
    return f"{films.__path__[0]}/data/{name}.dcm"


@pytest.mark.parametrize(("film_name", "size"), [("RG1", (1841, 1955)), ("RG3", (1760, 1760))])
def test_real_films(film_name, size):  # a chest and a leg, both MONOCHROME1
    pytest.importorskip("openjpeg")
    assert read_header(real(f"{film_name}_J2KR")) == RadiographHeader("DICOM", size, 1)
    pixels = read_radiograph(real(f"{film_name}_UNCR"))
    np.testing.assert_array_equal(read_radiograph(real(f"{film_name}_J2KR")), pixels)
    lossy = read_radiograph(real(f"{film_name}_J2KI"))
    np.testing.assert_array_equal(read_radiograph(real(f"{film_name}_UNCI")), lossy)
    np.testing.assert_allclose(lossy.astype(int), pixels.astype(int), atol=4)
    # bone is brighter than air: the spine against the air over the right shoulder, the tibia against that beside the leg
    bone, air = ((1500, 920), (200, 30)) if film_name == "RG1" else ((440, 860), (1383, 520))
    assert int(pixels[bone]) > int(pixels[air]) + 60


class Counted(io.BytesIO):
    """Counts the bytes that are read."""

    read_bytes = 0

    def read(self, size=-1):
        data = super().read(size)
        self.read_bytes += len(data)
        return data


@pytest.mark.parametrize("compressed", [False, True])
def test_header_doesnt_read_the_pixels(compressed):
    pixels = np.random.default_rng(0).integers(0, 65536, (2000, 2000), np.uint16)
    data = film(pixels, RLE, data=fragments(run_length(pixels))) if compressed else film(pixels)
    file = Counted(data)
    assert dicom_header(file).upright == (2000, 2000)
    assert len(data) > 8_000_000
    assert file.read_bytes < 4_000


def test_warnings_return_after_the_last_reader():
    level, filters = logging.getLogger("pydicom").level, list(warnings.filters)
    threads = [threading.Thread(target=lambda: [read_radiograph(film(DEEP)) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logging.getLogger("pydicom").level == level
    assert list(warnings.filters) == filters


def test_series_description_and_nothing_else():
    assert read_dicom_text(film(RAMP, SeriesDescription="AP Pelvis "), "SeriesDescription") == "AP Pelvis"
    assert read_dicom_text(film(RAMP), "SeriesDescription") is None
    assert read_dicom_text(PICTURE, "SeriesDescription") is None
    with pytest.raises(RadiographError, match="empty"):  # an incomplete download isn't a film without the tag
        read_dicom_text(b"", "SeriesDescription")


@pytest.mark.parametrize(
    ("tags", "side"),
    [
        (dict(ImageLaterality="L"), "left"),
        (dict(ImageLaterality="R"), "right"),
        (dict(Laterality="L"), "left"),
        (dict(Laterality="R", ImageLaterality=""), "right"),
        (dict(Laterality="R", ImageLaterality="R"), "right"),
        (dict(Laterality="R", ImageLaterality="L"), None),
        (dict(Laterality="L", ImageLaterality="B"), None),  # both sides
        (dict(ImageLaterality="U"), None),  # unpaired
        (dict(ImageLaterality="l"), None),
        (dict(ImageLaterality="LEFT"), None),
        (dict(ImageLaterality="L\\R"), None),  # two values
        (dict(ImageLaterality=5), None),
        (dict(Laterality=""), None),
        ({}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED])
def test_which_side_a_film_says_it_shows(tags, side, syntax):
    data = film(RAMP, syntax, **tags)
    for at_least in (None, 100):
        read = read_reduced(data, at_least)
        assert (read.patient_side, read.width, read.height, read.step) == (side, 4001, 8, 1)
        np.testing.assert_array_equal(read.pixels, read_radiograph(film(RAMP)))
    assert read_reduced(PICTURE).patient_side is None
