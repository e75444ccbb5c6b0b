"""Films that are damaged, cut short or odd: pixels or an error that says what is wrong, and never a warning of Pillow."""

import contextlib
import io
import os
import re
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from film_bytes import BMP, GIF, JPEG, PNG, PROGRESSIVE, TIFF, UPRIGHT, WEBP, WITH_PREVIEW, damaged, encoded
from hipdet.core.errors import RadiographError
from hipdet.radiographs.read import read_header, read_radiograph, read_reduced


@pytest.mark.parametrize("place", [2, 600])  # before and after the pixels
@pytest.mark.parametrize("content", [b"garbage!", b"", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff\x12\1"])
def test_unreadable_orientation_is_none(content, place):
    exif = b"Exif\0\0" + content
    jpeg = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + JPEG[2:]
    chunk = b"eXIf" + content
    chunk = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    at = 33 if place == 2 else len(PNG) - 12
    for data, plain in ((jpeg, JPEG), (PNG[:at] + chunk + PNG[at:], PNG)):
        assert read_header(data) == read_header(plain)
        np.testing.assert_array_equal(read_radiograph(data), read_radiograph(plain))


NOISE = np.random.default_rng(1).integers(0, 255, (150, 130, 3), np.uint8)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 5}, {"subsampling": 0}, {"optimize": True}]
)
@pytest.mark.parametrize("film", [NOISE, NOISE[..., 0], Image.fromarray(NOISE).convert("CMYK")])
def test_a_cut_jpeg_is_refused_even_with_an_end_marker(film, options):
    data = encoded(film, "JPEG", **options)
    assert read_radiograph(data).shape == (150, 130)
    for share in (0.4, 0.6, 0.8, 0.95):
        cut = data[: int(share * len(data))] + b"\xff\xd9"
        for read in (read_radiograph, lambda cut: read_reduced(cut, 60)):
            with pytest.raises(RadiographError, match="data are missing before the JPEG's end marker"):
                read(cut)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 5}])
@pytest.mark.parametrize("value", [127, 128])
def test_a_jpeg_that_ends_in_mid_grey_is_complete(value, options):  # as missing data are shown
    film = np.full((150, 130), value, np.uint8)
    film[:70] = NOISE[:70, :, 0]
    for trailer in (b"", bytes(5000), b"a maker's trailer" * 500):
        assert abs(read_radiograph(encoded(film, "JPEG", **options) + trailer).astype(int) - film).max() < 99


EXAMPLES = int(os.environ.get("HIPDET_FUZZ_EXAMPLES", "200"))
SAMPLES = [
    JPEG, PROGRESSIVE, PNG, TIFF, BMP, GIF, WEBP, WITH_PREVIEW,
    *(encoded(UPRIGHT, kind, 6) for kind in ("JPEG", "PNG", "TIFF", "WEBP")),
    *(encoded(UPRIGHT, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
    *(encoded(UPRIGHT.astype(dtype), "TIFF") for dtype in (np.uint16, np.int32, np.float32)),
    encoded(UPRIGHT.astype(np.uint16), "PNG"),
    *(encoded(Image.fromarray(UPRIGHT).convert(mode), "PNG") for mode in ("P", "RGBA")),
    encoded(Image.fromarray(UPRIGHT), "TIFF", save_all=True, append_images=[Image.fromarray(UPRIGHT)]),
]  # fmt: skip
HEADS = [
    b"", *(sample[:4] for sample in SAMPLES), b"GIF89a", b"RIFF\x20\0\0\0WEBPVP8 ", b"RIFF\x20\0\0\0WEBPVP8X",
    b"II+\0\x08\0\0\0", bytes(128) + b"DICM", b"\x08\0\x05\0CS\4\0utf8\x08\0\x16\0UI",
]  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.one_of(
        damaged(SAMPLES),
        st.builds(
            lambda head, rest, tail: head + rest + tail,
            st.sampled_from(HEADS),
            st.binary(max_size=600),
            st.sampled_from([b"", b";", b"\xff\xd9"]),
        ),
    )
)
def test_any_bytes_give_pixels_or_our_error(data):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            pixels = read_radiograph(data)
            assert pixels.shape == read_header(data).upright[::-1]
            assert pixels.dtype == np.uint8
        except RadiographError:
            with contextlib.suppress(RadiographError):  # what the header doesn't show
                read_header(data)
    assert not [each.message for each in heard]


# a maker's name of 400 bytes that are missing, and two compressions in place of one
_EXIF = b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 271, 2, 400, 5000) + bytes(4)
ODD_EXIF = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(_EXIF)) + _EXIF + JPEG[2:]
ODD_TAG = TIFF.replace(struct.pack("<HHI", 259, 3, 1), struct.pack("<HHI", 259, 3, 2))


