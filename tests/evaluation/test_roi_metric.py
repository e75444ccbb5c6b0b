"""RoiMetric and CocoMetric on the same constructed detections; names in annotation files and paths of films."""

import csv
import json
import random

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric

from hipdet.core.errors import ConfigError, DatasetError
from hipdet.evaluation.report import metrics_table, read_roi_table
from hipdet.evaluation.roi_metric import RoiCocoMetric, RoiMetric, same_film

META = dict(classes=("hip",))


@pytest.fixture
def ann_file(tmp_path):
    """101 films with two hips each, 100x100 px."""
    images = [dict(id=i, file_name=f"{i}.png", width=100, height=100, source="gis") for i in range(1, 102)]
    annotations = []
    for image in images:
        for x in (10, 60):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image["id"],
                    category_id=1,
                    bbox=[x, 40, 20, 20],
                    area=400,
                    iscrowd=0,
                )
            )
    path = tmp_path / "gis.json"
    path.write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=[dict(id=1, name="hip")])), encoding="utf-8"
    )
    return path


def sample(image_id, boxes, scores, path=None):
    return dict(
        {} if path is None else dict(img_path=path),
        img_id=image_id,
        ori_shape=(100, 100),
        pred_instances=dict(
            bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            scores=torch.tensor(scores, dtype=torch.float32),
            labels=torch.zeros(len(scores), dtype=torch.long),
        ),
    )


def predictions(misses=2):
    """Perfect apart from `misses` films whose right box is next to the hip; every film has a third box with a low score."""
    found = []
    for i in range(1, 102):
        right = [80, 40, 100, 60] if i <= misses else [60, 40, 80, 60]
        found.append(sample(i, [[10, 40, 30, 60], right, [0, 0, 9, 9]], [0.9, 0.5 + i / 1000, 0.1]))
    return found


def evaluate(metric, samples, batch_size=7):
    metric.dataset_meta = META
    for start in range(0, len(samples), batch_size):
        metric.process({}, samples[start : start + batch_size])
    return metric.evaluate(len(samples))


def test_202_rois_and_two_misses(ann_file):
    metrics = evaluate(RoiMetric(str(ann_file)), predictions())
    assert metrics["roi/num_rois"] == 202
    assert metrics["roi/num_images"] == 101
    assert round(metrics["roi/acc50"], 4) == 0.9901  # Table 2: 2 of 202
    assert metrics["roi/below50"] == 2
    assert metrics["roi/avg_iou"] == pytest.approx(200 / 202)
    assert metrics["roi/min_iou"] == metrics["roi/min_conf"] == 0
    assert metrics["roi/extra_per_image"] == metrics["roi/missed_per_image"] == pytest.approx(2 / 101)
    assert metrics["roi/avg_conf"] == pytest.approx((0.9 * 101 + sum(0.5 + i / 1000 for i in range(3, 102))) / 202)


def test_acc50_is_not_coco_ap50(ann_file):
    # one miss of 202: COCO's 101-point AP50 can't show the paper's .9950
    coco = CocoMetric(ann_file=str(ann_file), metric="bbox")
    assert evaluate(coco, predictions(misses=1))["coco/bbox_mAP_50"] == pytest.approx(0.990, abs=1e-3)
    assert round(evaluate(RoiMetric(str(ann_file)), predictions(misses=1))["roi/acc50"], 4) == 0.9950


def test_films_that_were_not_evaluated_are_not_missed(ann_file):
    """RoiDataset leaves unfinished films out; mmdet's own metric counts their boxes as missed."""
    samples = predictions(misses=0)[:40]
    coco, films = (made(ann_file=str(ann_file), metric="bbox") for made in (CocoMetric, RoiCocoMetric))
    assert evaluate(films, samples)["coco/bbox_mAP"] == pytest.approx(1)
    assert evaluate(coco, samples)["coco/bbox_mAP"] < 0.5
    everything = predictions()
    assert evaluate(films, everything) == evaluate(coco, everything)


