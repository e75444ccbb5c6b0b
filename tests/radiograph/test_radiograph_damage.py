"""Films that are no pictures, or not all there."""

import pytest

from film_bytes import BMP, JPEG, PNG, TIFF, UPRIGHT, WITH_PREVIEW, encoded
from hipdet.core.errors import RadiographError
from hipdet.radiographs.read import read_header, read_radiograph


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"version https://git-lfs", "not a JPEG, PNG, TIFF, BMP or DICOM"),  # a pointer in place of the film
        (encoded(UPRIGHT, "GIF"), "not a JPEG, PNG, TIFF, BMP or DICOM"),
        (JPEG[:-2], "cut short"),  # only the end marker is missing
        (JPEG[: len(JPEG) // 2], "cut short"),
        (JPEG[: len(JPEG) // 2] + bytes(9000), "cut short"),  # a download that reserved its space; Pillow reads it
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
        with pytest.raises(RadiographError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_truncated_is_refused_where_a_library_told_pillow_to_accept(monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(RadiographError, match="cut short"):
        read_radiograph(JPEG[: len(JPEG) // 2], name="half")


@pytest.mark.parametrize("data", [JPEG + bytes(5000), JPEG + b"a maker's trailer" * 500, WITH_PREVIEW, PNG + b"junk"])
def test_whole_films_with_more_behind_or_inside(data):
    assert read_header(data).upright == (64, 64)
    assert read_radiograph(data).shape == (64, 64)
