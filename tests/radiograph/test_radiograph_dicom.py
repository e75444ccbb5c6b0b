"""DICOM films: the greys of the standard, real films, and what is no film."""

import io
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pydicom = pytest.importorskip("pydicom")

from pydicom.data import get_testdata_file
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_bytes import SECRETS, dicom, dicom_dataset, lut, saved
from hipdet.errors import RadiographError
from hipdet.radiograph import RadiographHeader, read_header, read_radiograph, read_series_description

RAMP = np.tile(np.arange(0, 4096, 64, dtype=np.uint16), (64, 1))  # 12 bits, 64 columns
WINDOW = dict(WindowCenter=2048, WindowWidth=1025)


def column(content, stored_value):
    """The grey of the column of RAMP that holds `stored_value`."""
    return int(read_radiograph(content)[0, stored_value // 64])


def test_linear_window():
    # PS3.3 C.11.2.1.2.1: black up to c - 0.5 - (w-1)/2 = 1535.5, white from 2559.5; 2048 is ((2048 - 2047.5) / 1024 + 0.5)
    # x 255 = 127.6; 1792: 63.9; 2304: 191.4
    content = dicom(RAMP, bits=12, **WINDOW)
    assert [column(content, value) for value in (0, 1472, 1792, 2048, 2304, 2560, 4032)] == [
        0,
        0,
        64,
        128,
        191,
        255,
        255,
    ]


def test_monochrome1_is_inverted():
    content = dicom(RAMP, bits=12, PhotometricInterpretation="MONOCHROME1", **WINDOW)
    assert [column(content, value) for value in (0, 1792, 2048, 4032)] == [255, 191, 127, 0]


def test_rescale_comes_before_the_window():
    # stored 512 is 2 x 512 + 1024 = 2048; the window is of the rescaled values
    content = dicom(RAMP, bits=12, RescaleSlope=2, RescaleIntercept=1024, **WINDOW)
    assert [column(content, value) for value in (192, 512, 640, 832)] == [0, 128, 191, 255]


def test_a_falling_rescale_turns_the_greys():
    # stored 2048 is -2048 + 4096 = 2048, larger ones are darker
    content = dicom(RAMP, bits=12, RescaleSlope=-1, RescaleIntercept=4096, **WINDOW)
    assert [column(content, value) for value in (0, 1792, 2048, 2304, 4032)] == [255, 191, 128, 64, 0]


def test_first_of_several_windows_and_other_functions():
    several = dicom(RAMP, bits=12, WindowCenter=[2048, 100], WindowWidth=[1025, 10])
    assert column(several, 2048) == 128
    # C.11.2.1.3.2: (2048 - 2048) / 1024 + 0.5, exactly in the middle: 127.5 rounds to even
    exact = dicom(RAMP, bits=12, WindowCenter=2048, WindowWidth=1024, VOILUTFunction="LINEAR_EXACT")
    assert [column(exact, value) for value in (1536, 2048, 2304)] == [0, 128, 191]
    # C.11.2.1.3.1: 255 / (1 + exp(-4 x (2304 - 2048) / 1024)) = 255 / (1 + e^-1) = 186.4
    sigmoid = dicom(RAMP, bits=12, WindowCenter=2048, WindowWidth=1024, VOILUTFunction="SIGMOID")
    assert [column(sigmoid, value) for value in (2048, 2304)] == [128, 186]


@pytest.mark.parametrize("bits", [16, 8])
def test_voi_lut(bits):
    # 16 entries from stored value 1000 on: entry k is k x 17, so 1000 + k is 255 x k / 15; before and behind are the ends
    stored = np.tile(np.arange(992, 1024, dtype=np.uint16), (4, 1))
    grey = read_radiograph(dicom(stored, VOILUTSequence=lut([17 * k for k in range(16)], 1000, bits), **WINDOW))
    assert grey[0, [0, 8, 9, 14, 23, 31]].tolist() == [0, 0, 17, 102, 255, 255]


def test_voi_lut_of_8_bits_and_many_entries():
    # entry k of 4096 is k // 16: pydicom itself takes k modulo 256
    content = dicom(RAMP, bits=12, VOILUTSequence=lut([k // 16 for k in range(4096)], 0, 8))
    assert [column(content, value) for value in (0, 1024, 2048, 4032)] == [0, 64, 128, 252]


def test_modality_lut_comes_first():
    # 64 entries map 0..63 to 4032..0; the window maps 4032 to 255 x 4032 / 4096 = 251.0
    stored = np.tile(np.arange(64, dtype=np.uint16), (4, 1))
    content = dicom(
        stored, bits=12, ModalityLUTSequence=lut([4032 - 64 * k for k in range(64)]), WindowCenter=2048, WindowWidth=4096,
        VOILUTFunction="LINEAR_EXACT",
    )  # fmt: skip
    assert read_radiograph(content)[0, [0, 31, 63]].tolist() == [251, 128, 0]


@pytest.mark.parametrize(
    "tags",
    [
        {},
        dict(WindowCenter=2048, WindowWidth=0),
        dict(WindowCenter=2048, WindowWidth=-5),
        dict(WindowCenter=60000, WindowWidth=100),  # of another film: all black
        dict(WindowCenter=2048, WindowWidth=1),  # two greys
        dict(WindowCenter=2048, WindowWidth=100, VOILUTFunction="CUBIC"),
        dict(VOILUTSequence=lut([1, 2, 3], 0, 7)),
    ],
)
def test_percentiles_without_a_usable_window(tags):
    # 0..4032 in steps of 64: percentiles 0.5 and 99.5 of 64 equal columns are 0 and 4032
    content = dicom(RAMP, bits=12, **tags)
    assert [column(content, value) for value in (0, 2048, 4032)] == [0, 130, 255]


def test_signed_values():
    stored = np.tile(np.arange(-1024, 1024, 32, dtype=np.int16), (4, 1))
    # no window: -1024..992, so 0 is 255 x 1024 / 2016 = 129.5
    assert read_radiograph(dicom(stored, bits=12))[0, [0, 32, 63]].tolist() == [0, 130, 255]


def test_8_bit():
    stored = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (4, 1))
    assert read_radiograph(dicom(stored, WindowCenter=128, WindowWidth=256))[0].tolist() == stored[0].tolist()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("limit", [None, 65_000])
def test_padding_is_black_and_spoils_no_percentile(photometric, limit):
    stored = np.full((100, 64), 65_535 if limit is None else 65_200, np.uint16)
    stored[:64] = RAMP
    tags = dict(PixelPaddingValue=65_535, PhotometricInterpretation=photometric)
    grey = read_radiograph(dicom(stored, **tags, **({} if limit is None else dict(PixelPaddingRangeLimit=limit))))
    assert not grey[64:].any()
    assert grey[0, [0, 63]].tolist() == ([0, 255] if photometric == "MONOCHROME2" else [255, 0])


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_transfer_syntaxes(syntax):
    content = dicom(RAMP, syntax, 12, **WINDOW)
    np.testing.assert_array_equal(read_radiograph(content), read_radiograph(dicom(RAMP, bits=12, **WINDOW)))
    assert read_header(content) == RadiographHeader("DICOM", (64, 64))


@pytest.mark.parametrize(
    ("syntax", "plugin", "package"),
    [
        (JPEG2000Lossless, "pylibjpeg", "openjpeg"),
        (JPEGLSLossless, "pyjpegls", "jpeg_ls"),
        (RLELossless, "pydicom", None),
    ],
)
def test_lossless_codecs(syntax, plugin, package):
    if package:
        pytest.importorskip(package)
    if not hasattr(pydicom.Dataset(), "compress"):
        pytest.skip("pydicom 2 has no encoders")
    dataset = dicom_dataset(RAMP, bits=12, **WINDOW)
    dataset.compress(syntax, encoding_plugin=plugin)
    np.testing.assert_array_equal(read_radiograph(saved(dataset)), read_radiograph(dicom(RAMP, bits=12, **WINDOW)))
    assert read_header(saved(dataset)).stored == (64, 64)


def test_without_preamble_and_without_extension(tmp_path):
    content = dicom(RAMP, bits=12, **WINDOW)
    for bare in (content[132:], dicom(RAMP, ImplicitVRLittleEndian, 12, **WINDOW)[132:]):
        path = tmp_path / "001"
        path.write_bytes(bare)
        np.testing.assert_array_equal(read_radiograph(path), read_radiograph(content))
    # an old file of group 8 and on, implicit, without meta information
    buffer = io.BytesIO()
    dataset = dicom_dataset(RAMP, ImplicitVRLittleEndian, 12, **WINDOW)
    del dataset.file_meta
    pydicom.dcmwrite(buffer, dataset, **_plain_file())
    np.testing.assert_array_equal(read_radiograph(buffer.getvalue()), read_radiograph(content))
    assert read_header(buffer.getvalue()).stored == (64, 64)


def _plain_file():
    if int(pydicom.__version__.split(".")[0]) >= 3:
        return dict(implicit_vr=True, little_endian=True, enforce_file_format=False)
    return dict(write_like_original=True)


def test_series_description():
    assert read_series_description(dicom(RAMP, SeriesDescription="AP Pelvis ")).strip() == "AP Pelvis"
    assert read_series_description(dicom(RAMP)) is None
    with pytest.raises(RadiographError, match="not a DICOM file"):
        read_series_description(b"\xff\xd8\xff\xe0\xff\xd9")


def test_the_header_of_a_large_film_reads_no_pixels(tmp_path):
    path = tmp_path / "film"
    path.write_bytes(dicom(np.zeros((2000, 2000), np.uint16)))
    read = []
    with path.open("rb") as raw:

        class Counting(io.BytesIO):
            def __init__(self):
                pass

            def read(self, size=-1):
                data = raw.read(size)
                read.append(len(data))
                return data

            seek, tell, name, mode = raw.seek, raw.tell, raw.name, raw.mode

        from hipdet.radiograph.dicom import header

        assert header(Counting()).stored == (2000, 2000)
    assert 0 < sum(read) < 100_000  # of 8 million bytes


@pytest.mark.parametrize("name", ["RG1", "RG3"])
def test_real_films(name):
    pytest.importorskip("data_store")  # pydicom-data
    greys = {
        kind: read_radiograph(get_testdata_file(f"{name}_{kind}.dcm", download=False)) for kind in ("UNCR", "UNCI")
    }
    reference = greys["UNCR"]
    assert reference.shape == {"RG1": (1955, 1841), "RG3": (1760, 1760)}[name]
    if name == "RG1":  # a chest: the spine is brighter than the lungs beside it
        assert reference[600:900, 850:1000].mean() > reference[600:900, 350:600].mean() + 30
    else:  # a leg: bone, flesh, air
        assert reference[200, 850] > reference[200, 700] > reference[200, 530] + 20
    pytest.importorskip("openjpeg")
    lossless = read_radiograph(get_testdata_file(f"{name}_J2KR.dcm", download=False))
    np.testing.assert_array_equal(lossless, reference)
    lossy = read_radiograph(get_testdata_file(f"{name}_J2KI.dcm", download=False))
    np.testing.assert_allclose(lossy.astype(int), reference, atol=8)


def broken(change):
    dataset = dicom_dataset(RAMP, bits=12, **WINDOW)
    change(dataset)
    return saved(dataset)


def without(name):
    return lambda dataset: delattr(dataset, name)


def setting(**tags):
    return lambda dataset: [setattr(dataset, name, value) for name, value in tags.items()]


def j2k(dataset):
    dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")


WHOLE = dicom(RAMP, bits=12, **WINDOW)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0" * 128 + b"DICM", r"DICOM without a picture \(no Rows and Columns\)"),
        (b"\0" * 128 + b"DICM" + b"\xa5" * 400, "DICOM|damaged"),
        (lambda: broken(without("PixelData")), "no pixel data: is it a report"),
        (lambda: broken(without("Rows")), r"no Rows and Columns"),
        (lambda: broken(setting(Rows=0)), "DICOM of 64x0 px"),
        (lambda: broken(setting(Columns=30_000)), "30000x64 px: larger than 20000 px"),
        (lambda: broken(setting(NumberOfFrames=7)), "DICOM with 7 frames, expected one"),
        (lambda: broken(setting(PhotometricInterpretation="RGB", SamplesPerPixel=3)), r"colour DICOM \(RGB\)"),
        (lambda: broken(setting(PhotometricInterpretation="PALETTE COLOR")), r"colour DICOM \(PALETTE COLOR\)"),
        (lambda: broken(setting(PhotometricInterpretation="Doe^Jane")), r"colour DICOM \(unknown\)"),
        (lambda: broken(without("PhotometricInterpretation")), r"colour DICOM \(unknown\)"),
        (WHOLE[:-100], r"cut short \(8\d\d\d bytes of pixels, expected 8192\)|damaged DICOM"),
        (WHOLE[:300], "DICOM|no pixel data|damaged"),
        (lambda: broken(setting(Rows=800)), "cut short|damaged DICOM"),
        (lambda: broken(setting(RescaleSlope="1e308", RescaleIntercept="1e308")), "rescale slope or intercept is no number"),
        (lambda: broken(setting(BitsAllocated=24)), "damaged DICOM|cut short"),
        (lambda: dicom(RAMP, JPEGLosslessSV1), "JPEG Lossless.*which nothing installed decodes: pip install python-gdcm"),
        (lambda: dicom(RAMP, MPEG2MPML), r"which nothing installed decodes: pip install 'hipdet\[dicom\]'"),
    ],
)  # fmt: skip
def test_what_is_no_film(content, message):
    with pytest.raises(RadiographError, match=f"^upload: .*({message})") as caught:
        read_radiograph(content() if callable(content) else content, "upload")
    assert not [secret for secret in SECRETS if secret in str(caught.value) and secret != "Doe^Jane"]


def test_header_finds_missing_pixels():
    for content, message in ((WHOLE[:-100], "cut short"), (broken(without("PixelData")), "no pixel data")):
        with pytest.raises(RadiographError, match=message):
            read_header(content)
    if hasattr(pydicom.Dataset(), "compress"):
        pytest.importorskip("openjpeg")
        with pytest.raises(RadiographError, match=r"cut short \(.* without an end"):
            read_header(broken(j2k)[:-60])


def test_codec_that_is_not_installed(monkeypatch):
    pytest.importorskip("openjpeg")
    content = broken(j2k)
    monkeypatch.setattr("hipdet.radiograph.dicom._is_decodable", lambda syntax: False)
    for read in (read_header, read_radiograph):
        with pytest.raises(RadiographError, match=r"compressed as JPEG 2000 .*Lossless.*pip install 'hipdet\[dicom\]'"):
            read(content)


def test_pydicom_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(RadiographError, match=r"^film: DICOM needs pydicom: pip install 'hipdet\[dicom\]'"):
        read_radiograph(WHOLE, "film")


@settings(max_examples=150, deadline=None)
@given(
    places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8),
    keep=st.floats(0, 1),
    bare=st.booleans(),
)
def test_damage_gives_pixels_or_our_error_and_never_a_tag(places, keep, bare):
    damaged = bytearray(WHOLE[132:] if bare else WHOLE)
    for place, value in places:
        damaged[int(place * len(damaged))] = value
    content = bytes(damaged[: int(keep * len(damaged))])
    for read in (read_header, read_radiograph):
        message = ""
        try:
            read(content, "film")
        except RadiographError as error:
            message = str(error)
        assert not [secret for secret in SECRETS if secret in message]


def test_no_tag_in_warnings_or_logs(caplog, recwarn):
    caplog.set_level(logging.DEBUG)
    read_radiograph(broken(setting(PatientBirthDate="not a date", PatientID="secret-id" * 10)))
    assert not [text for text in (*caplog.messages, *map(str, recwarn)) if "secret" in text or "Doe" in text]