def test_a_film_without_roi(ann_file):
    """A negative: what is found on it is extra, and its two detections are all that changes."""
    content = json.loads(ann_file.read_text())
    content["images"].append({**content["images"][-1], "id": 102, "file_name": "none.png"})
    ann_file.write_text(json.dumps(content))
    nothing, something = sample(102, [], []), sample(102, [[0, 0, 9, 9], [20, 0, 29, 9]], [0.4, 0.3])
    before = evaluate(RoiMetric(str(ann_file)), predictions(misses=0))
    for added, extra in ((nothing, 0), (something, 2 / 102)):
        metrics = evaluate(RoiMetric(str(ann_file)), [*predictions(misses=0), added])
        after = {"roi/num_images": 102, "roi/extra_per_image": extra, "roi/false_per_film": extra}
        assert metrics == {**before, **after}


@pytest.mark.parametrize("metric", [RoiMetric, lambda ann_file: CocoMetric(ann_file=ann_file, metric="bbox")])
def test_order_and_batch_size_do_not_matter(ann_file, metric):
    samples = predictions()
    expected = evaluate(metric(str(ann_file)), samples)
    shuffled = random.Random(0).sample(samples, len(samples))
    for found in shuffled:  # and the order of the boxes of a film
        order = torch.randperm(3, generator=torch.Generator().manual_seed(1))
        found["pred_instances"] = {name: value[order] for name, value in found["pred_instances"].items()}
    for batch_size in (1, 16, 101):
        assert evaluate(metric(str(ann_file)), shuffled, batch_size) == expected


def test_a_film_repeated_by_a_sampler_is_used_once(ann_file):
    samples = predictions()
    once = evaluate(RoiMetric(str(ann_file)), samples)
    assert evaluate(RoiMetric(str(ann_file)), [*samples, samples[0]]) == once


def test_no_detections_at_all(ann_file):
    metrics = evaluate(RoiMetric(str(ann_file)), [sample(i, [], []) for i in range(1, 102)])
    assert metrics["roi/avg_iou"] == metrics["roi/acc50"] == 0
    assert metrics["roi/missed_per_image"] == 2
    assert all(np.isfinite(value) for value in metrics.values())


def test_any_number_of_rois(ann_file, tmp_path):
    coco = json.loads(ann_file.read_text())
    coco["annotations"] = [a for a in coco["annotations"] if a["image_id"] != 1][
        :3
    ]  # films 2: two, 3: one, others none
    crowd = dict(coco["annotations"][-1], id=99, iscrowd=1, bbox=[0, 0, 5, 5])
    coco["annotations"].append(crowd)
    other = tmp_path / "other.json"
    other.write_text(json.dumps(coco))
    metrics = evaluate(RoiMetric(str(other), rois_per_image=1), predictions(0)[:4])
    assert metrics["roi/num_rois"] == 3
    assert metrics["roi/avg_iou"] == pytest.approx(2 / 3)
    assert metrics["roi/extra_per_image"] == pytest.approx(2 / 4)


def test_table_of_rois_worst_first_and_without_paths_of_the_machine(ann_file, tmp_path):
    evaluate(RoiMetric(str(ann_file), outfile_prefix=str(tmp_path / "out" / "test")), predictions())
    written = json.loads((tmp_path / "out" / "test.roi.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out" / "test.roi.csv").open()))
    assert len(rows) == len(written["rois"]) == 202
    assert [row["file_name"] for row in rows[:2]] == ["1.png", "2.png"]
    assert [row["iou"] for row in written["rois"]] == sorted(row["iou"] for row in written["rois"])
    assert rows[0]["found_x0"] == ""  # nothing was found there
    assert [float(rows[-1][key]) for key in ("x0", "y0", "x1", "y1")] == [10, 40, 30, 60]
    assert written["figures"]["below50"] == 2
    assert str(tmp_path) not in (tmp_path / "out" / "test.roi.json").read_text()


def test_a_film_of_another_set(ann_file):
    with pytest.raises(DatasetError, match=r"gis\.json.*no image with id 500.*val_evaluator\.0\.ann_file=FILE"):
        evaluate(RoiMetric(str(ann_file)), [sample(500, [], [])])


def test_no_ground_truth(ann_file, tmp_path):
    coco = json.loads(ann_file.read_text())
    coco["annotations"] = []
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps(coco))
    with pytest.raises(DatasetError, match=r"empty\.json: no ground truth"):
        evaluate(RoiMetric(str(empty)), predictions())


def test_bad_setting(ann_file):
    with pytest.raises(ConfigError, match="rois_per_image"):
        RoiMetric(str(ann_file), rois_per_image=0)


