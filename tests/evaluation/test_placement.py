"""Centre and size error in ROI sides and in mm, by hand."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.core.boxes import as_boxes
from hipdet.core.errors import DatasetError
from hipdet.core.spacing import DETECTOR, UNKNOWN_PLANE, Spacing
from hipdet.evaluation.metrics import placement_errors
from hipdet.evaluation.report import metrics_table, placement_metrics, read_roi_table
from hipdet.evaluation.roi_metric import RoiMetric

# label, detection; sides of 20, 40, 10, 10, 10
TURNED = ([10, 10, 30, 30], [13, 14, 33, 34])  # 3 right, 4 down: 5 px, .25 sides; the size is right
TALL = ([60, 60, 80, 100], [60, 60, 82, 92])  # 1 right, 4 up: sqrt(17) px, .103078 sides; 2 wider, 8 lower: .2 sides
LONG = ([0, 0, 10, 10], [0, 0, 10, 20])  # 5 down: .5 sides; 10 higher: 1 side
MISSED = ([0, 0, 10, 10], None)
FAR = ([40, 40, 50, 50], [43, 44, 53, 54])  # 5 px: .5 sides


def rows(pairs, spacing=None):
    """As in a table of a test."""
    place = {"spacing_plane": spacing.plane} if spacing else {}
    return [{**place, **(placement_errors(*as_boxes(pair), spacing) if pair[1] else {})} for pair in pairs]


def test_golden():
    films = [
        rows([TURNED, TALL], Spacing((0.5, 0.2), DETECTOR)),
        rows([LONG]),
        rows([MISSED, FAR], Spacing((1.0, 1.0), UNKNOWN_PLANE)),
    ]
    assert placement_metrics([row for film in films for row in film]) == pytest.approx(
        dict(
            num_matched=4,
            centre_error=(0.25 + 17**0.5 / 40 + 0.5 + 0.5) / 4,
            centre_error_p95=0.5,  # of .103, .25, .5, .5 the one at 3 x .95 = 2.85
            size_error=(0 + 0.2 + 1 + 0) / 4,
            size_error_p95=0.88,  # of 0, 0, .2, 1: .2 + .85 x .8
            num_mm=4,
            num_mm_matched=3,
            # (3 x .5, 4 x .2) is 1.7 mm, (1 x .5, 4 x .2) .943398, (3, 4) 5
            centre_mm=(1.7 + 0.89**0.5 + 5) / 3,
            centre_mm_p95=4.67,  # at 2 x .95 = 1.9: 1.7 + .9 x 3.3
            size_mm=1.6 / 3,  # 2 x .5 and 8 x .2: the larger; the others have none
            size_mm_p95=1.44,  # .9 x 1.6
            within_2mm=0.5,  # two of four: the missed one isn't
            **{"num_mm/plane=detector": 2, "num_mm/plane=unknown": 2},
        ),
        abs=1e-9,
    )


def test_nothing_to_measure():
    assert placement_metrics([]) == placement_metrics(rows([MISSED])) == dict(num_matched=0)
    missed = placement_metrics(rows([MISSED], Spacing((1.0, 1.0))))
    assert missed == {"num_matched": 0, "num_mm": 1, "num_mm_matched": 0, "num_mm/plane=unknown": 1, "within_2mm": 0}


EDGES = st.tuples(*[st.floats(0, 500)] * 2, *[st.floats(1, 500)] * 2).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)
STEPS = st.floats(0.01, 5)


@given(EDGES, EDGES, STEPS, STEPS, st.sampled_from([0.5, 2, 8]))
@settings(max_examples=200, deadline=None)
def test_errors_are_those_by_hand_and_those_of_a_shrunken_film(label, box, x, y, factor):
    found = placement_errors(*as_boxes([label, box]), Spacing((x, y)))
    across = (box[0] + box[2]) / 2 - (label[0] + label[2]) / 2
    down = (box[1] + box[3]) / 2 - (label[1] + label[3]) / 2
    wider, higher = box[2] - box[0] - (label[2] - label[0]), box[3] - box[1] - (label[3] - label[1])
    side = max(label[2] - label[0], label[3] - label[1])
    expected = dict(
        centre_error=math.hypot(across, down) / side,
        size_error=max(abs(wider), abs(higher)) / side,
        centre_mm=math.hypot(across * x, down * y),
        size_mm=max(abs(wider) * x, abs(higher) * y),
    )
    assert found == pytest.approx(expected, abs=1e-9)
    shrunken = placement_errors(*as_boxes([label, box]) / factor, Spacing((x * factor, y * factor)))
    assert shrunken == pytest.approx(found, abs=1e-9)
    without = placement_errors(*as_boxes([label, box]), None)
    assert without == {name: found[name] for name in ("centre_error", "size_error")}


@pytest.fixture
def ann_file(tmp_path):
    """Two films with a hip each, 100x100 px; the first has a spacing."""
    images = [dict(id=i, file_name=f"{i}.png", width=100, height=100) for i in (1, 2)]
    images[0].update(spacing_mm=[0.5, 0.2], spacing_plane="detector")
    box = dict(category_id=1, bbox=[10, 10, 20, 20], area=400, iscrowd=0)
    content = dict(images=images, annotations=[dict(box, id=i, image_id=i) for i in (1, 2)])
    path = tmp_path / "hips.json"
    path.write_text(json.dumps(dict(content, categories=[dict(id=1, name="hip")])))
    return path


def test_metric_table_and_rows(ann_file, tmp_path):
    metric = RoiMetric(str(ann_file), outfile_prefix=str(tmp_path / "test"))
    metric.dataset_meta = dict(classes=("hip",))
    for image_id, box in ((1, [13.0, 14, 33, 34]), (2, [10.0, 10, 30, 30])):
        found = dict(bboxes=torch.tensor([box]), scores=torch.tensor([0.9]), labels=torch.tensor([0]))
        metric.process({}, [dict(img_id=image_id, pred_instances=found)])
    metrics = metric.evaluate(2)
    found = {name: metrics[f"roi/{name}"] for name in ("centre_error", "centre_mm", "within_2mm", "num_mm", "num_rois")}
    assert found == pytest.approx(dict(centre_error=0.125, centre_mm=1.7, within_2mm=1, num_mm=1, num_rois=2))
    lines = [" ".join(line.split()) for line in metrics_table(metrics).splitlines()]
    assert "ROIs on films with a spacing 1" in lines
    assert "plane=detector 1" in lines
    assert "centre error, mm 1.7000" in lines
    first, second = read_roi_table(tmp_path / "test.roi.json")["rois"]
    errors = {key: first[key] for key in ("centre_error", "size_error", "centre_mm", "size_mm", "spacing_plane")}
    assert errors == dict(centre_error=0.25, size_error=0.0, centre_mm=1.7, size_mm=0.0, spacing_plane="detector")
    assert (second["centre_error"], second["size_error"]) == (0, 0)
    assert not {"centre_mm", "size_mm", "spacing_plane"} & set(second)


def test_a_label_over_the_edge_counts_as_far_as_the_film_goes(ann_file):
    """As for the IoU: of a label of 20 px, 10 px lie on the film, where the detection is right."""
    coco = json.loads(ann_file.read_text())
    coco["annotations"][0]["bbox"] = [90, 10, 20, 20]
    ann_file.write_text(json.dumps(coco))
    metric = RoiMetric(str(ann_file))
    metric.dataset_meta = dict(classes=("hip",))
    for image_id, box in ((1, [90.0, 10, 100, 30]), (2, [10.0, 10, 30, 30])):
        found = dict(bboxes=torch.tensor([box]), scores=torch.tensor([0.9]), labels=torch.tensor([0]))
        metric.process({}, [dict(img_id=image_id, pred_instances=found)])
    metrics = metric.evaluate(2)
    assert [metrics[f"roi/{name}"] for name in ("avg_iou", "centre_error", "size_error", "centre_mm")] == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            dict(spacing_mm=[0.5, 0]),
            r"spacing_mm is \[0.5, 0\], expected \[x, y\] in mm: a pixel of at least 0.01, a film",
        ),
        (dict(spacing_mm=0.5), "spacing_mm is 0.5"),
        (
            dict(spacing_plane="table"),
            "spacing_plane is 'table', expected one of 'calibrated', 'corrected', 'detector', ",
        ),
    ],
)
def test_a_bad_spacing_is_named(ann_file, entries, message):
    coco = json.loads(ann_file.read_text())
    coco["images"][0].update(entries)
    ann_file.write_text(json.dumps(coco))
    with pytest.raises(DatasetError, match=rf"hips\.json: image 1 \('1\.png'\): {message}"):
        RoiMetric(str(ann_file))
