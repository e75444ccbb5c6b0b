"""DICOM files that aren't films, are incomplete, or need a missing decoder; no message says whose film it is."""

import builtins
import contextlib
import os
import pathlib
import sys

import numpy as np
import pytest
from hypothesis import given, settings

pydicom = pytest.importorskip("pydicom")

from dicom_bytes import (
    BIG_ENDIAN,
    DATE,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    NUMBER,
    PATIENT,
    RLE,
    described,
    element,
    elements,
    film,
    fragments,
    jpeg_2000,
    preamble,
    run_length,
)
from film_bytes import UPRIGHT, damaged, encoded
from hipdet.core.errors import RadiographError
from hipdet.radiographs import dicom_pixels
from hipdet.radiographs.read import read_header, read_radiograph

DEEP = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
CODE = jpeg_2000(DEEP)
NATIVE, COMPRESSED = film(DEEP), film(DEEP, JPEG_2000, data=fragments(CODE))
REPORT = preamble(EXPLICIT) + elements(dict(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", PatientName=PATIENT))
DIRECTORY = preamble(EXPLICIT) + element(0x0004, 0x1130, "CS", PATIENT) + element(0x0004, 0x1220, "SQ", b"")


def of(**changes):
    return film(DEEP, **changes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (of(data=b""), "DICOM without pixel data"),
        (REPORT, "DICOM without pixel data: a report"),
        (DIRECTORY, "without pixel data: a report, a presentation state, a DICOMDIR"),
        (bytes(128) + b"DICM", "DICOM without pixel data"),
        (bytes(128) + b"DICM" + bytes(range(256)) * 20, "DICOM without pixel data|damaged DICOM"),
        (NATIVE[:-1], r"cut short \(8191 bytes of pixel data, expected 8192\): copy or download"),
        (NATIVE[:-8192], "cut short \\(0 bytes"),
        (NATIVE[:300], "DICOM without pixel data"),
        (of(Rows=65), "cut short \\(8192 bytes of pixel data, expected 8320"),
        (of(data=DEEP.tobytes()[:400]), "cut short \\(400 bytes"),
        (COMPRESSED[:-1], "the compressed pixels have no end"),
        (COMPRESSED[:-60], "the compressed pixels have no end"),
        (COMPRESSED[:-30], "the compressed pixels have no end"),
        (film(DEEP, JPEG_2000, data=fragments(CODE[: len(CODE) // 2])), "the compressed pixels have no end marker"),
        (film(DEEP, JPEG_2000, data=fragments()), "the compressed pixels have no end marker"),
        (film(UPRIGHT, JPEG, data=fragments(encoded(UPRIGHT, "JPEG")[:-2])), "the compressed pixels have no end marker"),
        (film(DEEP, DEFLATED)[:-40], r"cut short \(\d+ bytes of pixel data, expected 8192"),
        (of(NumberOfFrames="2"), "2 frames, expected one: save each film as its own file"),
        (of(SamplesPerPixel=3, PhotometricInterpretation="RGB"), r"colour \(RGB\), as in a screenshot or secondary capture"),
        (of(PhotometricInterpretation="PALETTE COLOR"), r"colour \(PALETTE COLOR\)"),
        (of(SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422"), r"colour \(YBR_FULL_422\)"),
        (of(PhotometricInterpretation=PATIENT), "not MONOCHROME1 or MONOCHROME2"),
        (of(Rows=0), "64x0 px"),
        (of(Rows=None), "DICOM without Rows: export the film again"),
        (of(Columns=None, BitsStored=None), "DICOM without Columns and BitsStored"),
        (of(PhotometricInterpretation=None), "DICOM without PhotometricInterpretation"),
        (of(Rows=20_001), "larger than 20000 px a side"),
        (of(BitsAllocated=1, BitsStored=1, HighBit=0), "BitsAllocated is 1, expected 8, 16 or 32"),
        (of(BitsAllocated=12), "BitsAllocated is 12"),
        (of(BitsStored=17), "BitsStored is 17, expected 1 to 16"),
        (film(DEEP, "1.2.3.4", data=fragments(CODE)), r"unknown transfer syntax \(1\.2\.3\.4\), for which no decoder"),
        (film(DEEP, PATIENT, data=fragments(CODE)), "compressed as an unknown transfer syntax, for which"),
        (NATIVE.replace(b"OW\0\0\0\x20\0\0", b"OW\0\0\xff\xff\xff\xff"), "pixel data aren't Explicit VR Little Endian"),
        (NATIVE.replace(EXPLICIT.encode(), RLE.encode()), "pixel data aren't RLE Lossless, which the header declares"),
    ],
)  # fmt: skip
def test_faulty_films(data, message):
    for read in (read_header, read_radiograph):
        with pytest.raises(RadiographError, match=message) as caught:
            read(data, name="001")
        assert str(caught.value).startswith("001: ")
        assert_discreet(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (of(RescaleSlope="nan", RescaleIntercept="0"), "rescale slope or intercept is 0 or not a number"),
        (of(RescaleSlope="1", RescaleIntercept="inf"), "rescale slope or intercept is 0 or not a number"),
        (of(RescaleSlope="0", RescaleIntercept="7"), "rescale slope or intercept is 0 or not a number"),
        (of(RescaleSlope=PATIENT, RescaleIntercept="7"), r"damaged DICOM \(\w+\)"),
        (film(DEEP, JPEG_2000, data=fragments(CODE[:150] + b"\xff\xd9")), "can't be decoded as JPEG 2000"),
        (film(DEEP, RLE, data=fragments(run_length(DEEP)[:500])), "can't be decoded as RLE Lossless"),
        (film(DEEP, JPEG, data=fragments(encoded(UPRIGHT, "JPEG"))), "can't be decoded as JPEG Baseline"),
    ],
)
def test_faults_that_only_decoding_shows(data, message):
    assert read_header(data).upright == (64, 64)
    with pytest.raises(RadiographError, match=message) as caught:
        read_radiograph(data)
    assert_discreet(caught.value)


@pytest.mark.parametrize(
    ("syntax", "message"),
    [
        (JPEG_2000, r"compressed as JPEG 2000 .*no decoder is installed: pip install 'hipdet\[dicom\]'"),
        (JPEG_LS, r"compressed as JPEG-LS .*no decoder is installed: pip install 'hipdet\[dicom\]'"),
        (JPEG_LOSSLESS, "compressed as JPEG Lossless.*no decoder is installed: pip install python-gdcm, or export"),
    ],
)
def test_missing_codec(syntax, message, monkeypatch):
    monkeypatch.setattr(dicom_pixels, "_decodable", lambda uid: False)
    for read in (read_header, read_radiograph):
        with pytest.raises(RadiographError, match=message):
            read(film(DEEP, syntax, data=fragments(CODE)))
    read_radiograph(NATIVE)  # needs none


def test_missing_plugins_are_seen_in_pydicom(monkeypatch):
    from pydicom.pixels import get_decoder

    monkeypatch.setattr(get_decoder(JPEG_2000), "_available", {})
    with pytest.raises(RadiographError, match="no decoder is installed"):
        read_header(COMPRESSED)


@pytest.mark.parametrize("missing", ["pydicom", "pydicom.pixels"])  # the second: pydicom 2
def test_missing_pydicom(monkeypatch, tmp_path, missing):
    path = tmp_path / "001"
    path.write_bytes(NATIVE)
    for name in [name for name in sys.modules if name.split(".")[0] == "pydicom"]:
        monkeypatch.delitem(sys.modules, name)
    real_import = builtins.__import__

    def without_pydicom(name, *arguments, **options):
        if name == missing or name.startswith(f"{missing}."):
            raise ImportError(name)
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_pydicom)
    for read in (read_header, read_radiograph):
        with pytest.raises(RadiographError, match=r"001: DICOM needs pydicom 3.*pip install 'hipdet\[dicom\]'"):
            read(path)


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\0 a diary that begins with two rare bytes" * 20,
        b"\x08\0\x05\0" + bytes(600),  # the second element isn't after the first
        b"\x02\0\0\0UL\x04\0" + bytes(4),  # group 2 and no more
        b"\x08\0\x05\0CS\xff\xff" + b"x" * 600,  # longer than the bytes that are read
    ],
)
def test_not_every_file_is_dicom(data):
    with pytest.raises(RadiographError, match="not a JPEG, PNG, TIFF, BMP, GIF, WEBP or DICOM"):
        read_header(data)


def test_pydicoms_test_files_give_pixels_or_our_error(caplog, recwarn):
    """CT, MR, RT, waveforms, reports, colour and deliberately broken files: everything that pydicom ships."""
    folder = pathlib.Path(pydicom.__file__).parent / "data/test_files"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size < 400_000]
    read = slices = 0
    for path in files:
        try:
            assert read_radiograph(path).shape == read_header(path).upright[::-1]
            read += 1
        except RadiographError as error:
            slices += "expected a radiograph" in error.reason
    if files:
        assert read >= 5
        assert slices >= 10
    assert not caplog.records
    assert not recwarn.list


@settings(max_examples=int(os.environ.get("HIPDET_FUZZ_EXAMPLES", "200")), deadline=None)
@given(
    damaged([
        NATIVE, COMPRESSED, film(DEEP, IMPLICIT, with_preamble=False), film(DEEP, BIG_ENDIAN), film(DEEP, DEFLATED),
        film(DEEP, RLE, data=fragments(run_length(DEEP))), film(UPRIGHT, JPEG, data=fragments(encoded(UPRIGHT, "JPEG"))),
        of(VOILUTSequence=dict(LUTDescriptor=[4, 0, 16], LUTData=[0, 9, 99, 65535]), PixelPaddingValue=7),
        of(WindowCenter="2000", WindowWidth="4000", RescaleSlope="2", RescaleIntercept="-100"),
    ]),
)  # fmt: skip
def test_damage_gives_pixels_or_our_error(data):
    try:
        pixels = read_radiograph(data)
    except RadiographError as error:
        assert_discreet(error)
        with contextlib.suppress(RadiographError):  # what the header doesn't show
            read_header(data)
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape == read_header(data).upright[::-1]


def test_the_films_of_these_tests_do_name_a_patient():
    assert {PATIENT, NUMBER, DATE} <= set(described(DEEP).values())
    assert all(value.encode() in NATIVE for value in (PATIENT, NUMBER, DATE))


def assert_discreet(error):
    """Neither the message nor a traceback of its causes may say whose film it is."""
    while error is not None:
        assert not any(value in str(error) for value in (PATIENT, "DOE", NUMBER, DATE))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