def test_each_class_has_its_own_number_and_metrics(tmp_path):
    """A heart and two lungs; the heart's detection has the lowest score of four."""
    boxes = [[40, 40, 20, 20], [5, 10, 20, 40], [70, 10, 20, 40]]
    annotations = [
        dict(id=i + 1, image_id=1, category_id=1 + (i > 0), bbox=box, area=box[2] * box[3], iscrowd=0)
        for i, box in enumerate(boxes)
    ]
    path = tmp_path / "chest.json"
    image = dict(id=1, file_name="1.png", width=100, height=100)
    categories = [dict(id=1, name="heart"), dict(id=2, name="lung")]
    path.write_text(json.dumps(dict(images=[image], annotations=annotations, categories=categories)))
    found = sample(1, [[40, 40, 60, 60], [5, 10, 25, 50], [70, 10, 90, 30], [30, 10, 50, 50]], [0.2, 0.9, 0.8, 0.7])
    found["pred_instances"]["labels"] = torch.tensor([0, 1, 1, 1])

    def run(rois_per_image, **options):
        metric = RoiMetric(str(path), rois_per_image, **options)
        metric.dataset_meta = dict(classes=("heart", "lung"))
        metric.process({}, [found])
        return metric.evaluate(1)

    metrics = run(dict(heart=1, lung=2), outfile_prefix=str(tmp_path / "test"))
    assert metrics["roi/avg_iou/heart"] == 1
    assert metrics["roi/avg_iou/lung"] == pytest.approx((1 + 0.5) / 2)
    assert metrics["roi/acc50/lung"] == 1
    assert metrics["roi/avg_iou"] == pytest.approx(2.5 / 3)
    assert run(3)["roi/avg_iou/heart"] == 0  # three lungs score better
    rows = list(csv.DictReader((tmp_path / "test.roi.csv").open()))
    assert [row["label"] for row in rows] == ["lung", "heart", "lung"]
    assert run(dict(heart=[0, 1], lung=[1, 2])) == metrics  # the upper end of a range
    assert run([1, 3]) == run(3)
    with pytest.raises(ConfigError, match=r"rois_per_image: numbers of ROIs for \['heart'\], expected one for each of"):
        run(dict(heart=1))


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", True, [2, 1], [1, 2, 3], dict(hip=0), dict(hip=[0, 0]), None])
def test_bad_numbers_of_rois(ann_file, bad):
    with pytest.raises(ConfigError, match="RoiMetric: rois_per_image: number of ROIs"):
        RoiMetric(str(ann_file), rois_per_image=bad)


def test_a_film_without_roi_is_named_by_its_false_alarms(ann_file, tmp_path):
    coco = json.loads(ann_file.read_text())
    first = coco["images"][0]
    coco["annotations"] = [each for each in coco["annotations"] if each["image_id"] != first["id"]]
    ann_file.write_text(json.dumps(coco))
    evaluate(RoiMetric(str(ann_file), outfile_prefix=str(tmp_path / "test")), predictions(0))
    extras = json.loads((tmp_path / "test.roi.json").read_text())["extras"]
    assert [(row["image_id"], row["file_name"], row["source"]) for row in extras] == [
        (first["id"], first["file_name"], first.get("source", ""))
    ] * 2


@pytest.fixture
def with_ignored(ann_file):
    """The right hips of the first ten films are ignored: by iscrowd, by ignore, by both."""
    coco = json.loads(ann_file.read_text())
    for number, annotation in enumerate(coco["annotations"][1:20:2]):
        annotation.update((dict(iscrowd=1), dict(ignore=1), dict(iscrowd=1, ignore=1))[number % 3])
    ann_file.write_text(json.dumps(coco))
    return ann_file


def test_ignored_boxes_are_no_rois_and_no_extras(with_ignored):
    metrics = evaluate(RoiMetric(str(with_ignored)), predictions(0))
    assert metrics["roi/num_rois"] == 192  # 202 less ten
    assert metrics["roi/num_images"] == 101
    assert metrics["roi/avg_iou"] == metrics["roi/acc50"] == 1
    assert metrics["roi/extra_per_image"] == metrics["roi/missed_per_image"] == 0
    # beside the ignored hips of films 1 to 3
    assert evaluate(RoiMetric(str(with_ignored)), predictions(3))["roi/extra_per_image"] == pytest.approx(3 / 101)


