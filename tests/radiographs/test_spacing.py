"""The spacing of DICOM films, which are synthetic: no film of a machine has been compared with a ruler."""

import numpy as np
import pytest

pytest.importorskip("pydicom")

from dicom_bytes import DEFLATED, EXPLICIT, IMPLICIT, film
from film_bytes import JPEG
from hipdet.core.spacing import CALIBRATED, CORRECTED, DETECTOR, UNKNOWN_PLANE, Spacing
from hipdet.radiographs.read import read_header, read_radiograph, read_reduced

PIXELS = np.arange(300 * 200, dtype=np.uint16).reshape(300, 200)  # 200 wide
FACTOR = "EstimatedRadiographicMagnificationFactor"
# PS3.3 10.7.1.3: the distance of rows, then that of columns
TWO = dict(PixelSpacing="0.30\\0.25")
IMAGER = dict(ImagerPixelSpacing="0.33\\0.275")


@pytest.mark.parametrize(
    ("tags", "mm", "plane"),
    [
        (dict(TWO, PixelSpacingCalibrationType="FIDUCIAL"), (0.25, 0.3), CALIBRATED),
        (dict(TWO, **IMAGER, PixelSpacingCalibrationType="GEOMETRY"), (0.25, 0.3), CALIBRATED),
        (dict(TWO, **IMAGER), (0.25, 0.3), CALIBRATED),  # 10.7.1.1: if they differ, it was corrected or calibrated
        (TWO, (0.25, 0.3), UNKNOWN_PLANE),
        (dict(TWO, PixelSpacingCalibrationType="ELSE"), (0.25, 0.3), UNKNOWN_PLANE),
        (dict(TWO, PixelSpacingCalibrationType=""), (0.25, 0.3), UNKNOWN_PLANE),
        # 10.7.1.1: if they are the same, it wasn't
        (dict(TWO, ImagerPixelSpacing="0.3\\0.25"), (0.25, 0.3), DETECTOR),
        (dict(TWO, ImagerPixelSpacing="0.3\\0.25", PixelSpacingCalibrationType="FIDUCIAL"), (0.25, 0.3), CALIBRATED),
        (dict(TWO, NominalScannedPixelSpacing="0.3\\0.25"), (0.25, 0.3), DETECTOR),
        (dict(TWO, ImagerPixelSpacing="0.15\\0.125"), (0.25, 0.3), UNKNOWN_PLANE),  # no patient is behind the detector
        (IMAGER, (0.275, 0.33), DETECTOR),
        (dict(NominalScannedPixelSpacing="0.2\\0.1"), (0.1, 0.2), DETECTOR),
        (dict(IMAGER, **{FACTOR: "1.1"}), (0.25, 0.3), CORRECTED),
        (dict(TWO, ImagerPixelSpacing="0.3\\0.25", **{FACTOR: "1.2"}), (0.208333, 0.25), CORRECTED),
        (dict(TWO, **IMAGER, **{FACTOR: "1.2"}), (0.25, 0.3), CALIBRATED),  # not corrected twice
        *(
            (dict(IMAGER, **{FACTOR: bad}), (0.275, 0.33), DETECTOR)
            for bad in ("1", "0", "0.9", "-2", "50", "x", "nan")
        ),
        (dict(PixelAspectRatio="2\\1"), None, None),  # no millimetres
        ({}, None, None),
    ],
    ids=str,
)
def test_spacing(tags, mm, plane):
    for syntax in (EXPLICIT, IMPLICIT, DEFLATED):
        data = film(PIXELS, syntax, **tags)
        expected = None if mm is None else Spacing(mm, plane)
        for read in (read_header(data), read_reduced(data), read_reduced(data, 100)):
            assert read.spacing == expected


@pytest.mark.parametrize(
    "bad",
    ["", "0\\0", "0.3\\0", "-0.3\\0.3", "nan\\0.3", "inf\\0.3", "1e400\\0.3", "0,3\\0,25", "wide\\high", "0.3",
     "0.3\\0.25\\0.2", "0.3\\", "\\0.3", "0.009\\0.3", "300\\300", "10\\0.3", "1\\10.1", b"\xff\xfe\\0.3", 3],
)  # fmt: skip
def test_what_no_film_has_counts_as_absent(bad):
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        data = film(PIXELS, **{keyword: bad})
        assert read_header(data).spacing is None
        np.testing.assert_array_equal(read_radiograph(data), read_radiograph(film(PIXELS)))
    assert read_header(film(PIXELS, PixelSpacing=bad, **IMAGER)).spacing == Spacing((0.275, 0.33), DETECTOR)


def test_a_film_of_more_than_two_metres_has_no_spacing():
    """1 mm is what many programs write that don't know it."""
    thin = np.zeros((2001, 4), np.uint8)
    assert read_header(film(thin, PixelSpacing="1\\1")).spacing is None
    assert read_header(film(thin[:2000], PixelSpacing="1\\1")).spacing == Spacing((1.0, 1.0), UNKNOWN_PLANE)


def test_pixels_are_read_as_they_are_stored():
    """Spacing and boxes are of one grid, also where pixels aren't square."""
    stored = film(PIXELS, PixelSpacing="0.6\\0.3", PixelAspectRatio="2\\1")
    np.testing.assert_array_equal(read_radiograph(stored), read_radiograph(film(PIXELS)))
    assert read_reduced(stored).spacing == Spacing((0.3, 0.6), UNKNOWN_PLANE)
    assert read_header(stored).upright == (200, 300)


def test_other_kinds_of_films_have_none():
    assert read_header(JPEG).spacing is None
    assert read_reduced(JPEG).spacing is None
