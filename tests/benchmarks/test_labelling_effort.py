"""benchmarks/labelling_effort.py: the effort that proposals save, counted by hand."""

import pytest

import labelling_effort as benchmark

LABEL = [100, 100, 200, 200]


@pytest.mark.parametrize(
    ("found", "drags"),
    [
        (LABEL, 0),
        ([104, 104, 204, 204], 0),  # 96 x 96 of 2 x 10,000 - 96 x 96: IoU 0.854
        ([120, 120, 220, 220], 1),  # the size is right: moved
        ([100, 100, 160, 160], 1),  # one corner is right: resized
        ([160, 100, 200, 140], 1),
        ([130, 130, 190, 190], 2),  # neither
        (None, 1),  # drawn
    ],
)
def test_drags_for_one_hip(found, drags):
    assert benchmark.drags(LABEL, found, 0.85) == drags


def row(image, found):
    corners = dict(zip(("x0", "y0", "x1", "y1"), LABEL))
    return {"image_id": image, **corners, **{f"found_{key}": value for key, value in zip(corners, found or [None] * 4)}}


def test_effort_of_three_films():
    rois = [row(1, LABEL), row(1, LABEL), row(2, LABEL), row(2, None), row(3, [120, 120, 220, 220]), row(3, LABEL)]
    metrics = benchmark.effort({"rois": rois, "extras": [{"image_id": 2}]}, 0.85)
    assert metrics == {
        "films": 3,
        "hips": 6,
        "hips accepted (IoU >= 0.85)": 4 / 6,
        "films accepted whole": 1 / 3,
        "mouse actions per film, with proposals": 1.0,  # 0, 1 drawn and 1 selected, 1 moved
        "mouse actions per film, without": 2.0,
        "keys per film, with proposals": 4 / 3,
        "keys per film, without": 1.0,
    }