def test_cocos_metrics_ignore_them_too(with_ignored):
    """pycocotools uses iscrowd only, so CocoMetric treats boxes with `ignore` alone as ROIs, and counts them as missed."""
    without = [
        sample(found["img_id"], [[10, 40, 30, 60]], [0.9]) if found["img_id"] <= 10 else found
        for found in predictions(0)
    ]
    for samples in (predictions(0), without):
        found = evaluate(RoiCocoMetric(ann_file=str(with_ignored), metric="bbox"), samples)
        roi = evaluate(RoiMetric(str(with_ignored)), samples)
        assert found["coco/bbox_mAP_50"] == roi["roi/acc50"] == 1
    stock = evaluate(CocoMetric(ann_file=str(with_ignored), metric="bbox"), without)
    assert stock["coco/bbox_mAP_50"] < 1


def test_files_without_ignore_have_cocos_metrics(ann_file):
    ours, stock = (metric(ann_file=str(ann_file), metric="bbox") for metric in (RoiCocoMetric, CocoMetric))
    assert evaluate(ours, predictions()) == evaluate(stock, predictions())


def test_the_file_of_another_set_with_the_same_ids(ann_file, tmp_path):
    own = [dict(found, img_path=f"/films/gis/{found['img_id']}.png") for found in predictions()]
    assert evaluate(RoiMetric(str(ann_file)), own)["roi/num_rois"] == 202
    coco = json.loads(ann_file.read_text())
    for image in coco["images"]:
        image["file_name"] = f"other/{image['id']:03}.png"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(coco))
    message = r"other\.json: image 1 is other/001\.png, but the film that was tested as image 1 is /films/gis/1\.png"
    with pytest.raises(DatasetError, match=message):
        evaluate(RoiMetric(str(other)), own)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/films/a/1.png", "a/1.png"),
        ("/data/films/a/1.png", "1.png"),
        ("data/a/1.png", "set/data/a/1.png"),  # the annotations name more folders than the path
        ("/data/annotations/../films/1.png", "films/1.png"),
        ("/data/annotations/../films/1.png", "../films/1.png"),
        ("../films/./1.png", "films/1.png"),
        ("films//1.png", "./films/1.png"),
        ("C:\\data\\a\\1.png", "a/1.png"),
        ("/data/a/1.png", "a\\1.png"),
        ("/data/films/1.png", "/data/films/1.png"),
        ("s3://bucket/films/1.png", "films/1.png"),
        ("/data/a b/\u00e4 1.png", "a b/\u00e4 1.png"),
    ],
)
def test_the_same(path, name):
    assert same_film(path, name)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/films/1.png", "2.png"),
        ("/data/films/11.png", "1.png"),  # whole names, not endings of texts
        ("/data/test/1.png", "train/1.png"),
        ("/data/films/1.png", "1.jpg"),
        ("/data/films/A.png", "a.png"),
        ("/data/films/1.png", ""),
        ("/data/films/1.png", "films/../2.png"),
    ],
)
def test_another(path, name):
    assert not same_film(path, name)


def test_rois_that_score_enough(ann_file):
    """The metric of each film has the labels of its file; a film whose absence isn't known counts no false ROI."""
    content = json.loads(ann_file.read_text())
    content["images"] += [{**content["images"][-1], "id": 102 + n, "file_name": f"{n}.jpg"} for n in range(2)]
    content["images"][-1]["absent"] = "unknown"
    ann_file.write_text(json.dumps(content))
    none = [sample(102 + n, [[0, 0, 9, 9], [20, 0, 29, 9]], [0.7, 0.3]) for n in range(2)]
    metrics = evaluate(RoiMetric(str(ann_file), least_score=0.55), [*predictions(), *none])
    assert metrics["roi/recall"] == pytest.approx((101 + 52) / 202)  # of the right hips those that score .55 to .601
    assert metrics["roi/label_iou"] == metrics["roi/acc50"] == pytest.approx(200 / 202)
    assert metrics["roi/false_per_film"] == pytest.approx(1 / 102)  # the two misses score less
    assert metrics["roi/extra_per_image"] == pytest.approx(6 / 103)
    by_class = evaluate(RoiMetric(str(ann_file), least_score={"hip": 0.55}), [*predictions(), *none])
    assert by_class == metrics


@pytest.mark.parametrize("least", [{"knee": 0.5}, {"hip": "0.5"}, None, "0.5", float("nan")])
def test_other_least_scores_are_refused(ann_file, least):
    with pytest.raises(ConfigError, match="RoiMetric: least_score="):
        evaluate(RoiMetric(str(ann_file), least_score=least), predictions())


