"""Small films as bytes."""

import io
import struct

import numpy as np
from hypothesis import strategies as st
from PIL import Image

# An upright film whose four quarters differ, 24 high and 40 wide: any wrong rotation or mirroring shows.
UPRIGHT = np.kron(np.array([[10, 80], [150, 230]], np.uint8), np.ones((12, 20), np.uint8))


def encoded(array, kind, orientation=None, **options):
    image = array if isinstance(array, Image.Image) else Image.fromarray(np.ascontiguousarray(array))
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encoded(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8), "JPEG")
PNG = encoded(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8), "PNG")
TIFF = encoded(UPRIGHT, "TIFF")
BMP = encoded(UPRIGHT, "BMP")
WITH_PREVIEW = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(JPEG)) + JPEG + JPEG[2:]
GIF = encoded(UPRIGHT, "GIF")
WEBP = encoded(UPRIGHT, "WEBP")
PROGRESSIVE = encoded(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8), "JPEG", progressive=True)


def damaged(samples):
    """Strategy: one of the `samples` with some of its bytes replaced, inserted or removed, and perhaps cut short."""
    place = st.one_of(st.integers(0, 800), st.integers(0, 20_000))  # headers come first
    edit = st.tuples(place, st.integers(0, 4), st.binary(max_size=8))
    return st.builds(
        _edited, st.sampled_from(samples), st.lists(edit, max_size=8), st.one_of(st.just(1.0), st.floats(0, 1))
    )


def _edited(data, edits, keep):
    data = bytearray(data)
    for place, removed, added in edits:
        place %= len(data) + 1
        data[place : place + removed] = added
    return bytes(data[: int(keep * len(data))])
