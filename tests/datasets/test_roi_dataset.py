"""Faults are listed before anything is trained; the details of each are tested in tests/coco."""

import json

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope
from PIL import Image

from hipdet.errors import DatasetError
from hipdet.radiograph import read_radiograph

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


def build(root, **settings):
    init_default_scope("mmdet")
    return DATASETS.build(
        dict(
            type="RoiDataset",
            data_root=str(root),
            ann_file="ann.json",
            data_prefix=dict(img=""),
            pipeline=PIPELINE,
            **settings,
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


def test_exif_orientation_reaches_the_network_upright(tmp_path):
    write_set(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: 40x60 upright is stored as 60x40
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


def test_classes_without_the_comma(tmp_path):
    write_set(tmp_path)
    with pytest.raises(DatasetError, match=r"classes=\('hip',\)"):
        build(tmp_path, metainfo=dict(classes=("hip")))