def test_labels_and_detections_are_clipped_to_the_film(ann_file):
    """A square over the edge hits whether it is clipped or not; its label is the part on the film."""
    coco = json.loads(ann_file.read_text())
    coco["annotations"][0].update(bbox=[0, 40, 14, 20], area=280, square=[-6, 40, 20, 20])
    ann_file.write_text(json.dumps(coco))
    right = [60, 40, 80, 60]
    for left in ([-6, 40, 14, 60], [0, 40, 14, 60]):
        metrics = evaluate(RoiMetric(str(ann_file)), [sample(1, [left, right], [0.9, 0.8])])
        assert metrics["roi/avg_iou"] == 1


def test_kinds_and_views(ann_file, tmp_path):
    """Ten films of children, turned; the others say nothing.  The first two miss a hip of a child."""
    coco = json.loads(ann_file.read_text())
    for annotation in coco["annotations"][:20]:
        annotation["kind"] = "child"
    for image in coco["images"][:10]:
        image["view"] = "turned"
    ann_file.write_text(json.dumps(coco))
    metrics = evaluate(RoiMetric(str(ann_file), outfile_prefix=str(tmp_path / "test")), predictions(2))
    for name, rois, hits, extra in (
        ("kind=child", 20, 18, 0.2),
        ("kind=unknown", 182, 182, 0),
        ("view=turned", 20, 18, 0.2),
    ):
        assert metrics[f"roi/num_rois/{name}"] == rois
        assert metrics[f"roi/acc50/{name}"] == metrics[f"roi/avg_iou/{name}"] == pytest.approx(hits / rois)
        assert metrics[f"roi/extra_per_image/{name}"] == pytest.approx(extra)
        assert metrics[f"roi/recall/{name}"] == metrics[f"roi/label_iou/{name}"] == pytest.approx(hits / rois)
        assert metrics[f"roi/false_per_film/{name}"] == pytest.approx(extra)
    assert "  kind=child, 20 ROIs" in metrics_table(metrics)
    rows = read_roi_table(tmp_path / "test.roi.json")["rois"]
    assert {row.get("kind") for row in rows} == {"child", None}
    assert {row.get("view") for row in rows} == {"turned", None}


def test_presence_by_kind_and_view(ann_file):
    """Of four films two are turned: one without ROI, where two are found, and one of which nothing is known but a child."""
    coco = json.loads(ann_file.read_text())
    coco["images"] = coco["images"][:4]
    coco["annotations"] = [each for each in coco["annotations"] if each["image_id"] < 4]
    for image in coco["images"][2:]:
        image["view"] = "turned"
    coco["images"][2]["absent"] = "unknown"
    coco["annotations"][4]["kind"] = "child"
    ann_file.write_text(json.dumps(coco))
    right, beside = [60, 40, 80, 60], [80, 40, 100, 60]
    found = [
        sample(1, [[10, 40, 30, 60], right], [0.9, 0.8]),
        sample(2, [[10, 40, 30, 60], right], [0.9, 0.4]),  # too low a score: a candidate
        sample(3, [[10, 40, 30, 60], beside], [0.9, 0.8]),
        sample(4, [[10, 40, 30, 60], right], [0.7, 0.3]),
    ]
    metrics = evaluate(RoiMetric(str(ann_file), least_score=0.5), found)
    assert [metrics[f"roi/recall/{name}"] for name in ("view=turned", "view=unknown")] == [0.5, 0.75]
    assert [metrics[f"roi/label_iou/{name}"] for name in ("view=turned", "view=unknown")] == [0.5, 1]
    # film 3 doesn't count, as it may have ROIs without a label; on film 4 one scores enough
    assert [metrics[f"roi/false_per_film/{name}"] for name in ("view=turned", "view=unknown")] == [1, 0]
    assert (metrics["roi/recall/kind=child"], metrics["roi/recall/kind=unknown"]) == (1, 3 / 5)
    assert "roi/false_per_film/kind=child" not in metrics
    assert metrics["roi/false_per_film/kind=unknown"] == 0


def test_no_groups_without_kinds_and_views(ann_file):
    assert not [name for name in evaluate(RoiMetric(str(ann_file)), predictions()) if "=" in name]
