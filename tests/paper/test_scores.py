"""Metrics of any part of the films, from the tables of a tested model."""

import copy
import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric

from hipdet.anchors.rois import Rois
from hipdet.core.errors import DatasetError
from hipdet.evaluation.roi_metric import RoiMetric
from hipdet.paper.data import Split, gather
from hipdet.paper.scores import Scores, coco_ap


@pytest.fixture
def films(data_set):
    return gather([data_set("cgoa", 20), data_set("gis", 15)], [("cgoa",)], Split())


def predict(films, folder, seed):
    """Noisy detections of all films as hipdet test writes them."""
    rng = np.random.default_rng(seed)
    path = folder / "everything.json"
    path.write_text(json.dumps(films.coco))
    roi = RoiMetric(str(path), outfile_prefix=str(folder / f"seed{seed}"))
    coco = CocoMetric(ann_file=str(path), metric="bbox", outfile_prefix=str(folder / f"seed{seed}"))
    samples = []
    for image in films.coco["images"]:
        boxes = np.array([[10, 30, 30, 50], [70, 30, 90, 50], [40, 40, 60, 60]]) + rng.normal(0, 3, (3, 4))
        found = dict(
            bboxes=torch.tensor(boxes, dtype=torch.float32),
            scores=torch.tensor(rng.uniform(0, 1, 3), dtype=torch.float32),
            labels=torch.zeros(3, dtype=torch.long),
        )
        samples.append(dict(img_id=image["id"], ori_shape=(80, 100), pred_instances=found))
    for metric in (roi, coco):
        metric.dataset_meta = dict(classes=("hip",))
        metric.process({}, samples)
    return roi.evaluate(len(samples)), coco.evaluate(len(samples))


def test_all_films_have_the_metrics_own_figures(films, tmp_path):
    metric, _ = predict(films, tmp_path, 0)
    scores = Scores.read([tmp_path / "seed0.roi.json"], films.coco)
    metrics = scores.metrics(scores.within(range(1, 36)))
    for name in ("avg_iou", "min_iou", "avg_conf", "min_conf", "acc50", "acc75", "below50", "num_rois", "num_images"):
        assert metrics[name] == pytest.approx(metric[f"roi/{name}"], abs=1e-6), name
    assert metrics["avg_iou_low"] < metrics["avg_iou"] < metrics["avg_iou_high"]
    assert metrics["acc50_low"] < metrics["acc50"] < metrics["acc50_high"]
    assert metrics["seeds"] == 1
    assert "avg_iou_sd" not in metrics


def test_several_seeds(films, tmp_path):
    for seed in (0, 1):
        predict(films, tmp_path, seed)
    paths = [tmp_path / f"seed{seed}.roi.json" for seed in (0, 1)]
    ids = films.subsets["gis"]
    one, other = (Scores.read([path], films.coco) for path in paths)
    singles = [scores.metrics(scores.within(ids)) for scores in (one, other)]
    both = Scores.read(paths, films.coco)
    metrics = both.metrics(both.within(ids))
    means = [single["avg_iou"] for single in singles]
    assert metrics["avg_iou"] == pytest.approx(np.mean(means))
    assert metrics["avg_iou_sd"] == pytest.approx(abs(means[0] - means[1]) / 2**0.5)
    assert metrics["min_iou"] == min(single["min_iou"] for single in singles)
    assert metrics["num_rois"] == 30


@pytest.mark.parametrize(
    ("info", "resampled"), [({}, "patients"), (dict(patients="unknown"), "films (patients not known)")]
)
def test_films_of_a_patient_are_resampled_together(data_set, tmp_path, info, resampled):
    """Nine films of each patient with the same detections: three times the width, unless patients aren't known."""
    sets = [data_set("cgoa", 180, per_patient=9, change=lambda coco: coco.update(info=info)), data_set("gis", 5)]
    films = gather(sets, [("cgoa",)], Split())
    patients = {image["id"]: image["patient"] for image in films.coco["images"]}
    iou = dict(zip(sorted(set(patients.values())), np.random.default_rng(0).uniform(0.5, 0.9, 20)))
    rows = [
        dict(annotation_id=a["id"], iou=iou[patients[a["image_id"]]], confidence=0.5) for a in films.coco["annotations"]
    ]
    (tmp_path / "a.roi.json").write_text(json.dumps(dict(rois=rows)))
    scores = Scores.read([tmp_path / "a.roi.json"], films.coco)
    metrics = scores.metrics(scores.within(films.subsets["cgoa"]))
    assert metrics["resampled"] == resampled
    width = metrics["avg_iou_high"] - metrics["avg_iou_low"]
    units = 20 if resampled == "patients" else 180
    assert width == pytest.approx(2 * 1.96 * np.std(list(iou.values())) / units**0.5, rel=0.1)
    mixed = "patients" if not info else "patients, and films whose patient is not known"
    assert scores.metrics(np.ones(370, bool))["resampled"] == mixed
    assert scores.metrics(scores.within(films.subsets["gis"]))["resampled"] == "patients"


