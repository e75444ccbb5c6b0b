"""A data set of DICOM films without file name extension, from verification to predictions."""

import csv
import json

import numpy as np
import pytest

from dicom_bytes import DATE, IMPLICIT, NUMBER, PATIENT, film
from hipdet.phantoms.write import make_film
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


def test_predicted_millimetres(tmp_path):
    """A film whose pixels aren't square, the same lying on its side, and one without spacing."""
    pixels = make_film("cgoa", 0, seed=3, max_side=400).pixels.astype(np.uint16) * 16
    shown = dict(BitsStored=12, HighBit=11)
    films = {
        "upright": film(pixels, PixelSpacing="0.8\\0.5", PixelSpacingCalibrationType="FIDUCIAL", **shown),
        "lying": film(np.rot90(pixels), ImagerPixelSpacing="0.5\\0.8", **shown),
        "without": film(pixels, **shown),
    }
    (tmp_path / "films").mkdir()
    for name, content in films.items():
        (tmp_path / f"films/{name}.dcm").write_bytes(content)
    done = run_tool("predict", "films", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out/predictions.json").read_text())
    by = {name: [row for row in rows if row["file_name"] == f"{name}.dcm" and not row["candidate"]] for name in films}
    assert [len(found) for found in by.values()] == [2, 2, 2]
    says = {name: {(row["turned"], str(row["spacing_mm"]), row["spacing_plane"]) for row in by[name]} for name in films}
    assert says == dict(
        upright={(0, "[0.5, 0.8]", "calibrated")}, lying={(270, "[0.8, 0.5]", "detector")}, without={(0, "None", None)}
    )
    for row, other in zip(by["upright"], by["without"]):
        assert row["size_mm"] == pytest.approx([row["bbox"][2] * 0.5, row["bbox"][3] * 0.8], abs=2e-3)
        assert (row["bbox"], other["size_mm"]) == (other["bbox"], None)
    across, down = (np.sort([row["size_mm"] for row in by[name]], axis=0) for name in ("upright", "lying"))
    np.testing.assert_allclose(down[:, ::-1], across, rtol=0.1)  # the same hips, read upright
    with (tmp_path / "out/predictions.csv").open(encoding="utf-8", newline="") as file:
        assert {row["spacing_plane"] for row in csv.DictReader(file)} == {"calibrated", "detector", ""}
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file())
    assert not [word for word in (PATIENT, NUMBER, DATE) if word.encode() in written]


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
