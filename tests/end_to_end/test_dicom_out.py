"""``hipdet predict --dicom-sr --dicom-pr``: films to DICOM objects, resumed, in shards, and what is refused."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
pytest.importorskip("onnx")

from dicom_objects import dicom_film, require_valid
from fixed_model import write_model
from highdicom.sr import srread

from hipdet.phantoms.write import make_film
from tool_runs import run_python, run_tool

pytestmark = pytest.mark.slow
WANTED = ["--dicom-sr", "--dicom-pr"]


def objects(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "dicom").glob("*.dcm"))}


def predicted(cwd, *options, status=0):
    done = run_tool("predict", "films", "--out", "out", *options, cwd=cwd)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Hips with spacing, the same lying on its side, a film without hips, one without date, and a picture."""
    root = tmp_path_factory.mktemp("out")
    (root / "films").mkdir()
    pixels = make_film("cgoa", 0, seed=3, max_side=400).pixels
    grey = pixels.astype(np.uint16) * 16
    contents = {
        "hips": dicom_film(grey, PixelSpacing=["0.8", "0.5"], PixelSpacingCalibrationType="FIDUCIAL"),
        "lying": dicom_film(np.rot90(grey), SOPInstanceUID="1.2.3.4.6"),
        "empty": dicom_film(np.zeros((300, 200), np.uint16), SOPInstanceUID="1.2.3.4.7"),
        "undated": dicom_film(grey, SOPInstanceUID="1.2.3.4.8", StudyDate=None),
    }
    for name, content in contents.items():
        (root / f"films/{name}.dcm").write_bytes(content)
    Image.fromarray(pixels).save(root / "films/picture.png")
    return root


@pytest.fixture(scope="module")
def first(films):
    """The first run, and its objects."""
    done = predicted(films, *WANTED, status=1)  # one film can have no object
    return done, objects(films / "out")


def test_objects_have_the_boxes_of_the_predictions(films, first):
    done, made = first
    assert "undated.dcm: no DICOM objects: no date" in done.stderr
    assert "6 DICOM objects, 1 films without (see review.csv), 1 films aren't DICOM: out/dicom" in done.stdout
    assert "5 of 5 films predicted" in done.stdout
    written = done.stdout + done.stderr + "".join(made)
    written += "".join(path.read_text() for path in (films / "out").glob("*.*"))
    assert not [word for word in ("DOE", "PID4711", "19570313", "1.2.3.4") if word in written]
    rows = json.loads((films / "out/predictions.json").read_text())
    by_uid = {"1.2.3.4.5": "hips.dcm", "1.2.3.4.6": "lying.dcm", "1.2.3.4.7": "empty.dcm"}
    seen = set()
    for name in made:
        path = films / "out/dicom" / name
        require_valid(path)
        if name.endswith(".pr.dcm"):
            continue
        report = srread(path)
        film = by_uid[report.get_evidence()[0][2]]
        found = report.content.get_planar_roi_measurement_groups()
        expected = [row for row in rows if row["file_name"] == film and not row["candidate"]]
        assert len(found) == len(expected) == (0 if film == "empty.dcm" else 2)
        for group, row in zip(found, expected):
            x, y, w, h = row["bbox"]
            np.testing.assert_allclose(group.roi.value[[0, 2]].ravel(), [x, y, x + w, y + h], atol=2e-3)
            side = group.finding_sites[0].laterality
            assert (side.meaning.lower() if side else "") == row["patient_side"]
            assert [each.value for each in group.get_measurements()] == [pytest.approx(row["score"], abs=1e-6)]  # no mm
        seen.add((film, len(found), report.CompletionFlag))
    assert seen == {("hips.dcm", 2, "COMPLETE"), ("lying.dcm", 2, "COMPLETE"), ("empty.dcm", 0, "PARTIAL")}
    with (films / "out/review.csv").open(encoding="utf-8", newline="") as file:
        said = {row["film"]: row["error"] for row in csv.DictReader(file)}
    assert said["undated.dcm"] == "no DICOM objects: no date: export the film again"


def test_a_second_run_writes_what_is_missing_and_the_same_bytes(films, first):
    _, made = first
    for path in sorted((films / "out/dicom").iterdir())[::2]:
        path.unlink()
    predicted(films, *WANTED, status=1)
    assert objects(films / "out") == made
    predicted(films, *WANTED, "--overwrite", status=1)
    assert objects(films / "out") == made
    done = predicted(films, *WANTED, "--as-stored", status=1)  # other settings, other UIDs
    assert not set(objects(films / "out")) & set(made)
    assert "6 DICOM objects" in done.stdout


def test_shards_have_the_same_objects(films, first):
    for number in (1, 2):
        done = run_tool("predict", "films", "--out", "shards", "--shard", f"{number}/2", *WANTED, cwd=films)
        assert done.returncode in (0, 1), done.stderr
    parts = [objects(films / f"shards/shard-{number}-of-2") for number in (1, 2)]
    assert {**parts[0], **parts[1]} == first[1]
    assert all(parts)


@pytest.mark.ci
@pytest.mark.ci
def test_workers_of_ray_write_the_same_objects(films, first):
    pytest.importorskip("ray", reason="no ray: pip install 'hipdet[ray]'")
    command = ["-m", "hipdet", "predict", "films", "--out", "rays", "--engine", "ray", "--workers", 1, *WANTED]
    done = run_python(*command, cwd=films)
    assert done.returncode == 1, done.stderr
    assert "undated.dcm: no DICOM objects: no date" in done.stderr
    said = "6 DICOM objects, 1 films without (see failures.csv), 1 films aren't DICOM: rays/shard-*/dicom"
    assert said in done.stdout
    parts = [objects(folder) for folder in (films / "rays").glob("shard-*")]
    assert {name: content for part in parts for name, content in part.items()} == first[1]


def test_several_classes_with_codes(films, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films/a.dcm").write_bytes(dicom_film())
    heart = dict(value="80891009", scheme="SCT", meaning="Heart")
    write_model(tmp_path / "chest.onnx", '{"heart": 1, "lung": 2}', about=dict(codes=dict(heart=heart)))
    (tmp_path / "codes.json").write_text(json.dumps(dict(lung=dict(value="39607008", scheme="SCT", meaning="Lung"))))
    found = []
    for options in ([], ["--codes", "codes.json"]):
        predicted(tmp_path, "--model", "chest.onnx", "--dicom-sr", *options)
        (path,) = (tmp_path / "out/dicom").iterdir()
        require_valid(path)
        groups = srread(path).content.get_planar_roi_measurement_groups()
        found.append([(group.finding_type.value, group.finding_type.scheme_designator) for group in groups])
    assert found[0] == [("80891009", "SCT"), ("lung", "99HIPDET"), ("lung", "99HIPDET")]
    assert found[1] == [("heart", "99HIPDET"), ("39607008", "SCT"), ("39607008", "SCT")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--codes", "codes.json"], "--codes is of --dicom-sr"),
        (["--dicom-sr", "--codes", "none.json"], "none.json: can't be read"),
        (["--dicom-sr", "--codes", "codes.json"], "codes of class 'lung', expected some of ['hip']"),
    ],
)
def test_what_is_refused(films, tmp_path, options, said):
    (tmp_path / "codes.json").write_text('{"lung": {}}')
    done = run_tool("predict", films / "films", "--out", "out", *options, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert not (tmp_path / "out/dicom").exists()
