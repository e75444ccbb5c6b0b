"""Boxes that are neither ROI nor background: from files to targets, to the refiner's background, to the score."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from mmdet.models.task_modules import MaxIoUAssigner
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from PIL import Image

from hipdet.core.boxes import share_matrix
from hipdet.evaluation.roi_metric import RoiMetric
from places import REPOSITORY
from tool_runs import run_tool

SIDE = 448
ROI, SET_ASIDE = [60, 160, 100, 100], [290, 160, 100, 100]  # x, y, width, height
FILMS = {  # by file name: annotations as (bbox, flags)
    "both.png": [(ROI, {}), (SET_ASIDE, dict(ignore=1))],
    "aside.png": [(SET_ASIDE, dict(iscrowd=1))],
    "roi.png": [(ROI, {})],
    "covered.png": [(ROI, {}), ([10, 110, 200, 200], dict(iscrowd=1))],
}
CORNERS = {name: [[x, y, x + w, y + h] for (x, y, w, h), _ in rows] for name, rows in FILMS.items()}


@pytest.fixture(scope="module")
def recommended():
    return Config.fromfile(REPOSITORY / "configs/hip_roi_small.py")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The films, with a disc in each box, and their COCO file."""
    root = tmp_path_factory.mktemp("films")
    coco = dict(images=[], annotations=[], categories=[dict(id=1, name="hip")])
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for number, (name, rows) in enumerate(FILMS.items(), 1):
        film = np.full((SIDE, SIDE), 60, np.uint8)
        coco["images"].append(dict(id=number, file_name=name, width=SIDE, height=SIDE, patient=name))
        for (left, top, width, height), flags in rows:
            film[np.hypot(x - left - width / 2, y - top - height / 2) < 50] = 200
            record = dict(id=len(coco["annotations"]) + 1, image_id=number, category_id=1, iscrowd=0)
            coco["annotations"].append({**record, "bbox": [left, top, width, height], "area": width * height, **flags})
        Image.fromarray(film).save(root / name)
    (root / "ann.json").write_text(json.dumps(coco))
    return root


def training_batch(root, recommended, ann_file="ann.json"):
    """The films as the recommended detector gets them in training, without random augmentation."""
    init_default_scope("mmdet")
    pipeline = [step for step in recommended.train_pipeline if not step.type.startswith(("Random", "Invert"))]
    dataset = DATASETS.build(
        dict(type="RoiDataset", data_root=str(root), ann_file=ann_file, data_prefix=dict(img=""), pipeline=pipeline)
    )
    return pseudo_collate([dataset[place] for place in range(len(dataset))])


@pytest.fixture(scope="module")
def batch(root, recommended):
    found = training_batch(root, recommended)
    assert len(found["inputs"]) == len(FILMS)
    return found


@pytest.fixture(scope="module")
def detector(recommended):
    torch.manual_seed(0)
    return MODELS.build(recommended.model).train()


@pytest.fixture(scope="module")
def targets(batch, detector):
    return dict(zip(FILMS, targets_of(batch, detector)))


def targets_of(batch, detector):
    """For each film the labels and weights of all anchors, and the anchors."""
    data = detector.data_preprocessor(copy.deepcopy(batch), training=True)  # it changes its input
    samples = data["data_samples"]
    head = detector.bbox_head
    with torch.no_grad():
        sizes = [level.shape[-2:] for level in head(detector.extract_feat(data["inputs"]))[0]]
    metas = [sample.metainfo for sample in samples]
    anchors, valid = head.get_anchors(sizes, metas, device="cpu")
    labels, weights, *_ = head.get_targets(
        anchors, valid, [s.gt_instances for s in samples], metas, [s.ignored_instances for s in samples]
    )
    return [
        (torch.cat([each[place] for each in labels]), torch.cat([each[place] for each in weights]), anchors[0][0])
        for place in range(len(samples))
    ]


def on(box, anchors):
    """Which anchors, clipped to the film, lie by half on the box."""
    return torch.from_numpy(share_matrix(anchors.clamp(0, SIDE), [box])[:, 0] >= 0.5)


def test_the_pipeline_tells_rois_from_ignored_boxes(batch):
    found = {
        name: (sample.gt_instances.bboxes.tensor.tolist(), sample.ignored_instances.bboxes.tensor.tolist())
        for name, sample in zip(FILMS, batch["data_samples"])
    }
    roi, aside = CORNERS["both.png"]
    assert found["both.png"] == ([roi], [aside])
    assert found["aside.png"] == ([], [aside])
    assert found["roi.png"] == ([roi], [])


