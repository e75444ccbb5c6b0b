"""Options that can't be, or that don't fit the file."""

import pytest

from hipdet.core.errors import DatasetError
from label_text import read_text

COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40]}],
    "categories": [{"id": 1, "name": "hip"}],
}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"format": "pascal"},
            "format is 'pascal', expected one of coco, voc, labelme, cvat, labelstudio, via, yolo, csv",
        ),
        ({"origin": 2}, "origin is 2, expected 0, 1 or 'auto'"),
        ({"origin": True}, "origin is True, expected 0, 1 or 'auto'"),
        ({"rotated": "yes"}, "rotated is 'yes', expected 'refuse' or 'enclose'"),
        ({"classes": [""]}, r"classes are \(\'\',\), expected the names of the classes"),
        ({"classes": []}, r"classes are \(\), expected the names of the classes"),
        ({"classes": "hip"}, "classes are 'hip', expected a list of the names of the classes"),
        ({"format": "voc"}, r"a\.json: is json, expected Pascal VOC XML: name another format="),
        ({"format": "labelme"}, r"a\.json: shapes is missing"),
        ({"format": "via"}, r"a\.json: film 1: the film is \["),
        ({"format": "labelstudio"}, r"a\.json: the file is .*, expected a list"),
    ],
)
def test_bad_options(tmp_path, options, expected):
    with pytest.raises(DatasetError, match=expected):
        read_text(tmp_path, "a.json", COCO, **options)


@pytest.mark.parametrize(("format", "root"), [("voc", "annotations"), ("cvat", "annotation")])
def test_other_xml_than_named(tmp_path, format, root):
    with pytest.raises(DatasetError, match=f"root element is <{root}>, expected <annotation"):
        read_text(tmp_path, "a.xml", f"<{root}/>", format=format)
