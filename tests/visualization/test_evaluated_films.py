import json

import pytest

from hipdet.core.errors import DatasetError
from hipdet.visualization.film_pictures import evaluated_films, is_table, read_table
from hipdet.visualization.tiles import Mark
from roi_tables import FOUND, LABEL, extra, row


def test_labels_stand_before_detections_with_iou_and_score():
    # a ROI that was found, one that wasn't, and a detection on nothing
    table = dict(
        rois=[row(7, 0.8, score=0.91), row(7, 0.0, None, annotation_id=2)], extras=[extra(7, (1, 2, 3, 4), 0.3)]
    )
    (film,) = evaluated_films(table).values()
    assert film.marks == (
        Mark(LABEL, False, "0.80 (0.91)"),
        Mark(LABEL, False, "not found"),
        Mark(FOUND, True),
        Mark((1, 2, 3, 4), True, "extra (0.30)"),
    )
    assert (film.file_name, film.source, film.iou, film.score) == ("7.png", "gis", 0.0, 0.3)
    assert film.flags == ("missed", "extra")
    assert film.roi_side() == 40  # of the labels


@pytest.mark.parametrize(
    ("iou", "found", "flags"),
    [
        (0.5, FOUND, ()),  # a hit is 0.5 and more
        (0.49, FOUND, ("missed", "extra")),
        (0.0, None, ("missed",)),
    ],
)
def test_flags(iou, found, flags):
    assert evaluated_films(dict(rois=[row(1, iou, found)]))[1].flags == flags


def test_false_alarms_on_a_film_without_roi():
    named = dict(extra(1, (1, 2, 3, 4), 0.3), file_name="1.png", source="gis")
    film, other = evaluated_films(dict(rois=[row(2, 0.9)], extras=[named, named])).values()
    assert film.marks == 2 * (Mark((1, 2, 3, 4), True, "extra (0.30)"),)
    assert (film.file_name, film.source, film.iou, film.score, film.flags) == ("1.png", "gis", None, 0.3, ("extra",))
    assert (other.file_name, other.flags) == ("2.png", ())
    # tables from before extras had names
    old = dict(rois=[row(2, 0.9)], extras=[extra(1, (1, 2, 3, 4), 0.3), extra(2, (1, 2, 3, 4), 0.3)])
    assert {key: film.flags for key, film in evaluated_films(old).items()} == {2: ("extra",)}


def test_films_come_by_their_ids():
    assert list(evaluated_films(dict(rois=[row(3, 0.1), row(1, 0.9), row(2, 0.5)]))) == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "expected test.roi.json as hipdet test writes it"),
        ('{"roi": []}', "expected test.roi.json"),
        ('{"rois": [{"iou": 0.5}]}', "confidence"),
        ('{"rois": [{"iou": "much", "confidence": 1}]}', "much"),
        ('{"rois": []}', "no ROI in it"),
    ],
)
def test_other_files_are_refused(tmp_path, text, words):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(DatasetError, match=words) as raised:
        read_table(tmp_path / "t.json")
    assert "t.json" in str(raised.value)


def test_rows_without_a_box_are_refused():
    faulty = row(1, 0.5)
    del faulty["x1"]
    with pytest.raises(DatasetError, match=r"rows of test\.roi\.json: KeyError\('x1'\)"):
        evaluated_films(dict(rois=[faulty]))


def test_tables_and_predictions_are_told_apart(tmp_path):
    for content, expected in ((dict(rois=[]), True), ([dict(image_id=1)], False)):
        (tmp_path / "f.json").write_text(" \n" + json.dumps(content))
        assert is_table(tmp_path / "f.json") is expected
    with pytest.raises(DatasetError, match=r"none\.json: can't be read"):
        is_table(tmp_path / "none.json")
