"""Training, testing and DetInferencer take DICOM as they take JPEG."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("pydicom")

from dicom_bytes import dicom
from hipdet.radiograph import read_radiograph
from tool_runs import SMALL, run_tool

pytestmark = pytest.mark.slow


def as_dicom(path):
    """The film as MONOCHROME1 of 12 bits whose window shows the very same greys."""
    grey = read_radiograph(path).astype(np.uint16)
    tags = dict(
        PhotometricInterpretation="MONOCHROME1", WindowCenter=2040, WindowWidth=4080, VOILUTFunction="LINEAR_EXACT"
    )
    content = dicom((255 - grey) * 16, bits=12, **tags)
    np.testing.assert_array_equal(read_radiograph(content), grey)
    return content


@pytest.fixture(scope="module")
def dicom_root(phantoms, tmp_path_factory):
    """The phantoms with every film of CGOA as DICOM without extension."""
    root = tmp_path_factory.mktemp("dicom") / "data"
    shutil.copytree(phantoms, root)
    for path in (root / "cgoa/images").glob("*.jpg"):
        path.with_suffix("").write_bytes(as_dicom(path))
        path.unlink()
    for path in (root / "annotations").glob("*.json"):
        coco = json.loads(path.read_text())
        for image in coco["images"]:
            if image["file_name"].startswith("cgoa/"):
                image["file_name"] = image["file_name"].removesuffix(".jpg")
        path.write_text(json.dumps(coco))
    return root


def test_training_and_testing_give_what_they_give_with_jpeg(phantoms, dicom_root, trained, tmp_path):
    options = ["--cfg-options", *SMALL, "train_cfg.max_epochs=4", "train_cfg.val_interval=2"]
    arguments = ["configs/hip_ssd_exp3.py", "--data-root", dicom_root, "--work-dir", tmp_path / "w", *options]
    done = run_tool("train.py", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = [json.loads((path / "val_report.json").read_text())["figures"] for path in (tmp_path / "w", trained[0])]
    assert figures[0] == pytest.approx(figures[1])


def test_det_inferencer(phantoms, dicom_root, trained):
    from mmdet.apis import DetInferencer

    infer = DetInferencer(str(trained[0] / "hip_ssd_exp3.py"), str(trained[0] / "epoch_4.pth"), device="cpu")
    jpeg = next((phantoms / "cgoa/images").glob("*.jpg"))
    found = [infer(str(path))["predictions"][0] for path in (jpeg, dicom_root / "cgoa/images" / jpeg.stem)]
    assert found[0]["bboxes"]
    assert found[0] == found[1]
