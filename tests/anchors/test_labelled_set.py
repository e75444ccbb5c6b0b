import json

import numpy as np
import pytest

from hipdet.anchors.rois import LabelledSet, read_sets, validation_beside
from hipdet.core.errors import DatasetError
from roi_sets import coco_of, rois_of, squares


def write(path, coco):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(coco))
    return path


def test_read(tmp_path):
    found = LabelledSet.read(write(tmp_path / "knees.json", coco_of(squares([0.2, 0.3]))))
    assert (found.name, found.file_names) == ("knees", ("0.png", "1.png"))
    assert found.rois.sizes == pytest.approx([0.2, 0.3])


def test_the_typical_film_has_the_usual_number_of_rois_of_median_size():
    # films with 1, 2, 2, 2 ROIs; the median size is 0.2
    boxes = [[0, 0, size, size] for size in (0.2, 0.1, 0.1, 0.19, 0.21, 0.3, 0.3)]
    rois = rois_of(boxes, [0, 1, 1, 2, 2, 3, 3])
    assert LabelledSet("a", rois, ("a", "b", "c", "d")).typical_film() == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda coco: coco["annotations"].clear(), "no ground truth boxes"),
        (lambda coco: coco["images"][0].update(width=0), "width is 0, expected the pixels of the upright film"),
        (lambda coco: coco["images"].clear(), "empty dataset"),
        (lambda coco: coco["annotations"][0].update(bbox=[1, 1, 0, 5]), "0 wide and 5 high"),
        (lambda coco: [each.update(iscrowd=1) for each in coco["annotations"]], "no ground truth boxes"),
        (lambda coco: [each.update(ignore=1) for each in coco["annotations"]], "no ground truth boxes"),
    ],
)
def test_faults(tmp_path, change, words):
    coco = coco_of(squares([0.2, 0.3]))
    change(coco)
    with pytest.raises(DatasetError, match=rf"(?s)knees\.json.*{words}"):
        LabelledSet.read(write(tmp_path / "knees.json", coco))


def test_two_files_of_one_name(tmp_path):
    paths = [write(tmp_path / name / "hips.json", coco_of(squares(np.full(3, 0.2)))) for name in "ab"]
    with pytest.raises(DatasetError, match=r"two files are called hips\.json"):
        read_sets(paths)
    assert [each.name for each in read_sets(paths[:1])] == ["hips"]


def test_validation_beside(tmp_path):
    for name in ("knees_train.json", "knees_val.json", "hips_train.json"):
        write(tmp_path / name, {})
    assert validation_beside(tmp_path / "knees_train.json") == tmp_path / "knees_val.json"
    assert validation_beside(tmp_path / "hips_train.json") is None
    assert validation_beside(tmp_path / "knees_val.json") is None
