"""hipdet fit tests on no film that it was trained on: films from elsewhere, and what the starting weights have seen."""

import io
import shutil

import numpy as np
import pytest
import torch
from fit_plans import COUNT, HEAD, fit, planned, rows
from PIL import Image

import dicom_bytes
from film_sources import film, table, write
from hipdet.data.copies import film_digest

TEST = ["t0.png", "t1.png", "t2.png"]


def elsewhere(place, *labels):
    """Three films to test on, other than those of the training, and perhaps their labels."""
    for n, name in enumerate(TEST):
        write(place / "test" / name, film(120, 150, "PNG", seed=50 + n))
    if labels:
        write(place / "test.csv", table(HEAD + ",patient", *labels))
    return ["--test", "test", *(["--test-labels", "test.csv"] if labels else [])]


def darker(content):
    """A film saved again, in another format."""
    saved = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("L").point(lambda value: int(value * 0.8)).save(saved, "TIFF")
    return saved.getvalue()


@pytest.mark.parametrize("again", [bytes, darker])
def test_films_that_are_trained_on_are_no_test(place, again):
    """All pairs are listed before anything is written; --exclude takes the film out of the training."""
    test = elsewhere(place)
    assert planned(place, *test)[1]["data"]["films"] == COUNT
    shutil.rmtree(place / "out")
    for n in (2, 5):
        write(place / f"test/again{n}.png", again((place / f"films/f{n:02}.png").read_bytes()))
    done = fit(place, *test)
    assert done.returncode == 2
    assert "error: --test test (take these films out of it, or leave the others out of the training" in done.stderr
    for n in (2, 5):
        assert f"again{n}.png is nearly the same as f{n:02}.png, which is trained on" in done.stderr
    assert not (place / "out").exists()
    write(place / "exclude.csv", table("film,reason", ["f02.png", "for the test"], ["f05.png", "for the test"]))
    assert planned(place, *test, "--exclude", "exclude.csv")[1]["data"]["films"] == COUNT - 2


def test_a_film_that_is_not_labelled_is_no_test_film(place):
    """With labels only labelled films are tested; a damaged one is found before the training."""
    test = elsewhere(place, *[[name, 20, 20, 40, "knee", ""] for name in TEST])
    write(place / "test/again.png", (place / "films/f02.png").read_bytes())
    planned(place, *test)
    shutil.rmtree(place / "out")
    write(place / "test.csv", table(HEAD, [TEST[0], 100, 20, 60, "knee"], ["again.png", 20, 20, 40, "knee"]))
    assert "t0.png: box [100, 20, 160, 80] reaches" in fit(place, *test).stderr
    write(place / "test.csv", table(HEAD, ["again.png", 20, 20, 40, "knee"]))
    assert "again.png is nearly the same as f02.png" in fit(place, *test).stderr


def test_patients_that_are_trained_on_are_no_test(place):
    whose = [[*row, f"P{n // 2}"] for n, row in enumerate(rows())]
    write(place / "labels.csv", table(HEAD + ",patient", *whose))
    test = elsewhere(place, *[[name, 20, 20, 40, "knee", patient] for name, patient in zip(TEST, ("P9", "P3", ""))])
    done = fit(place, *test)
    assert "1 fault\n  t1.png is of the same patient as f06.png, which is trained on" in done.stderr
    write(place / "labels.csv", table(HEAD, *rows()))  # nothing is known of the patients that are trained on
    planned(place, *test)
    (place / "test/f06.png").write_bytes((place / "test/t1.png").read_bytes())
    assert "f06.png is of the same patient as f06.png" in fit(place, "--test", "test", "--patients", r"(\d+)\.").stderr
    # films from elsewhere whose names say nothing
    planned(place, "--test", "test", "--patients", r"f(\d+)\.")


def test_patients_of_dicom_films_are_compared_but_not_shown(tmp_path):
    pytest.importorskip("pydicom")
    for n in range(COUNT + 2):
        pixels = np.random.default_rng(n).integers(0, 255, (150, 120), np.uint8)
        folder = "films" if n < COUNT else "test"
        patient = f"{dicom_bytes.NUMBER}{n % (COUNT + 1)}"  # the last film is of the patient of the first
        write(tmp_path / f"{folder}/f{n:02}.dcm", dicom_bytes.film(pixels, PatientID=patient))
    write(tmp_path / "labels.csv", table(HEAD, *[[row[0].replace("png", "dcm"), *row[1:]] for row in rows()]))
    done = fit(tmp_path, "--test", "test")
    assert "1 fault\n  f15.dcm is of the same patient as f00.dcm, which is trained on" in done.stderr
    assert dicom_bytes.NUMBER not in done.stderr


def start(place, films, known=True):
    """Weights that say which films they have seen."""
    seen = None if films is None else dict(films=[film_digest(place / "films" / name) for name in films], known=known)
    content = dict(state_dict=dict(a=torch.zeros(1)), meta={} if seen is None else dict(seen=seen))
    torch.save(content, place / "start.pth")
    return ["--cfg-options", "load_from=start.pth"]


def test_films_that_the_starting_weights_have_seen_are_refused(place):
    write(place / "elsewhere.png", film(120, 150, "PNG", seed=99))
    options = start(place, ["f02.png", "../elsewhere.png", "f11.png"])
    done = fit(place, *options)
    assert done.returncode == 2
    assert "error: start.pth (leave these films out with --exclude, or start from other weights" in done.stderr
    assert "2 faults" in done.stderr
    for name in ("f02.png", "f11.png"):
        assert f"{name} is a film that these weights were trained on" in done.stderr
    assert not (place / "out").exists()
    write(place / "exclude.csv", table("film,reason", ["f02.png", "seen"], ["f11.png", "seen"]))
    said, plan = planned(place, *options, "--exclude", "exclude.csv")
    assert plan["data"]["films"] == COUNT - 2
    assert "start.pth" not in said


@pytest.mark.parametrize(("films", "known"), [(None, True), ([], False)])
def test_starting_weights_that_dont_say_what_they_have_seen(place, films, known):
    """Those of an older hipdet or of another program, or that began from such ones."""
    said, plan = planned(place, *start(place, films, known))
    (warning,) = [each for each in plan["plan"]["warnings"] if "start.pth" in each]
    assert warning.startswith("start.pth: doesn't say all films that it was trained on")
    assert warning in said


@pytest.mark.parametrize(
    "seen", [7, [], dict(films=[3], known=True), dict(films=["a" * 17], known=True), dict(films=[])]
)
def test_a_record_of_films_that_is_none(place, seen):
    torch.save(dict(state_dict=dict(a=torch.zeros(1)), meta=dict(seen=seen)), place / "start.pth")
    done = fit(place, "--cfg-options", "load_from=start.pth")
    assert done.returncode == 2
    assert "start.pth: its metadata" in done.stderr
    assert "Traceback" not in done.stderr