@pytest.mark.parametrize("data", [ODD_EXIF, ODD_TAG])
def test_warnings_of_pillow_are_silenced(data, caplog):
    with pytest.warns(UserWarning, match=r"tag|Tag"), Image.open(io.BytesIO(data)) as image:
        image.getexif()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_radiograph(data)
        read_header(data)
    assert not caplog.records


def test_real_truncated_film(shared):
    film = shared / "data/fracatlas_hips/truncated_IMG0004177.jpg"
    with pytest.raises(RadiographError, match=r"truncated_IMG0004177\.jpg: cut short"):
        read_header(film)
    with pytest.raises(RadiographError, match=r"truncated_IMG0004177\.jpg: cut short"):
        read_radiograph(film)


def deep_tiff(bits, numbers):
    """A TIFF of 2x2 px of unsigned (1), signed (2) or floating (3) `numbers`."""
    tags = {256: 2, 257: 2, 258: bits, 259: 1, 262: 1, 273: 122, 277: 1, 278: 2, 279: bits // 2, 339: numbers}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + bytes(bits // 2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"version https://git-lfs", "not a JPEG, PNG, TIFF, BMP, GIF"),  # a pointer in place of the film
        (b"%PDF-1.7" * 99, "not a JPEG, PNG, TIFF, BMP, GIF, WEBP or DICOM film: save it as one of these"),
        (GIF[:-1], "cut short (the GIF has no end marker)"),
        (GIF[:60] + b";", "cut short"),
        (WEBP[:-1], "cut short (the WEBP is longer by its header)"),
        (WEBP[:40], "cut short"),
        *[(deep_tiff(64, number), "TIFF of 64 bits per value, expected 8, 16 or 32: save it") for number in (1, 2, 3)],
        (deep_tiff(8, 1)[:60], "header is damaged"),
        (b"II*\0" + bytes(20), "header is damaged"),  # without tags
        (JPEG[:-2], "cut short"),  # only the end marker is missing
        (JPEG[: len(JPEG) // 2], "cut short"),
        (JPEG[: len(JPEG) // 2] + bytes(9000), "cut short"),  # a partial download of full size; Pillow reads it
        (WITH_PREVIEW[: -len(JPEG) // 2], "cut short"),  # the preview's end marker isn't the film's
        (JPEG[:30], "cut short"),
        (PNG[:-12], "cut short or damaged"),  # without IEND
        (PNG[: len(PNG) // 2], "cut short or damaged"),
        (PNG[: len(PNG) // 2] + bytes(9000), "cut short or damaged"),
        (PNG[:8], "cut short or damaged"),
        (TIFF[: len(TIFF) // 2], "damaged"),
        (BMP[: len(BMP) // 2], "damaged"),
        (b"\xff\xd8\xff\xd9", "header is damaged"),
    ],
)
def test_faulty_films(data, message, tmp_path):
    path = tmp_path / "film.jpg"
    path.write_bytes(data)
    for read in (read_header, read_radiograph):
        with pytest.raises(RadiographError, match=re.escape(message)) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_truncated_is_refused_even_if_a_library_told_pillow_to_accept_it(monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(RadiographError, match="cut short"):
        read_radiograph(JPEG[: len(JPEG) // 2], name="half")


@pytest.mark.parametrize("data", [JPEG + bytes(5000), JPEG + b"a maker's trailer" * 500, WITH_PREVIEW, PNG + b"junk"])
def test_complete_films_with_a_trailer_or_a_preview(data):
    assert read_header(data).upright == (64, 64)
    assert read_radiograph(data).shape == (64, 64)
