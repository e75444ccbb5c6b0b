"""The memory that the worst films take, measured in processes of their own, and what is said where it is too little."""

import json
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_bytes import DEFLATED, JPEG_2000, RLE, described, elements, film, fragments, jpeg_2000, preamble
from film_bytes import encoded
from hipdet.core.records import MAX_SIDE
from hipdet.radiographs.grey import PEAK

pytest.importorskip("pydicom")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

REST = 300e6  # bytes that any film may take: bands, tags, the decoders' own
CLAIMED = 64  # px, of a small film that unpacks to a large one

READ = """
import json, resource, sys
from pathlib import Path
from hipdet.core.stored_files import files_below
from hipdet.radiographs.read import read_deep, read_header

def of_process(entry):
    return 1024 * int(Path("/proc/self/status").read_text().split(entry + ":")[1].split()[0])

path, warm, more = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for each in sorted(warm.iterdir()):  # imports, threads
    read_deep(each)
if more:
    resource.setrlimit(resource.RLIMIT_AS, 2 * [of_process("VmSize") + more])
before = of_process("VmHWM")
said = []
for read in (read_header, read_deep):
    try:
        (file,) = files_below(path, zips=True)  # a folder or zip with one film
        found = read(file.source())
        said.append(list(found.upright if read is read_header else found.shape))
    except Exception as error:
        said.append(f"{type(error).__name__}: {error}")
print(json.dumps([of_process("VmHWM") - before, said]))
"""


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Small films of the kinds that need different libraries."""
    folder = tmp_path_factory.mktemp("warm")
    small = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    for kind in ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"):
        (folder / kind).write_bytes(encoded(small, kind))
    (folder / "DICOM").write_bytes(film(small, JPEG_2000, data=fragments(jpeg_2000(small))))
    return folder


def read_alone(data, folder, warm, more=0, zipped=False):
    """Memory that a process took to read a film, in bytes, and the size or error that it got; `more` bytes are its limit."""
    folder.mkdir(exist_ok=True)
    if zipped:
        with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("film", data)
    else:
        (folder / "film").write_bytes(data)
    done = subprocess.run([sys.executable, "-c", READ, folder, warm, str(more)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return json.loads(done.stdout)


def png(side, depth, colour, bytes_per_pixel):
    """A bomb: rows of equal bytes, dark and bright ones, which deflate makes a thousand times smaller."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    packer, row = zlib.compressobj(1), side * bytes_per_pixel
    rows = b"".join(packer.compress(b"\0" + (b"\x07", b"\x90")[at % 2] * row) for at in range(side)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def picture(side, mode, kind, **options):
    image = Image.new(mode, (side, side))
    image.paste(200, (0, 0, side // 2, side))  # a uniform film would need no window
    return encoded(image, kind, **options)


def deflated_dicom(side, inflated, tag=b"\xe0\x7f\x10\0"):
    """A deflated film whose pixels, varied 32-bit values with a window and padding, or another `tag`, are of a length."""
    changes = dict(
        Rows=side, Columns=side, WindowCenter="2000", WindowWidth="4000", RescaleSlope="2", RescaleIntercept="-100",
        PixelPaddingValue=7,
    )  # fmt: skip
    packer, piece = zlib.compressobj(1, wbits=-zlib.MAX_WBITS), bytes(range(256)) * 4096
    head = elements(described(np.zeros((1, 1), np.uint32), **changes)) + tag
    packed = [packer.compress(head + b"OW\0\0" + struct.pack("<I", min(inflated, 0xFFFFFFFE)))]
    packed += [packer.compress(piece) for _ in range(-(-inflated // len(piece)))]
    return preamble(DEFLATED) + b"".join(packed) + packer.flush()


def jpeg_2000_dicom(side, claimed=None):
    code = jpeg_2000(np.zeros((side, side), np.uint8))
    return film(np.zeros((claimed or side,) * 2, np.uint8), JPEG_2000, data=fragments(code))


def run_length_dicom(side, runs):
    code = struct.pack("<16I", 1, 64, *14 * [0]) + b"\x81\0" * runs  # each run is 128 pixels
    return film(np.zeros((side, side), np.uint8), RLE, data=fragments(code))


def native_dicom(side):
    pixels = np.zeros((side, side), np.uint32)
    pixels[0, 0] = 2**31  # more values than a table holds
    return film(pixels, RescaleSlope="2", RescaleIntercept="-100")


FILMS = {
    "PNG of 16 bit": lambda side: png(side, 16, 0, 2),
    "PNG of RGBA": lambda side: png(side, 8, 6, 4),
    "JPEG": lambda side: picture(side, "L", "JPEG"),
    "progressive CMYK JPEG": lambda side: picture(side, "CMYK", "JPEG", progressive=True, subsampling=0),
    "TIFF of floats": lambda side: picture(side, "F", "TIFF", compression="tiff_adobe_deflate"),
    "uncompressed TIFF": lambda side: picture(side, "I", "TIFF"),
    "BMP": lambda side: picture(side, "RGB", "BMP"),
    "GIF": lambda side: picture(side, "P", "GIF"),
    "WEBP": lambda side: picture(min(side, 16383), "RGBA", "WEBP", lossless=True),
    "DICOM of 32 bit": native_dicom,
    "deflated DICOM": lambda side: deflated_dicom(side, 4 * side * side),
    "JPEG 2000 in DICOM": jpeg_2000_dicom,
    "RLE in DICOM": lambda side: run_length_dicom(side, -(-side * side // 128)),
}


WORST = ["progressive CMYK JPEG", "deflated DICOM"]  # of each of the two roads through the decoders


def available_memory():
    return 1024 * int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0])


@pytest.mark.parametrize(
    ("name", "side"),
    [*((name, 3000) for name in FILMS), *(pytest.param(name, MAX_SIDE, marks=pytest.mark.ci) for name in WORST)],
)
def test_memory_of_large_films_is_bounded(name, side, tmp_path, warm):
    if available_memory() < 2 * PEAK * side * side:
        pytest.skip("too little memory")
    taken, said = read_alone(FILMS[name](side), tmp_path, warm)
    width, height = said[0]
    assert said[1] == [height, width]
    assert width == min(side, 16383) or width == side
    assert width * height <= taken <= PEAK * width * height + REST  # at least its greys: the measure isn't blind


@pytest.mark.parametrize(
    ("make", "zipped", "message"),
    [
        # the header wants 16 kB of it
        (lambda: deflated_dicom(CLAIMED, 1 << 30), False, r"^\[\[64, 64\], \[64, 64\]\]$"),
        (lambda: deflated_dicom(CLAIMED, 1 << 30, b"\x29\0\x10\x10"), False, "film: DICOM without pixel data"),
        (lambda: jpeg_2000_dicom(9000, CLAIMED), False, "9000x9000 px with 1 colours, expected grey, 64x64 px"),
        (lambda: run_length_dicom(CLAIMED, 10**7), False, "more pixels, expected grey, 64x64 px"),
        (lambda: png(20_001, 8, 0, 1), False, "20001x20001 px: larger than 20000 px a side"),
        pytest.param(
            lambda: bytes(1 << 30) + b"x", True, "film unpacks to 1073741825 bytes, expected at most 1073741824",
            marks=pytest.mark.ci,
        ),
    ],
    ids=["deflate", "tags", "JPEG 2000", "RLE", "PNG", "zip"],
)  # fmt: skip
def test_what_small_films_unpack_to_is_bounded(make, zipped, message, tmp_path, warm):
    taken, said = read_alone(make(), tmp_path, warm, zipped=zipped)
    assert re.search(message, str(said)), said
    assert taken < REST


@pytest.mark.parametrize("name", FILMS)
def test_too_little_memory_is_not_damage(name, tmp_path, warm):
    data = FILMS[name](6000)
    more = 20_000_000 + (len(data) if "DICOM" in name or "WEBP" in name else 0)
    _, said = read_alone(data, tmp_path, warm, more=more)
    assert "too little memory: close other programs, or use a machine with more" in said[1]
    assert "damaged" not in str(said)
