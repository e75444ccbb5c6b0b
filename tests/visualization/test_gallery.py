import numpy as np
import pytest
from PIL import Image

from hipdet.errors import DatasetError, RadiographError
from hipdet.visualization.gallery import films_worst_first, write_gallery


def row(image_id, iou, found=(20, 20, 60, 60)):
    label = dict(zip(("x0", "y0", "x1", "y1"), (10, 10, 50, 50)))
    boxes = dict(zip(("found_x0", "found_y0", "found_x1", "found_y1"), found))
    return dict(image_id=image_id, file_name=f"{image_id}.png", source="gis", iou=iou, confidence=0.5, **label, **boxes)


@pytest.fixture
def films(tmp_path):
    for image_id in (1, 2, 3):
        Image.fromarray(np.full((50, 100), 40 * image_id, np.uint8)).save(tmp_path / f"{image_id}.png")
    return tmp_path


def test_worst_film_first():
    films = films_worst_first([row(1, 0.9), row(2, 0.8), row(1, 0.1), row(3, 0.5)])
    assert [film[0]["image_id"] for film in films] == [1, 3, 2]
    assert len(films[0]) == 2


def test_boxes_are_where_they_belong(films):
    table = dict(rois=[row(2, 0.2), row(1, 0.9)], extras=[])
    assert write_gallery(table, films, films / "g.png", side=204, columns=2) == 2
    sheet = np.asarray(Image.open(films / "g.png")).astype(int)
    assert sheet.shape == (204, 408, 3)
    # the film of 100 px is drawn at 200: its label from 10, 10 to 50, 50 stands at 20..100, two pixels from the tile's edge
    yellow = (sheet[:, :204] == [255, 212, 0]).all(axis=2)
    assert yellow[22, 40]
    assert yellow[60, 22]
    red = (sheet[:, :204] == [255, 32, 32]).all(axis=2)
    assert red[42, 60]
    # the worse film, number 2 and brighter, comes first
    assert sheet[10, 150, 0] == 80
    assert sheet[10, 204 + 150, 0] == 40


def test_what_was_not_found_and_what_found_nothing(films):
    extra = dict(image_id=1, confidence=0.4, found_x0=60, found_y0=10, found_x1=90, found_y1=40)
    write_gallery(dict(rois=[row(1, 0.0, [None] * 4)], extras=[extra]), films, films / "g.png", side=204)
    sheet = np.asarray(Image.open(films / "g.png")).astype(int)
    red = (sheet == [255, 32, 32]).all(axis=2)
    assert red[22, 150]
    assert not red[:, :120].any()


def test_limits(films):
    table = dict(rois=[row(i, i / 10) for i in (1, 2, 3)], extras=[])
    assert write_gallery(table, films, films / "g.png", films=2) == 2
    assert write_gallery(table, films, films / "g.png", films=0) == 3


def test_errors_leave_no_picture(films):
    with pytest.raises(DatasetError, match="no ROI"):
        write_gallery(dict(rois=[]), films, films / "g.png")
    with pytest.raises(RadiographError, match=r"9\.png"):
        write_gallery(dict(rois=[row(9, 0.1)]), films, films / "g.png")
    assert not (films / "g.png").exists()
