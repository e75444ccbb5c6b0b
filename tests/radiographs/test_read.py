"""Films of every kind become upright grey; files that aren't pictures or are incomplete are refused."""

import os
import pickle
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from film_bytes import UPRIGHT, encoded
from hipdet.core.errors import RadiographError
from hipdet.core.records import MAX_SIDE
from hipdet.radiographs.grey import TOO_LARGE, RadiographHeader
from hipdet.radiographs.read import read_header, read_radiograph
from hipdet.radiographs.sniff import is_film

# How a film must be stored so that a viewer that obeys the orientation shows UPRIGHT (EXIF 2.3, tag 274).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, 1),  # shown turned 90 degrees clockwise
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "dtype", "options"),
    [
        ("JPEG", np.uint8, {"quality": 95}),
        ("PNG", np.uint8, {}),
        ("TIFF", np.uint8, {}),
        ("TIFF", np.uint8, {"compression": "tiff_lzw"}),  # another decoder, libtiff
        ("WEBP", np.uint8, {"lossless": True}),
        ("PNG", np.uint16, {}),
        ("TIFF", np.uint16, {}),
    ],
)
def test_orientation_is_applied(kind, dtype, options, orientation):
    data = encoded(STORED[orientation](UPRIGHT.astype(dtype)), kind, orientation, **options)
    pixels = read_radiograph(data)
    assert pixels.dtype == np.uint8
    assert pixels.shape == UPRIGHT.shape
    expected = UPRIGHT if dtype == np.uint8 else np.rint((UPRIGHT.astype(float) - 10) / 220 * 255)
    np.testing.assert_allclose(pixels, expected, atol=3 if kind == "JPEG" else 0)
    header = read_header(data)
    assert header == RadiographHeader(kind, (40, 24) if orientation < 5 else (24, 40), orientation)
    assert header.upright == (40, 24)


def test_orientation_after_the_pixels_of_a_png():
    data = encoded(STORED[6](UPRIGHT), "PNG", 6)
    at = data.index(b"eXIf") - 4
    length = 12 + struct.unpack(">I", data[at : at + 4])[0]
    chunk, rest = data[at : at + length], data[:at] + data[at + length :]
    moved = rest[:-12] + chunk + rest[-12:]  # IEND is the last 12 bytes
    assert read_header(moved).upright == (40, 24)
    np.testing.assert_array_equal(read_radiograph(moved), UPRIGHT)


@pytest.mark.parametrize("orientation", [0, 9, 200])  # no orientation by the standard: shown as stored
def test_impossible_orientation_is_none(orientation):
    data = encoded(UPRIGHT, "PNG", orientation)
    assert read_header(data) == RadiographHeader("PNG", (40, 24), 1)
    np.testing.assert_array_equal(read_radiograph(data), UPRIGHT)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *[("GIF", mode) for mode in ("L", "P", "1")],
        *[("WEBP", mode) for mode in ("L", "RGB", "RGBA")],
        *[("PNG", mode) for mode in ("L", "RGB", "P", "1", "LA", "RGBA")],
        *[("BMP", mode) for mode in ("L", "RGB", "P", "1", "RGBA")],
        *[("TIFF", mode) for mode in ("L", "RGB", "P", "1", "LA", "RGBA", "CMYK")],
    ],
)
def test_modes_become_grey(kind, mode):
    grey = Image.fromarray(UPRIGHT)
    image = grey.convert("RGB").convert(mode) if mode == "CMYK" else grey.convert(mode, dither=Image.Dither.NONE)
    expected = np.where(UPRIGHT > 127, 255, 0) if mode == "1" else UPRIGHT
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_allclose(read_radiograph(encoded(image, kind, **options)), expected, atol=1)


def test_transparent_is_black():
    image = Image.fromarray(UPRIGHT).convert("LA")
    image.putalpha(Image.fromarray(np.where(UPRIGHT == 230, 0, 255).astype(np.uint8)))
    np.testing.assert_array_equal(read_radiograph(encoded(image, "PNG")), np.where(UPRIGHT == 230, 0, UPRIGHT))


