"""Faults are listed before training; the details of each fault are tested in tests/data.

Batches against mmengine's, and what handing one over from a worker costs.
"""

import functools
import json
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, METRICS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS, init_default_scope
from mmengine.structures import InstanceData
from PIL import Image
from torch.multiprocessing import reductions
from torch.utils.data import DataLoader

from hipdet.core.errors import ConfigError, DatasetError
from hipdet.engine.dataset import collate_films
from hipdet.radiographs.read import read_radiograph
from places import REPOSITORY

PIPELINE = [
    dict(type="LoadImageFromFile", backend_args=dict(backend="radiograph")),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs"),
]


def write_set(root, **changes):
    """Two films with a hip each."""
    rng = np.random.default_rng(0)
    coco = dict(images=[], annotations=[], categories=[dict(id=1, name="hip")])
    for i in (1, 2):
        Image.fromarray(rng.integers(0, 255, (40, 60), np.uint8)).save(root / f"{i}.png")
        coco["images"].append(dict(id=i, file_name=f"{i}.png", width=60, height=40))
        coco["annotations"].append(
            dict(id=i, image_id=i, category_id=1, bbox=[10.0, 5.0, 20.0, 20.0], area=400.0, iscrowd=0)
        )
    coco.update(changes)
    (root / "ann.json").write_text(json.dumps(coco))


def test_a_byte_order_mark_is_no_fault(tmp_path):
    """Nor for the metrics, which read the file themselves."""
    write_set(tmp_path)
    path = tmp_path / "ann.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(build(tmp_path, test_mode=True)) == 2
    coco = METRICS.build(dict(type="RoiCocoMetric", ann_file=str(path), metric="bbox"))._coco_api
    assert coco.get_img_ids() == [1, 2]
    assert len(METRICS.build(dict(type="RoiMetric", ann_file=str(path))).coco["images"]) == 2


def build(root, **settings):
    init_default_scope("mmdet")
    return DATASETS.build(
        dict(
            type="RoiDataset",
            data_root=str(root),
            ann_file="ann.json",
            data_prefix=dict(img=""),
            **{"pipeline": PIPELINE, **settings},
        )
    )


def test_a_sound_set(tmp_path):
    write_set(tmp_path)
    dataset = build(tmp_path)
    assert len(dataset) == 2
    assert dataset.metainfo["classes"] == ("hip",)
    sample = dataset[0]
    np.testing.assert_array_equal(sample["inputs"][0].numpy(), read_radiograph(tmp_path / "1.png"))
    assert sample["data_samples"].gt_instances.bboxes.numpy().tolist() == [[10, 5, 30, 25]]


@pytest.mark.parametrize(("colour", "channels"), [("grayscale", 1), ("color", 3)])
def test_who_iterates_gets_three_channels_and_who_asks_by_number_what_the_pipeline_packs(tmp_path, colour, channels):
    write_set(tmp_path)
    dataset = build(tmp_path, pipeline=[dict(PIPELINE[0], color_type=colour), *PIPELINE[1:]])
    films = list(dataset)
    assert len(films) == len(dataset) == 2
    for index, film in enumerate(films):
        assert film["inputs"].shape == (3, 40, 60)
        assert dataset[index]["inputs"].shape == (channels, 40, 60)
        assert film["inputs"].equal(dataset[index]["inputs"].expand(3, -1, -1))


def test_exif_orientation_reaches_the_network_upright(tmp_path):
    write_set(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated by 90°: 40x60 upright is stored as 60x40
    stored = Image.open(tmp_path / "1.png").rotate(90, expand=True)
    stored.save(tmp_path / "1.png", exif=exif)
    inputs = build(tmp_path)[0]["inputs"]
    assert inputs.shape == (3, 40, 60)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(images=[], annotations=[]), "empty"),
        (dict(annotations=[]), "no ground truth"),
        (dict(categories=[dict(id=1, name="Hip")]), "Hip"),
    ],
)
def test_faults_of_the_annotations(tmp_path, changes, message):
    write_set(tmp_path, **changes)
    with pytest.raises(DatasetError, match=rf"(?s)ann\.json.*{message}"):
        build(tmp_path)


def test_missing_annotation_file(tmp_path):
    with pytest.raises(DatasetError, match=r"ann\.json"):
        build(tmp_path)


def test_missing_and_damaged_films(tmp_path):
    write_set(tmp_path)
    (tmp_path / "1.png").unlink()
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"(?s)1\.png.*2\.png"):
        build(tmp_path)
    assert len(build(tmp_path, verify_films=False)) == 2


