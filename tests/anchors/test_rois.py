import json

import numpy as np
import pytest

from hipdet.anchors.rois import SUBSAMPLE, LabelledSet, Rois, RoiSpread, read_sets, spreads, validation_beside
from hipdet.core.errors import DatasetError
from roi_sets import build_label_coco, rois_of, squares

COCO = dict(
    images=[dict(id=7, file_name="a.png", width=400, height=200), dict(id=3, file_name="b.png", width=100, height=500)],
    annotations=[
        dict(id=1, image_id=3, category_id=9, bbox=[10, 100, 50, 100], area=5000, iscrowd=0),
        dict(id=2, image_id=7, category_id=4, bbox=[40, 40, 80, 80], area=6400, iscrowd=0),
        dict(id=3, image_id=7, category_id=4, bbox=[0, 0, 9, 9], area=81, iscrowd=1),
        dict(id=4, image_id=7, category_id=4, bbox=[0, 0, 9, 9], area=81, iscrowd=0, ignore=1),
    ],
    categories=[dict(id=4, name="heart"), dict(id=9, name="lung")],
)


def test_boxes_are_in_long_sides():
    rois = Rois.of_coco(COCO)
    assert rois.boxes.tolist() == [[0.02, 0.2, 0.12, 0.4], [0.1, 0.1, 0.3, 0.3]]
    assert (rois.films.tolist(), rois.labels.tolist(), rois.classes) == ([1, 0], [1, 0], ("heart", "lung"))
    assert rois.long_sides.tolist() == [400, 500]
    assert rois.aspects.tolist() == pytest.approx([2, 1])
    assert rois.ratios.tolist() == pytest.approx([0.2, 0.2])  # the longer side
    assert rois.sizes.tolist() == pytest.approx([np.sqrt(0.1 * 0.2), 0.2])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda coco: coco["images"][0].update(width=0),
            r"image 7 \(a.png\): size 0x200, expected whole pixels above 0",
        ),
        (lambda coco: coco["images"][1].update(height=-5), r"image 3 \(b.png\): size 100x-5"),
        (
            lambda coco: coco["annotations"][1].update(bbox=[1, 1, 0, 5]),
            r"annotation 2: bbox \[1, 1, 0, 5\] has no size",
        ),
        (lambda coco: coco["annotations"][1].update(bbox=[1, 1, 5, float("nan")]), "annotation 2: .* has no size"),
    ],
)
def test_sizes_of_nothing(change, words):
    coco = dict(images=[dict(image) for image in COCO["images"]], annotations=[dict(a) for a in COCO["annotations"]],
                categories=COCO["categories"])  # fmt: skip
    change(coco)
    with pytest.raises(DatasetError, match=words):
        Rois.of_coco(coco)


def test_joined_keeps_films_apart():
    both = Rois.joined([squares([0.2, 0.3]), squares([0.1])])
    assert both.films.tolist() == [0, 1, 2]
    assert len(both) == 3
    assert both.sizes.tolist() == pytest.approx([0.2, 0.3, 0.1])


def test_there_and_back():
    rois = squares(np.linspace(0.1, 0.3, 20))
    np.testing.assert_allclose(Rois.of_coco(build_label_coco(rois)).boxes, rois.boxes)


def test_a_subsample_has_the_same_distribution():
    many = squares(np.random.default_rng(0).uniform(0.1, 0.3, 20_000))
    assert len(many.subsample) == SUBSAMPLE
    levels = np.linspace(0, 1, 11)
    np.testing.assert_allclose(np.quantile(many.subsample.sizes, levels), np.quantile(many.sizes, levels), atol=2e-4)
    few = squares([0.3, 0.2])
    assert few.subsample is few


def test_spreads():
    rois = rois_of([[0, 0, 0.2, 0.2], [0.5, 0, 0.7, 0.4], [0, 0.5, 0.4, 0.9]], [0, 0, 2], [0, 1, 0], ("a", "b"))
    whole, first, second = spreads("set", rois)
    assert (whole.films, whole.rois, whole.usual_rois, whole.most_rois) == (3, 3, 1, 2)
    assert (first.label, first.rois, second.label, second.rois) == ("a", 2, "b", 1)
    assert (whole.ratio[0], whole.ratio[-1]) == pytest.approx((0.2, 0.4))
    assert second.aspect == pytest.approx([2.0] * 5)
    assert list(spreads("one", squares([0.2]))) == [RoiSpread.of("one", squares([0.2]))]


def write(path, coco):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(coco))
    return path


def test_read(tmp_path):
    found = LabelledSet.read(write(tmp_path / "knees.json", build_label_coco(squares([0.2, 0.3]))))
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
    coco = build_label_coco(squares([0.2, 0.3]))
    change(coco)
    with pytest.raises(DatasetError, match=rf"(?s)knees\.json.*{words}"):
        LabelledSet.read(write(tmp_path / "knees.json", coco))


def test_two_files_of_one_name(tmp_path):
    paths = [write(tmp_path / name / "hips.json", build_label_coco(squares(np.full(3, 0.2)))) for name in "ab"]
    with pytest.raises(DatasetError, match=r"two files are called hips\.json"):
        read_sets(paths)
    assert [each.name for each in read_sets(paths[:1])] == ["hips"]


def test_validation_beside(tmp_path):
    for name in ("knees_train.json", "knees_val.json", "hips_train.json"):
        write(tmp_path / name, {})
    assert validation_beside(tmp_path / "knees_train.json") == tmp_path / "knees_val.json"
    assert validation_beside(tmp_path / "hips_train.json") is None
    assert validation_beside(tmp_path / "knees_val.json") is None