def test_anchors_on_an_ignored_box_have_no_weight(targets):
    labels, weights, anchors = targets["both.png"]
    alone, all_weights, _ = targets["roi.png"]
    there = on(CORNERS["both.png"][1], anchors)
    assert there.sum() > 20
    assert all_weights.eq(1).all()  # of every anchor, where nothing is ignored
    assert labels.equal(alone)  # the ROI has its anchors, all others are no ROI
    assert labels[there].eq(1).all()
    assert weights.equal(all_weights.masked_fill(there, 0.0))


def test_a_film_with_nothing_but_an_ignored_box(targets):
    labels, weights, anchors = targets["aside.png"]
    assert labels.eq(1).all()
    assert weights.equal((~on(CORNERS["aside.png"][0], anchors)).float())


def test_an_roi_in_an_ignored_box_keeps_its_anchors(targets):
    labels, weights, anchors = targets["covered.png"]
    alone, _, _ = targets["roi.png"]
    there = on(CORNERS["covered.png"][1], anchors)
    assert labels.equal(alone)
    assert labels.eq(0).sum() > 0
    assert weights.equal((~there | labels.eq(0)).float())


def test_why_mmdets_ignore_iof_thr_is_not_enough(targets):
    """It ignores no boxes where there is no ROI, and forces a covered ROI on an anchor that doesn't touch it."""
    anchors = targets["roi.png"][2]
    assigner = MaxIoUAssigner(0.4, 0.4, min_pos_iou=0.0, gt_max_assign_all=False, ignore_iof_thr=0.5)

    def assign(rois, ignored):
        boxes = [
            InstanceData(bboxes=torch.tensor(each, dtype=torch.float32).reshape(-1, 4)) for each in (rois, ignored)
        ]
        boxes[0].labels = torch.zeros(len(rois), dtype=torch.long)
        return assigner.assign(InstanceData(priors=anchors), *boxes).gt_inds

    assert assign([], CORNERS["aside.png"]).eq(0).all()
    covered = [-50.0, 0, 300, 448]
    forced = anchors[assign([CORNERS["roi.png"][0]], [covered]).eq(1)]
    assert len(forced) == 1
    assert not on(CORNERS["roi.png"][0], forced).any()


def test_a_film_that_is_ignored_whole_teaches_nothing(detector, batch):
    data = detector.data_preprocessor(copy.deepcopy(batch), training=True)
    sample = data["data_samples"][1].clone()
    sample.ignored_instances.bboxes = torch.tensor([[0.0, 0, SIDE, SIDE]])
    losses = detector.loss(data["inputs"][1:2].repeat(2, 1, 1, 1), [sample, sample])
    assert {name: loss.item() for name, loss in losses.items()} == dict.fromkeys(losses, 0.0)
    sum(losses.values()).backward()
    grads = [p.grad for p in detector.parameters() if p.grad is not None]
    assert grads
    assert all(grad.eq(0).all() for grad in grads)
    detector.zero_grad()


def test_from_the_coco_file_to_the_score(root):
    """Both discs of the first film are found, and the one that is set aside on the second."""
    metric = RoiMetric(str(root / "ann.json"))
    metric.dataset_meta = dict(classes=("hip",))
    for number, name in enumerate(("both.png", "aside.png"), 1):
        boxes = CORNERS[name]
        found = dict(
            bboxes=torch.tensor(boxes) + 0.0,
            scores=torch.linspace(0.8, 0.9, len(boxes)),
            labels=torch.zeros(len(boxes)).long(),
        )
        metric.process({}, [dict(img_id=number, img_path=str(root / name), pred_instances=found)])
    metrics = metric.evaluate(2)
    assert (metrics["roi/num_rois"], metrics["roi/acc50"]) == (1, 1)
    assert (metrics["roi/extra_per_image"], metrics["roi/missed_per_image"]) == (0, 0)


def make_refiner(**changes):
    torch.manual_seed(0)
    backbone = dict(
        type="mmdet.ResNet",
        depth=18,
        base_channels=16,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1,),
    )
    refiner = dict(
        type="RoiRefiner", backbone=backbone, in_channels=32, feat_channels=16, pixels=32, shift=0.0, degrees=0
    )
    return MODELS.build({**refiner, **changes}).train()


NONE, ASIDE = torch.zeros(0, 4), torch.tensor([[100.0, 100, 140, 140]])


@pytest.mark.parametrize(
    ("place", "moved", "counted"),
    [
        ([100.0, 100, 140, 140], 0, False),
        ([118.0, 100, 158, 140], 0, False),  # .55 of it
        ([122.0, 100, 162, 140], 0, True),  # .45
        ([100.0, 60, 140, 100], 0, True),  # above the box, and refined to stay there
        ([100.0, 60, 140, 100], 1, False),  # above the box, and refined onto it
        ([100.0, 200, 140, 240], 0, True),
    ],
)
def test_places_on_an_ignored_box_are_no_background(place, moved, counted):
    """Untrained, all scores are one half: a crop of background has the loss log 2."""
    refiner = make_refiner(zoom=1.0)
    with torch.no_grad():
        refiner.vote.bias[1] = moved  # of all cells, in sides, downwards
    refiner._background = lambda boxes, proposals, films: torch.tensor([place])  # as if drawn there
    losses = refiner.loss(torch.zeros(2, 3, 448, 448), [NONE] * 2, [NONE] * 2, [ASIDE] * 2)
    assert losses["loss_quality"].item() == pytest.approx(math.log(2) if counted else 0.0)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in refiner.parameters())


