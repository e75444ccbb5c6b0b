import json

import pytest

from hipdet.core.errors import DatasetError
from label_text import boxes, read_text

RECT = {"name": "rect", "x": 10, "y": 20.5, "width": 30, "height": 40}


def via(*regions, name="a.jpg"):
    return {f"{name}1234": {"filename": name, "size": 1234, "regions": list(regions), "file_attributes": {}}}


def region(shape=RECT, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


def test_version_2(tmp_path):
    (film,) = read_text(tmp_path, "a.json", via(region(side="left")))
    expected = [((10, 20.5, 40, 60.5), "left", "film 1, region 1")]
    assert [(box.box, box.label, box.place) for box in film.boxes] == expected
    # the name isn't the key, which has the size in bytes at its end; a size in pixels isn't declared
    assert (film.film, film.declared, film.place) == ("a.jpg", None, "film 1")


def test_version_1(tmp_path):
    document = via()
    document["a.jpg1234"]["regions"] = {"0": region(side="left"), "1": region({**RECT, "x": 60}, side="right")}
    document["a.jpg1234"] |= {"fileref": "", "base64_img_data": "UEFUSUVOVA=="}
    films = read_text(tmp_path, "a.json", document)
    assert boxes(films) == {"a.jpg": [(10, 20.5, 40, 60.5), (60, 20.5, 90, 60.5)]}


def test_project(tmp_path):
    document = {"_via_settings": {}, "_via_img_metadata": via(), "_via_attributes": {}}
    assert boxes(read_text(tmp_path, "a.json", document)) == {"a.jpg": []}


def test_circle(tmp_path):
    circle = {"name": "circle", "cx": 50, "cy": 40, "r": 5}
    assert boxes(read_text(tmp_path, "a.json", via(region(circle)))) == {"a.jpg": [(45, 35, 55, 45)]}


@pytest.mark.parametrize(
    ("attributes", "attribute", "label"),
    [
        ({}, None, None),
        ({"side": ""}, None, None),
        ({"side": "left"}, None, "left"),
        ({"side": "left", "note": "x"}, "side", "left"),
        ({"note": "x"}, "side", None),
        ({"side": {"left": True}}, None, "left"),  # a checkbox
        ({"side": {"left": False}}, None, None),
    ],
)
def test_label(tmp_path, attributes, attribute, label):
    (film,) = read_text(tmp_path, "a.json", via(region(**attributes)), attribute=attribute)
    assert film.boxes[0].label == label


HEAD = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"


def row(count, number, shape, name="a.jpg", attributes="{}"):
    quoted = json.dumps(shape).replace('"', '""')
    return f'{name},1234,"{{}}",{count},{number},"{quoted}","{attributes}"\n'


@pytest.mark.parametrize("mark", ["", "#"])  # version 2 and 1
def test_csv_holds_json_in_columns(tmp_path, mark):
    rows = row(2, 0, RECT) + row(2, 1, {**RECT, "x": 60}, attributes='{""side"":""left""}') + row(0, 0, {}, "b.jpg")
    films = read_text(tmp_path, "a.csv", mark + HEAD + rows)
    assert boxes(films) == {"a.jpg": [(10, 20.5, 40, 60.5), (60, 20.5, 90, 60.5)], "b.jpg": []}
    assert [(box.label, box.place) for box in films[0].boxes] == [(None, "line 2"), ("left", "line 3")]
    assert [film.place for film in films] == ["line 2", "line 4"]


def test_csv_cut_short(tmp_path):
    with pytest.raises(DatasetError, match=r"line 2: 1 rows for a\.jpg, region_count says 2: export again"):
        read_text(tmp_path, "a.csv", HEAD + row(2, 0, RECT))