def test_colour_is_luminance():
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    # ITU-R 601: 0.299 x 255 = 76.2
    assert np.unique(read_radiograph(encoded(red, "PNG"))).tolist() == [76]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_is_windowed_not_cut(kind):
    # A 12-bit film, 0..4000 in steps of 1: its high byte would end at 15.
    ramp = np.tile(np.arange(4001, dtype=np.uint16), (8, 1))
    pixels = read_radiograph(encoded(ramp, kind))
    # percentiles 0.5 and 99.5 of 0..4000 are 20 and 3980, so 2000 lies in the middle: 127.5 rounds to even
    assert pixels[0, [0, 20, 2000, 3980, 4000]].tolist() == [0, 0, 128, 255, 255]
    assert (np.diff(pixels[0].astype(int)) >= 0).all()
    assert len(np.unique(pixels)) == 256


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full((4, 4), 7, np.uint16), 0),  # uniform: nothing to stretch
        (np.full((4, 4), np.nan, np.float32), 0),  # no value
        (np.array([[-1.0, 0.0, 1.0]], np.float32), [[0, 128, 255]]),  # negative values; window -0.99..0.99
        (np.array([[0, 100_000]], np.int32), [[0, 255]]),  # deeper than 16 bit
        (np.array([[0, 1, 2, np.nan, np.inf]], np.float32), [[0, 128, 255, 0, 0]]),  # what isn't a number is black
    ],
)
def test_deep_tiffs(values, expected):
    np.testing.assert_array_equal(read_radiograph(encoded(values, "TIFF")), np.broadcast_to(expected, values.shape))


def test_unsigned_32_bit_does_not_wrap():
    values = np.array([[0, 2**31 - 5, 2**31 + 5, 2**32 - 1]], np.uint32)
    signed = struct.pack("<HHII", 339, 3, 1, 2)  # tag, type, count, value; Pillow can't write unsigned numbers
    data = encoded(values.view(np.int32), "TIFF")
    assert signed in data
    unsigned = data.replace(signed, struct.pack("<HHII", 339, 3, 1, 1))
    np.testing.assert_array_equal(read_radiograph(unsigned), [[0, 128, 128, 255]])


def test_one_bright_pixel_in_a_uniform_film_is_seen():
    values = np.zeros((100, 100), np.uint16)
    values[3, 4] = 900  # beyond both percentiles, which are both 0
    assert read_radiograph(encoded(values, "PNG"))[3, 4] == 255


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_tiff_is_inverted(dtype):
    black_is_zero = struct.pack("<HHII", 262, 3, 1, 1)  # tag, type, count, value; Pillow would invert on writing
    data = encoded(UPRIGHT.astype(dtype), "TIFF")
    assert black_is_zero in data
    pixels = read_radiograph(data.replace(black_is_zero, struct.pack("<HHII", 262, 3, 1, 0))).astype(int)
    assert pixels[0, 0] > pixels[0, -1] > pixels[-1, 0] > pixels[-1, -1]


def test_path_and_bytes_agree(tmp_path):
    path = tmp_path / "film größe.jpg"  # the name isn't ASCII
    path.write_bytes(encoded(UPRIGHT, "JPEG", 6))
    for source in (path, str(path)):
        np.testing.assert_array_equal(read_radiograph(source), read_radiograph(path.read_bytes()))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(RadiographError, match=r"nowhere\.jpg: no such file"):
        read_radiograph(tmp_path / "nowhere.jpg")
    with pytest.raises(RadiographError, match="can't be read: Is a directory"):
        read_header(tmp_path)
    with pytest.raises(RadiographError, match=r"nowhere\.jpg: no such file"):
        read_header(tmp_path / "nowhere.jpg")


