import json

import numpy as np
import pytest
from PIL import Image

from hipdet.coco import require_valid, verify_films
from hipdet.errors import DatasetError


@pytest.fixture
def root(tmp_path):
    """Films of 40x24 upright: plain, and stored on its side with orientation 6."""
    (tmp_path / "films").mkdir()
    Image.fromarray(np.zeros((24, 40), np.uint8)).save(tmp_path / "films/plain.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((40, 24), np.uint8)).save(tmp_path / "films/turned.jpg", exif=exif)
    return tmp_path


def images(*records):
    keys = ("id", "file_name", "width", "height")
    return {"images": [dict(zip(keys, (number, *record))) for number, record in enumerate(records, 1)]}


def test_no_faults(root):
    assert verify_films(images(("films/plain.jpg", 40, 24), ("films/turned.jpg", 40, 24)), root) == []


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (("films/none.jpg", 40, 24), "films/none.jpg (image id 1): film not found"),
        (("films", 40, 24), "film not found"),  # a folder
        (("films/turned.jpg", 24, 40), "declared 24x40, but the upright film is 40x24: EXIF orientation was ignored"),
        (("films/plain.jpg", 24, 40), "declared 24x40, but the upright film is 40x24: label this very file"),
        (("films/plain.jpg", 80, 48), "declared 80x48, but the upright film is 40x24: label this very file"),
        (("films/cut.jpg", 40, 24), "cut short"),
    ],
)
def test_fault(root, record, expected):
    (root / "films/cut.jpg").write_bytes((root / "films/plain.jpg").read_bytes()[:-20])
    (fault,) = verify_films(images(record), root)
    assert expected in fault


def test_names_are_not_followed_out_of_the_root(root):
    # "../x.jpg" would be found missing if it were looked for; verify_annotations reports the name
    assert verify_films(images(("../x.jpg", 40, 24), ("/x.jpg", 40, 24), (None, 40, 24)), root) == []


def test_root_is_no_folder(root):
    (fault,) = verify_films(images(("films/plain.jpg", 40, 24)), root / "none")
    assert "is no folder: check data_root" in fault


def test_require_valid_reports_both_kinds_of_fault(root):
    content = images(("films/plain.jpg", 24, 40), ("../x.jpg", 1, 1))
    content["annotations"] = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81}]
    content["categories"] = [{"id": 1, "name": "hip"}]
    path = root / "hips.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"(?s)2 faults.*leads out of the image root.*declared 24x40"):
        require_valid(path, root, ("hip",))


@pytest.mark.parametrize("content", ['{"images": 5}', '{"images": [1]}', "[]", "{"])
def test_require_valid_survives_what_is_no_dataset(root, content):
    path = root / "hips.json"
    path.write_text(content)
    with pytest.raises(DatasetError):
        require_valid(path, root, ("hip",))