SIDED = dict(categories=[dict(id=1, name="left hip"), dict(id=2, name="right hip")])
NAMES = dict(classes=("left hip", "right hip"))
PAIRS = dict(NAMES, mirrored_pairs=[("left hip", "right hip")])


def write_sided_set(root):
    """Each film has the patient's left hip at the right of the picture, the right one at its left."""
    write_set(root, **SIDED)
    coco = json.loads((root / "ann.json").read_text())
    for number, annotation in enumerate(list(coco["annotations"])):
        annotation.update(category_id=1, bbox=[38.0, 10.0, 18.0, 18.0], area=324.0)
        coco["annotations"].append(dict(annotation, id=number + 3, category_id=2, bbox=[4.0, 10.0, 18.0, 18.0]))
    (root / "ann.json").write_text(json.dumps(coco))


def of_training(*steps):
    return [*PIPELINE[:2], *steps, PIPELINE[2]]


def sides_of_draws(dataset, draws=100):
    """For each draw, whether the labels fit the sides of the boxes: all right, all wrong."""
    np.random.seed(0)
    for draw in range(draws):
        found = dataset[draw % 2]["data_samples"].gt_instances
        left, right = (found.bboxes.numpy()[found.labels.numpy() == label, 0] for label in (0, 1))
        assert len(left) == len(right) == 1
        yield bool(left > right)


@pytest.mark.parametrize(
    "steps",
    [
        [dict(type="RandomSimilarity", max_degrees=5.0, scale=(0.8, 1.0), flip_prob=0.5)],
        [dict(type="RandomApply", transforms=[dict(type="RandomSimilarity", flip_prob=1.0)], prob=0.5)],
    ],
)
def test_left_and_right_change_places_with_the_film(tmp_path, steps):
    write_sided_set(tmp_path)
    assert all(sides_of_draws(build(tmp_path, metainfo=PAIRS, pipeline=of_training(*steps))))
    # without pairs, training learned from random labels
    blind = build(tmp_path, metainfo=dict(NAMES, mirrored_pairs=[]), pipeline=of_training(*steps))
    assert 0.35 < np.mean(list(sides_of_draws(blind))) < 0.65


MIRRORING = dict(type="RandomSimilarity", flip_prob=0.5)
FLIP = dict(type="RandomFlip", prob=0.5)


@pytest.mark.parametrize(
    ("metainfo", "steps", "words"),
    [
        (
            NAMES,
            [MIRRORING],
            r"ann\.json: RandomSimilarity mirrors films, and 'left hip' and 'right hip' swap in a mirror image",
        ),
        (NAMES, [MIRRORING], r"add mirrored_pairs=\[\('left hip', 'right hip'\)\] to metainfo"),
        (NAMES, [FLIP], "RandomFlip mirrors films"),
        (PAIRS, [FLIP], r"RandomFlip mirrors films but doesn't swap .*RandomSimilarity\(flip_prob"),
        (dict(NAMES, mirrored_pairs=[("left hip", "hip")]), [], "names 'hip', expected one of"),
    ],
)
def test_films_that_are_mirrored_without_their_classes(tmp_path, metainfo, steps, words):
    write_sided_set(tmp_path)
    with pytest.raises(ConfigError, match=words):
        build(tmp_path, metainfo=metainfo, pipeline=of_training(*steps))


@pytest.mark.parametrize(
    ("metainfo", "steps", "settings"),
    [
        (NAMES, [dict(MIRRORING, flip_prob=0.0, quarter_turn_prob=0.5)], {}),
        (dict(NAMES, mirrored_pairs=[]), [MIRRORING, FLIP], {}),
        (PAIRS, [], {}),
        # the model swaps its detections
        (PAIRS, [dict(type="TestTimeAug", transforms=[[FLIP, dict(FLIP, prob=1.0)]])], dict(test_mode=True)),
    ],
)
def test_films_that_are_not_mirrored_and_classes_that_are(tmp_path, metainfo, steps, settings):
    write_sided_set(tmp_path)
    dataset = build(tmp_path, metainfo=metainfo, pipeline=of_training(*steps), **settings)
    expected = (1, 0) if metainfo is PAIRS else (0, 1)
    assert dataset.get_data_info(0)["mirrored_labels"] == expected


def test_classes_without_the_comma(tmp_path):
    write_set(tmp_path)
    with pytest.raises(DatasetError, match=r"classes=\('hip',\)"):
        build(tmp_path, metainfo=dict(classes=("hip")))


ALIKE = [(40, 30)] * 4
DIFFERENT = [(40, 30), (20, 50), (40, 30)]