def special_files(folder):
    """Files that aren't films, by what they are; each is named like a film and not."""
    for suffix in ("", ".jpg"):
        os.mkfifo(folder / f"pipe{suffix}")
        (folder / f"loop{suffix}").symlink_to(f"loop{suffix}")
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(os.fspath(folder / f"socket{suffix}"))
        yield from (
            (folder / f"pipe{suffix}", "a named pipe, expected a file"),
            (folder / f"socket{suffix}", "a socket, expected a file"),
            (folder / f"loop{suffix}", "can't be read: Too many levels of symbolic links"),
            (folder / f"{250 * 'x'}{250 * 'y'}{suffix}", "can't be read: File name too long"),
            (folder / f"a\0{suffix}", "a name that no file can have, expected a file"),
        )
    yield from ((path, "a device, expected a file") for path in ("/dev/null", "/dev/zero"))


def test_special_files_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # paths of sockets are short
    for path, reason in special_files(Path()):
        for read in (read_header, read_radiograph):
            with pytest.raises(RadiographError) as caught:
                read(path)
            assert str(caught.value) == f"{path}: {reason}"
        assert is_film(Path(path).name, Path(path)) == (Path(path).suffix == ".jpg")


def test_name_of_bytes():
    with pytest.raises(RadiographError, match=r"^upload 3: empty"):
        read_radiograph(b"", name="upload 3")


def test_several_pages_are_refused_but_a_preview_is_not(monkeypatch):
    page = Image.fromarray(UPRIGHT)
    two = encoded(page, "TIFF", save_all=True, append_images=[page])
    animated = dict(save_all=True, append_images=[Image.fromarray(255 - UPRIGHT)])
    for kind in ("GIF", "PNG", "WEBP"):
        with pytest.raises(RadiographError, match=f"an animated {kind}, expected one picture"):
            read_header(encoded(page, kind, **animated))
    for read in (read_header, read_radiograph):
        with pytest.raises(RadiographError, match="several pages, expected one: save each film as its own file"):
            read(two)
    preview = page.resize((30, 18))
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    with_preview = encoded(page, "TIFF", save_all=True, append_images=[preview])
    # each page is larger than the limit of the host's Pillow
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    np.testing.assert_array_equal(read_radiograph(with_preview), UPRIGHT)
    np.testing.assert_array_equal(read_radiograph(encoded(page, "TIFF", compression="tiff_lzw")), UPRIGHT)
    assert Image.MAX_IMAGE_PIXELS == 200


def png_header(width, height, depth, colour):
    """A PNG with a valid header and no pixels."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_16_bit_colour_is_refused():  # Pillow would read only its high byte
    data = png_header(4, 4, 16, 2)
    with pytest.raises(RadiographError, match="16-bit colour"):
        read_radiograph(data)
    with pytest.raises(RadiographError, match="16-bit colour"):
        read_header(data)


@pytest.mark.parametrize(
    ("width", "height", "fine"),
    [
        (20_000, 20_000, True),  # beyond Pillow's own limit
        (20_001, 10, False),
        (10, 20_001, False),
        (100_000, 100_000, False),  # Pillow's "decompression bomb"
    ],
)
def test_largest_film(width, height, fine):
    limit = Image.MAX_IMAGE_PIXELS
    if fine:
        assert read_header(png_header(width, height, 8, 0)).upright == (width, height)
    else:
        with pytest.raises(RadiographError, match="larger than 20000 px"):
            read_header(png_header(width, height, 8, 0))
    assert limit == Image.MAX_IMAGE_PIXELS


def test_real_films(shared):
    films = sorted((shared / "data/fracatlas_hips/images").glob("*.jpg"))
    assert len(films) == 100
    turned = 0
    for film in films:
        header = read_header(film)
        turned += header.stored != header.upright
    assert turned == 10  # its README: 7 films with orientation 6, 3 with 8
    film = films[1]
    assert read_radiograph(film).shape == read_header(film).upright[::-1]


def test_the_error_names_the_limit():
    assert str(MAX_SIDE) in TOO_LARGE


def test_errors_can_be_pickled():
    error = pickle.loads(pickle.dumps(RadiographError("cut short", "a.jpg")))
    assert (str(error), error.reason, error.film) == ("a.jpg: cut short", "cut short", "a.jpg")
