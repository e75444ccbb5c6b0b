import json

import numpy as np
import pytest
from PIL import Image

from hipdet.core.errors import DatasetError
from hipdet.data.validate.boxes import check_films
from hipdet.data.validate.check import require_valid
from hipdet.data.validate.faults import Faults


@pytest.fixture
def root(tmp_path):
    """Two films of 40x24 px upright: one stored upright, one stored rotated with orientation 6."""
    (tmp_path / "films").mkdir()
    Image.fromarray(np.zeros((24, 40), np.uint8)).save(tmp_path / "films/plain.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((40, 24), np.uint8)).save(tmp_path / "films/turned.jpg", exif=exif)
    return tmp_path


def images(*records):
    keys = ("id", "file_name", "width", "height")
    return {"images": [dict(zip(keys, (number, *record))) for number, record in enumerate(records, 1)]}


def verify(content, root):
    faults = Faults("hips.json")
    check_films(content["images"], root, faults, progress=False)
    return faults.found


def test_no_faults(root):
    assert verify(images(("films/plain.jpg", 40, 24), ("films/turned.jpg", 40, 24)), root) == []


@pytest.mark.parametrize(
    ("record", "kind", "expected"),
    [
        (("films/none.jpg", 40, 24), "film-missing", "image 1 (films/none.jpg): no such film, expected a film at"),
        (("films", 40, 24), "film-missing", "no such film"),  # a folder
        (
            ("films/turned.jpg", 24, 40),
            "size-not-upright",
            "24x40 declared, expected 40x24, the upright film's size: EXIF",
        ),
        (
            ("films/plain.jpg", 24, 40),
            "size-differs",
            "24x40 declared, expected 40x24, the upright film's size: label this",
        ),
        (("films/plain.jpg", 80, 48), "size-differs", "80x48 declared, expected 40x24"),
        (
            ("films/cut.jpg", 40, 24),
            "film-unreadable",
            "cut short (the JPEG has no end marker), expected a readable",
        ),
        (
            ("films/text.jpg", 40, 24),
            "film-unreadable",
            "not a JPEG, PNG, TIFF, BMP, GIF, WEBP or DICOM film, expected a readable",
        ),
        (("films/empty.jpg", 40, 24), "film-unreadable", "empty file, expected a readable film"),
    ],
)
def test_fault(root, record, kind, expected):
    (root / "films/cut.jpg").write_bytes((root / "films/plain.jpg").read_bytes()[:-20])
    (root / "films/text.jpg").write_text("version https://git-lfs.github.com/spec/v1")
    (root / "films/empty.jpg").touch()
    (fault,) = verify(images(record), root)
    assert (fault.kind, fault.severity) == (kind, "error")
    assert expected in str(fault)


def test_an_orientation_that_keeps_the_size_is_a_warning(root):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(np.zeros((24, 40), np.uint8)).save(root / "films/over.jpg", exif=exif)
    (fault,) = verify(images(("films/over.jpg", 40, 24)), root)
    assert (fault.kind, fault.severity) == ("orientation-unclear", "warning")


def test_names_are_not_followed_out_of_the_root(root):
    # if "../x.jpg" were followed, it would be reported as missing; check_images reports the name
    assert verify(images(("../x.jpg", 40, 24), ("/x.jpg", 40, 24), (None, 40, 24)), root) == []


def test_missing_root(root):
    (fault,) = verify(images(("films/plain.jpg", 40, 24)), root / "none")
    assert fault.kind == "root-missing"
    assert "expected a folder: check data_root" in str(fault)


def test_require_valid_reports_both_kinds_of_fault(root):
    content = images(("films/plain.jpg", 24, 40), ("../x.jpg", 1, 1))
    content["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
    ]
    content["categories"] = [{"id": 1, "name": "hip"}]
    path = root / "hips.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"(?s)2 faults.*leads out of the image root.*24x40 declared"):
        require_valid(path, root, ("hip",))


@pytest.mark.parametrize("content", ['{"images": 5}', '{"images": [1]}', "[]", "{"])
def test_require_valid_refuses_what_is_no_dataset(root, content):
    path = root / "hips.json"
    path.write_text(content)
    with pytest.raises(DatasetError):
        require_valid(path, root, ("hip",))
