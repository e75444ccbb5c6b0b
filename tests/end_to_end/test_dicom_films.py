"""A data set of DICOM films without file name extension, from verification to predictions."""

import csv
import json

import numpy as np
import pytest

from dicom_bytes import IMPLICIT, film
from hipdet.radiographs.read import read_radiograph
from tool_runs import SMALL, run_tool

pytest.importorskip("pydicom")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dicoms(phantoms, tmp_path_factory):
    """The phantoms as 12-bit DICOM films called 001, each in its own folder as in the OAI."""
    root = tmp_path_factory.mktemp("dicoms")
    (root / "annotations").mkdir()
    for annotations in (phantoms / "annotations").glob("*.json"):
        coco = json.loads(annotations.read_text())
        for image in coco["images"]:
            pixels = read_radiograph(phantoms / image["file_name"]).astype(np.uint16) * 16
            image["file_name"] = image["file_name"].replace(".jpg", "/001")
            path = root / image["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            bare = image["id"] % 2 == 1
            path.write_bytes(
                film(
                    4095 - pixels, **(dict(syntax=IMPLICIT, with_preamble=False) if bare else {}), BitsStored=12,
                    HighBit=11, PhotometricInterpretation="MONOCHROME1",
                )
            )  # fmt: skip
        (root / "annotations" / annotations.name).write_text(json.dumps(coco))
    return root


def test_train_test_gallery_and_inferencer(dicoms, tmp_path):
    from mmdet.apis import DetInferencer

    config = "configs/hip_ssd_exp3.py"
    options = ["--cfg-options", *SMALL, "train_cfg.max_epochs=3", "train_cfg.val_interval=3"]
    done = run_tool("train", config, "--data-root", dicoms, "--work-dir", "run", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    checkpoint = tmp_path / "run/epoch_3.pth"
    done = run_tool(
        "test", config, checkpoint, "--data-root", dicoms, "--work-dir", "out", "--cfg-options", *SMALL, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert len(list(csv.DictReader((tmp_path / "out/test.roi.csv").open()))) == 12
    done = run_tool("gallery", "out/test.roi.json", "--data-root", dicoms, "--films", 4, "--side", 200, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    films = [str(path) for path in sorted(dicoms.glob("gis/**/001"))[:2]]
    inferencer = DetInferencer(
        str(tmp_path / "run/hip_ssd_exp3.py"), str(checkpoint), device="cpu", show_progress=False
    )
    assert all(len(found["bboxes"]) > 1 for found in inferencer(films)["predictions"])


def test_a_film_that_is_cut_short_is_named_before_training(dicoms, tmp_path):
    coco = json.loads((dicoms / "annotations/cgoa_oaih_train.json").read_text())
    path = dicoms / coco["images"][0]["file_name"]
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    try:
        options = ["--data-root", dicoms, "--cfg-options", *SMALL]
        done = run_tool("train", "configs/hip_ssd_exp3.py", *options, cwd=tmp_path)
    finally:
        path.write_bytes(whole)
    assert done.returncode == 2
    assert f"image {coco['images'][0]['id']} ({coco['images'][0]['file_name']}): cut short" in done.stderr