def test_hard_background_is_chosen_beside_the_ignored_box():
    """The best proposal lies on the ignored box: the next one is the background."""
    refiner, seen = make_refiner(), []
    choose = refiner._background
    refiner._background = lambda *arguments: seen.append(choose(*arguments)) or seen[-1]
    next_one = torch.tensor([[10.0, 20, 50, 60]])
    refiner.loss(torch.zeros(1, 3, 448, 448), [NONE], [torch.cat([ASIDE, next_one])], [ASIDE])
    assert seen[0].equal(next_one)


def test_without_ignored_boxes_losses_are_bit_equal():
    films, labels = torch.rand(2, 3, 160, 160), [torch.tensor([[20.0, 30, 60, 70]]), NONE]
    proposals = [torch.tensor([[90.0, 60, 130, 100]])] * 2

    def losses(*ignored):
        refiner = make_refiner(shift=0.2, degrees=10.0)
        found = refiner.loss(films, labels, proposals, *ignored)
        sum(found.values()).backward()
        return found, [p.grad for p in refiner.parameters()]

    (plain, plain_grads), (given, grads) = losses(), losses([NONE, NONE])
    assert all(plain[name].equal(given[name]) for name in plain)
    assert all(a.equal(b) for a, b in zip(plain_grads, grads))


def score(ann_file, boxes):
    """The figures of `boxes` on the only film of a file."""
    metric = RoiMetric(str(ann_file))
    metric.dataset_meta = dict(classes=("hip",))
    found = dict(
        bboxes=torch.tensor(boxes), scores=torch.linspace(0.9, 0.5, len(boxes)), labels=torch.zeros(len(boxes))
    )
    metric.process({}, [dict(img_id=1, pred_instances=found)])
    return metric.evaluate(1)


@pytest.mark.parametrize("source", ["--ignore", "iscrowd"])
def test_from_file_to_score(tmp_path, recommended, detector, source):
    """A hip that the film's edge cuts, in a table or in a COCO file: converted, trained on, tested."""
    x, y, side = 383, 160, 130  # half of it is on the film
    Image.fromarray(np.full((SIDE, SIDE), 60, np.uint8)).save(tmp_path / "1.png")
    (tmp_path / "hips.csv").write_text("image,x,y,side\n1.png,60,160,100\n")
    (tmp_path / "ignore.csv").write_text(f"image,x,y,side,share_on_film\n1.png,{x},{y},{side},.5\n")
    labels = ["--labels", "hips.csv", "--ignore", "ignore.csv", "--format", "hips", "--classes", "hip"]
    if source == "iscrowd":
        boxes = [[60, 160, 100, 100], [x, y, side, side]]
        rows = [dict(id=n, image_id=1, category_id=1, bbox=box, iscrowd=n - 1) for n, box in enumerate(boxes, 1)]
        image = dict(id=1, file_name="1.png", width=SIDE, height=SIDE)
        coco = dict(images=[image], annotations=rows, categories=[dict(id=1, name="hip")])
        (tmp_path / "coco.json").write_text(json.dumps(coco))
        labels = ["--labels", "coco.json"]
    done = run_tool("convert", "folder", ".", *labels, "--out", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 boxes to ignore: neither ROI nor background" in done.stdout
    ann_file = tmp_path / "made/folder.json"

    batch = training_batch(tmp_path, recommended, "made/folder.json")
    (sample,) = batch["data_samples"]
    assert sample.gt_instances.bboxes.tensor.tolist() == [[60, 160, 160, 260]]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[x, y, x + side, y + side]]
    ((labels, weights, anchors),) = targets_of(batch, detector)
    there = on([x, y, x + side, y + side], anchors)
    assert there.sum() > 10
    assert labels[there].eq(1).all()
    assert weights.equal((~there).float())

    on_roi, on_cut, beside = [60.0, 160, 160, 260], [390.0, 165, 448, 280], [200.0, 20, 300, 120]
    assert score(ann_file, [on_roi, on_cut])["roi/extra_per_image"] == 0
    assert score(ann_file, [on_roi, on_cut])["roi/num_rois"] == 1
    assert score(ann_file, [on_roi, beside])["roi/extra_per_image"] == 1