def test_a_breakdown_counts_every_roi_once(films, tmp_path):
    predict(films, tmp_path, 0)
    films.coco["annotations"][0]["picture_side"] = "right"  # the label overrides the positions
    for annotation, width in zip(films.coco["annotations"], (14.9, 15, 20, 25, 100)):
        annotation["bbox"][2] = width  # of 100 px; 20 px high
    scores = Scores.read([tmp_path / "seed0.roi.json"], films.coco)
    everything = np.ones(70, dtype=bool)
    parts = scores.breakdown(everything)
    counts = {name: part["num_rois"] for name, part in parts.items()}
    assert counts == {
        "data set cgoa": 40,
        "data set gis": 30,
        "picture side left": 33,  # 35, less the first one, less the fifth, which extends over the sixth
        "picture side right": 35,  # and the first one, less the sixth
        "picture side unknown": 2,
        "ratio 0.20 to 0.25": 68,
        "ratio from 0.25": 2,
    }
    total = sum(part["avg_iou"] * part["num_rois"] for name, part in parts.items() if name.startswith("ratio"))
    assert total / 70 == pytest.approx(scores.metrics(everything)["avg_iou"])
    assert not any(name.startswith("data set") for name in scores.breakdown(scores.within(films.subsets["gis"])))


def test_a_lone_roi_is_on_no_side(films, tmp_path):
    films.coco["annotations"] = films.coco["annotations"][1:]  # of the first film the right one is left
    predict(films, tmp_path, 0)
    scores = Scores.read([tmp_path / "seed0.roi.json"], films.coco)
    assert scores.picture_side[:3].tolist() == ["", "left", "right"]
    films.coco["annotations"][0]["picture_side"] = "right"
    assert Scores.read([tmp_path / "seed0.roi.json"], films.coco).picture_side[0] == "right"


def test_coco_ap_is_cocos_and_leaves_the_films_as_they_are(films, tmp_path):
    _, metric = predict(films, tmp_path, 0)
    before = copy.deepcopy(films.coco)
    detections = json.loads((tmp_path / "seed0.bbox.json").read_text())
    found = coco_ap(films.coco, detections, range(1, 36))
    assert found["coco_map"] == pytest.approx(metric["coco/bbox_mAP"], abs=1e-3)  # mmdet rounds to 3 digits
    assert found["coco_ap50"] == pytest.approx(metric["coco/bbox_mAP_50"], abs=1e-3)
    assert films.coco == before
    # part of the films: as if there were no others
    gis = set(films.subsets["gis"])
    alone = dict(films.coco, images=[i for i in films.coco["images"] if i["id"] in gis])
    alone["annotations"] = [a for a in films.coco["annotations"] if a["image_id"] in gis]
    only = [d for d in detections if d["image_id"] in gis]
    assert coco_ap(films.coco, detections, gis) == coco_ap(alone, only, gis)
    assert coco_ap(films.coco, [], gis) == dict(coco_map=0.0, coco_ap50=0.0)


@pytest.mark.parametrize("flag", ["iscrowd", "ignore"])
def test_ignored_boxes_are_no_rois(films, tmp_path, flag):
    films.coco["annotations"][0][flag] = 1
    predict(films, tmp_path, 0)
    scores = Scores.read([tmp_path / "seed0.roi.json"], films.coco)
    assert scores.iou.shape == (1, 69)
    assert len(Rois.of_coco(films.coco)) == 69
    detections = [
        dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.9) for a in films.coco["annotations"][1:]
    ]
    for found in (detections, [*detections, dict(detections[0], bbox=films.coco["annotations"][0]["bbox"])]):
        assert coco_ap(films.coco, found, range(1, 36)) == pytest.approx(dict(coco_map=1.0, coco_ap50=1.0))


def test_a_table_of_other_films(films, tmp_path):
    predict(films, tmp_path, 0)
    films.coco["annotations"].pop()
    with pytest.raises(DatasetError, match=r"seed0\.roi\.json: its ROIs aren't those of these films"):
        Scores.read([tmp_path / "seed0.roi.json"], films.coco)