def make_samples(shapes):
    """Films with 0, 1, 2, ... labels."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for count, shape in enumerate(shapes):
        boxes = torch.rand(count, 4, generator=generator)
        labels = InstanceData(bboxes=HorizontalBoxes(boxes, in_mode="xyxy"), labels=torch.arange(count))
        sample = DetDataSample(metainfo=dict(img_id=count, ori_shape=shape), gt_instances=labels)
        samples.append(dict(inputs=torch.rand(1, *shape, generator=generator), data_samples=sample))
    return samples


@pytest.mark.parametrize("shapes", [ALIKE, DIFFERENT], ids=["alike", "different"])
def test_a_batch_equals_mmengines_before_and_after_pickling(shapes):
    samples = make_samples(shapes)
    expected = pseudo_collate(samples)
    batch = collate_films(samples)
    assert isinstance(batch["inputs"], torch.Tensor) == (shapes == ALIKE)
    for found in (batch, pickle.loads(ForkingPickler.dumps(batch))):
        assert sorted(found) == ["data_samples", "inputs"]
        assert all(map(torch.equal, found["inputs"], expected["inputs"]))
        assert len(found["data_samples"]) == len(shapes)
        for mine, theirs in zip(found["data_samples"], expected["data_samples"]):
            assert mine.metainfo == theirs.metainfo
            assert type(mine.gt_instances.bboxes) is HorizontalBoxes
            assert torch.equal(mine.gt_instances.bboxes.tensor, theirs.gt_instances.bboxes.tensor)
            assert torch.equal(mine.gt_instances.labels, theirs.gt_instances.labels)
            assert mine.gt_instances.labels.dtype == torch.int64


@pytest.mark.parametrize(("collate", "files"), [(collate_films, 1), (pseudo_collate, 4 + 2 * 3)])
def test_a_batch_comes_as_one_file(collate, files, monkeypatch):
    """mmengine's batch comes as a file for each film and for each of its tensors that isn't empty."""
    opened = []
    rebuild = reductions.rebuild_storage_fd

    @functools.wraps(rebuild)  # pickled by its name
    def counted(*args):
        opened.append(args)
        return rebuild(*args)

    monkeypatch.setattr(reductions, "rebuild_storage_fd", counted)
    (batch,) = DataLoader(make_samples(ALIKE), batch_size=4, num_workers=1, collate_fn=collate, timeout=60)
    assert len(batch["data_samples"]) == 4
    assert len(opened) == files


def test_received_labels_are_writable():
    batch = pickle.loads(ForkingPickler.dumps(collate_films(make_samples(ALIKE))))
    batch["data_samples"][1].gt_instances.labels += 1
    assert batch["data_samples"][1].gt_instances.labels.tolist() == [1]


def test_tensors_that_numpy_cannot_hold():
    samples = make_samples(ALIKE)
    samples[1]["data_samples"].gt_instances.bboxes = torch.ones(1, 4, dtype=torch.bfloat16)
    samples[2]["data_samples"].gt_instances.bboxes = torch.ones(2, 4, requires_grad=True)
    batch = pickle.loads(ForkingPickler.dumps(collate_films(samples)))
    _, half, learned, _ = (sample.gt_instances.bboxes for sample in batch["data_samples"])
    assert torch.equal(half, torch.ones(1, 4, dtype=torch.bfloat16))
    assert torch.equal(learned, torch.ones(2, 4))


def test_configs_find_it():
    assert FUNCTIONS.get("collate_films") is collate_films


def test_a_square_over_the_edge_trains_whole_and_is_tested_clipped(tmp_path):
    """With the recommended pipeline: the film is enlarged sevenfold, from 60x40 to 420x280."""
    write_set(tmp_path)
    coco = json.loads((tmp_path / "ann.json").read_text())
    coco["annotations"][0].update(bbox=[0.0, 5.0, 13.0, 20.0], area=260.0, square=[-7.0, 5.0, 20.0, 20.0])
    (tmp_path / "ann.json").write_text(json.dumps(coco))
    recommended = Config.fromfile(REPOSITORY / "configs/hip_roi_medium.py")
    steps = [step for step in recommended.train_pipeline if step.type in ("LoadAnnotations", "Resize", "Pad")]
    pipeline = [dict(PIPELINE[0]), *steps, dict(type="PackDetInputs")]
    settings = [dict(step, scale=(420, 420)) if step["type"] == "Resize" else step for step in pipeline]
    first = build(tmp_path, pipeline=settings)[0]["data_samples"]
    assert first.gt_instances.bboxes.tensor.numpy().tolist() == [[-49, 35, 91, 175]]
    tested = build(tmp_path, test_mode=True)[0]["data_samples"]
    assert tested.gt_instances.bboxes.numpy().tolist() == [[0, 5, 13, 25]]
