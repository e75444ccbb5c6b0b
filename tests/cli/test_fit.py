"""hipdet fit up to the plan: data of every kind, what is refused, and that nothing is written then."""

import json
import shutil

import numpy as np
import pytest
from fit_plans import COUNT, HEAD, fit, planned, rows

import dicom_bytes
from film_sources import film, table, voc, write
from tool_runs import run_tool_here


def no_films(place):
    for path in (place / "films").iterdir():
        path.unlink()


def one_film(place):
    write(place / "labels.csv", table(HEAD, *rows(1)))


def no_label(place):
    (place / "labels.csv").unlink()


def empty_labels(place):
    write(place / "labels.csv", HEAD + "\n")


def two_formats(place):
    write(place / "labels/a.csv", table(HEAD, *rows()))
    write(place / "labels/b.xml", voc("f00.png", 120, 150, (20, 15, 60, 55)))
    return ["--labels", "labels"]


def other_films(place):
    write(place / "labels.csv", table(HEAD, *[["other" + row[0], *row[1:]] for row in rows()]))


def outside(place):
    write(place / "labels.csv", table(HEAD, *rows()[:-1], ["f13.png", 100, 15, 45, "knee"]))


def twice(place):
    write(place / "labels.csv", table(HEAD, *rows(), rows()[0]))


def rare_class(place):
    write(place / "labels.csv", table(HEAD, *rows(), ["f03.png", 60, 60, 30, "patella"]))


def half_unnamed(place):
    write(place / "labels.csv", table(HEAD, *rows()[:-1], rows(label="")[-1]))


def damaged_film(place):
    path = place / "films/f04.png"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def one_patient(place):
    write(place / "p.csv", table("image,patient", *[[row[0], "P1"] for row in rows()]))
    return ["--patients", "p.csv"]


def two_patients_of_a_film(place):
    write(place / "labels.csv", table(HEAD + ",who", *[[*row, n] for n, row in enumerate(rows())],
                                      ["f00.png", 70, 70, 30, "knee", 5]))  # fmt: skip
    return ["--patients", "who"]


def folds(*lines):
    def change(place):
        write(place / "folds.csv", table("image,fold", *lines))
        return ["--folds", "folds.csv"]

    return change


def split_patient(place):
    write(place / "p.csv", table("image,patient", *[[row[0], n // 2] for n, row in enumerate(rows())]))
    return ["--patients", "p.csv", *folds(*[[row[0], n % 2] for n, row in enumerate(rows())])(place)]


def other_files(place):
    write(place / "out/thesis.txt", "words")


def codes(content):
    def change(place):
        write(place / "codes.json", content)
        return ["--codes", "codes.json"]

    return change


EVEN = [[row[0], n % 2] for n, row in enumerate(rows())]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda place: ["--labels", "none.csv"], "--labels none.csv: no such file or folder"),
        (no_label, "--labels labels.csv: no such file or folder"),
        (empty_labels, "labels.csv"),
        (no_films, "films: no films, expected JPEG"),
        (one_film, "1 films with an ROI, expected 10 or more"),
        (other_films, "no film is left to convert, expected at least one: 14 x labelled but without a film of this name"),
        (two_formats, "labels"),
        (outside, "out of the film of 120x150 upright"),
        (twice, "the same box of f00.png"),
        (rare_class, "'patella' is on films of 1 films that aren't near duplicates, expected 3 or more"),
        (half_unnamed, "box without label"),
        (lambda place: ["--classes", ""], "argument --classes: '': expected the name of a class"),
        (lambda place: ["--classes", "hip"], "label 'knee' found, expected one of hip"),
        (damaged_film, "f04.png: "),
        (one_patient, "'knee' is on films of 1 patients, expected 3 or more"),
        (two_patients_of_a_film, "f00.png is of patient '5', and of '0' before"),
        (lambda place: ["--patients", "nobody"], "--patients nobody: neither a file, nor a column"),
        (lambda place: ["--patients", "(x)"], "finds no patient in this name"),
        (lambda place: ["--exclude", "none.csv"], "none.csv: can't be read: No such file"),
        (lambda place: ["--codes", "none.json"], "none.json: can't be read"),
        (codes('{"hip": {}}'), "codes.json: codes of class 'hip', expected some of ['knee']"),
        (codes('{"knee": {"value": "1"}}'), "codes.json: knee: no scheme"),
        (lambda place: ["--folds", "1"], "--folds 1: expected 2 folds or more"),
        (lambda place: ["--folds", "99"], "folds is 99, expected 2 to 14"),
        (folds(*EVEN[:-1]), "f13.png: no fold, expected one for each film"),
        (folds(*EVEN[:-1], ["f99.png", 1]), "f99.png: no such film among those with labels"),
        (folds(*[[name, 3] for name, _ in EVEN]), "all films are in fold 3, expected 2 folds or more"),
        (folds(*EVEN[:-1], ["f13.png", "x"]), "fold is 'x', expected a whole number"),
        (folds(*EVEN, ["f13.png", 0]), "f13.png is in fold 1, too"),
        (split_patient, "is in 2 folds (f00.png, f01.png), expected one"),
        (lambda place: ["--labels", "A=labels.csv", "A=labels.csv"], "expected NAME=PATH with a different NAME"),
        (lambda place: ["--out", "films/out"], "--out films/out: lies in the folder of films"),
        (lambda place: ["--out", "labels.csv"], "--out labels.csv: is a file, expected a folder"),
        (other_files, "--out out: holds other files, expected a new folder, or one of hipdet fit"),
        (lambda place: ["--minutes", "0"], "'0': expected minutes"),
        (lambda place: ["--test-labels", "labels.csv"], "--test-labels needs --test"),
        (lambda place: ["--cfg-options", "model.passes=0", "classes='{{'"], "which a config can't hold"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_anything_is_written(place, change, words):
    more = change(place) or []
    before = sorted(path for path in place.rglob("*"))
    done = fit(place, *more)
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path for path in place.rglob("*")) == before


def test_no_folder_of_films(tmp_path):
    write(tmp_path / "labels.csv", table(HEAD, *rows()))
    done = fit(tmp_path)
    assert done.returncode == 2
    assert "films: no such folder of films" in done.stderr


def test_what_films_lack_and_which_are_left_out(place):
    """Two classes, of which films lack one; a film that is labelled as empty, and two that no row names."""
    labels = [*rows(10), *[[f"f{n:02}.png", 70, 80, 35, "hip"] for n in range(4)], ["f11.png", "", "", "", ""]]
    write(place / "labels.csv", table(HEAD, *labels))
    said, plan = planned(place)
    assert "8 films without 'hip'" not in said
    data = plan["data"]
    assert (data["films"], data["rois"]) == (11, 14)
    assert data["films_without"] == {"hip": 7, "knee": 1}
    assert "7 films without 'hip': they lack it" in said
    assert data["unlabelled"] == ["f10.png", "f12.png", "f13.png"]
    assert plan["plan"]["rois"] == {"hip": [0, 1], "knee": 1}
    _, plan = planned(place, "--unlabelled", "negative")
    assert plan["data"]["films_without"] == {"hip": 10, "knee": 4}
    assert plan["data"]["unlabelled"] == []


def test_faulty_films_are_left_out_if_asked(place):
    damaged_film(place)
    write(place / "labels.csv", table(HEAD, *rows()[:-1], ["f13.png", 100, 15, 45, "knee"]))
    assert "2 faults" in fit(place).stderr
    _, plan = planned(place, "--skip-faulty")
    assert plan["data"]["films"] == 12
    assert [film for film, _ in plan["data"]["excluded"]] == ["f04.png", "f13.png"]


def test_films_to_leave_out(place):
    write(place / "exclude.csv", table("film,reason", ["f03.png", "age 3"], ["f07.png", "implant"]))
    said, plan = planned(place, "--exclude", "exclude.csv")
    assert plan["data"]["films"] == COUNT - 2
    assert plan["data"]["excluded"] == [["f03.png", "age 3"], ["f07.png", "implant"]]
    assert plan["data"]["unlabelled"] == []
    assert "1 films left out: age 3" in said
    write(place / "exclude.csv", table("film,reason", ["f03.png", "age 3"], ["gone.png", "age 3"]))
    assert "exclude.csv: line 3: 'gone.png': no such film" in fit(place, "--exclude", "exclude.csv").stderr
    assert planned(place, "--exclude", "exclude.csv", "--skip-faulty")[1]["data"]["films"] == COUNT - 1


def test_a_film_of_the_same_name_in_another_folder_is_left_out(place):
    """Neither its labels nor its patient become those of the other."""
    (place / "films/a").mkdir()
    (place / "films/b").mkdir()
    for n, folder in ((0, "a"), (1, "b")):
        (place / f"films/f{n:02}.png").rename(place / f"films/{folder}/same.png")
    names = ["a/same.png", "b/same.png", *[row[0] for row in rows()[2:]]]
    whose = [[name, *row[1:], f"P{n}"] for n, (name, row) in enumerate(zip(names, rows()))]
    write(place / "labels.csv", table(HEAD + ",patient", *whose))
    write(place / "exclude.csv", table("film,reason", ["a/same.png", "blurred"]))
    _, plan = planned(place, "--exclude", "exclude.csv")
    assert (plan["data"]["films"], plan["data"]["patients"]) == (COUNT - 1, COUNT - 1)
    coco = json.loads((place / "out/data/fit.json").read_text())
    (same,) = [image for image in coco["images"] if image["file_name"] == "b/same.png"]
    assert same["patient"] == "P1"
    assert [each["bbox"][:2] for each in coco["annotations"] if each["image_id"] == same["id"]] == [[21, 16]]


def test_absent_unknown_ignores_what_is_missing(place):
    write(place / "labels.csv", table(HEAD, *rows(), *[[f"f{n:02}.png", 70, 80, 35, "hip"] for n in range(4)]))
    said, plan = planned(place, "--absent", "unknown")
    assert "10 films without 'hip': it isn't known whether they have one" in said
    assert plan["data"]["ignored"] == 10
    assert any("--absent unknown" in note for note in plan["data"]["notes"])


def test_labels_without_a_name_are_of_one_class(place):
    write(place / "labels.csv", table("image,x,y,side", *[row[:4] for row in rows()]))
    assert planned(place)[1]["data"]["classes"] == ["roi"]
    assert planned(place, "--classes", "knee")[1]["data"]["classes"] == ["knee"]


def test_patients(place):
    said, plan = planned(place)
    assert "patients unknown: near duplicates are kept together" in said
    assert plan["data"]["patients_known"] is False
    whose = [[*row, f"P{n // 2}"] for n, row in enumerate(rows())]
    write(place / "labels.csv", table(HEAD + ",patient", *whose))
    said, plan = planned(place)
    assert (plan["data"]["patients"], plan["data"]["patients_known"]) == (7, True)
    assert "patients: patient in the labels" in said
    assert planned(place, "--patients", r"(\d)\.png")[1]["data"]["patients"] == 10


def test_patients_of_a_coco_file(place):
    planned(place, "--patients", r"(\d)\.png")
    shutil.move(place / "out/data/fit.json", place / "coco.json")
    shutil.rmtree(place / "out")
    said, plan = planned(place, labels="coco.json")
    assert "patients: patient in the labels" in said
    assert (plan["data"]["patients"], plan["data"]["patients_known"]) == (10, True)


def test_groups_of_a_coco_file_are_a_guess(place):
    """Films that may be of one patient, as hipdet convert fracatlas groups them; one group makes all of them a guess."""
    planned(place, "--patients", r"(\d)\.png")
    coco = json.loads((place / "out/data/fit.json").read_text())
    shutil.rmtree(place / "out")
    for marked in (coco["info"], coco["images"][3]):
        marked["patients"] = "guessed"
        write(place / "coco.json", json.dumps(coco))
        said, plan = planned(place, labels="coco.json")
        assert "patients: patient in the labels, guessed" in said
        assert "near duplicates are kept together" not in said
        assert (plan["data"]["patients"], plan["data"]["patients_said"]) == (10, "guessed")
        del marked["patients"]


def test_knees_of_fracatlas_as_in_the_tutorial(shared, tmp_path):
    """Labels, class and groups come from what hipdet convert wrote; the films are in a folder of the release."""
    shutil.copytree(shared / "data/fracatlas_knees/images", tmp_path / "FracAtlas/images/Non_fractured")
    write(tmp_path / "FracAtlas/images/Fractured/IMG0000001.jpg", film(373, 454))
    done = run_tool_here("convert", "fracatlas", "FracAtlas", "--joint", "knees", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    arguments = ["FracAtlas/images", "--labels", "FracAtlas/annotations/knees.json", "--out", "knees", "--plan-only"]
    done = run_tool_here("fit", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "knees/plan.json").read_text())["data"]
    assert (data["films"], data["rois"], data["classes"]) == (104, 104, ["knee"])
    assert (data["patients"], data["patients_said"]) == (95, "guessed")  # as many groups as convert made
    assert data["unlabelled"] == ["Fractured/IMG0000001.jpg"]


def test_patients_of_dicom_films(tmp_path):
    pytest.importorskip("pydicom")
    for n in range(COUNT):
        pixels = np.random.default_rng(n).integers(0, 255, (150, 120), np.uint8)
        write(tmp_path / f"films/f{n:02}.dcm", dicom_bytes.film(pixels, PatientID=f"{dicom_bytes.NUMBER}{n // 2}"))
    write(tmp_path / "labels.csv", table(HEAD, *[[row[0].replace("png", "dcm"), *row[1:]] for row in rows()]))
    said, plan = planned(tmp_path)
    assert "from the DICOM tag PatientID, which isn't stored" in said
    assert (plan["data"]["patients"], plan["data"]["patients_known"]) == (7, True)
    written = [path.read_text() for path in (tmp_path / "out").rglob("*.*") if path.is_file()]
    assert not any(dicom_bytes.NUMBER in text for text in (said, *written))


def test_given_folds_of_more_films(place):
    """Its groups are kept together, where patients aren't known otherwise."""
    given = [[row[0], f"g{n // 2}", 4 + n // 2 % 3] for n, row in enumerate(rows(20))]
    write(place / "folds.csv", table("image,group,fold", *given))
    said, plan = planned(place, "--folds", "folds.csv")
    assert "6 rows of folds.csv are for other films" in said
    assert "patients: as folds.csv groups the films" in said
    assert (plan["data"]["patients"], plan["data"]["patients_said"]) == (7, "guessed")
    _, plan = planned(place, "--folds", "folds.csv", "--patients", "film")
    assert (plan["data"]["patients"], plan["data"]["patients_known"]) == (14, True)


def test_boxes_to_ignore(place):
    """Of each class, if the table doesn't say which; a square over the edge is kept as drawn."""
    labels = [*rows()[1:], ["f00.png", -12, 60, 40, "hip"], *[[f"f{n:02}.png", 70, 80, 35, "hip"] for n in range(1, 4)]]
    write(place / "labels.csv", table(HEAD, *labels))
    write(
        place / "ignore.csv", table("image,x,y,side,label", ["f01.png", 100, 80, 60, ""], ["f02.png", 1, 90, 30, "hip"])
    )
    _, plan = planned(place, "--ignore", "ignore.csv")
    assert plan["data"]["ignored"] == 3
    coco = json.loads((place / "out/data/fit.json").read_text())
    ignored = [
        (each["image_id"], each["category_id"], each.get("square")) for each in coco["annotations"] if each["iscrowd"]
    ]
    assert [(film, label) for film, label, _ in ignored[:2]] == [(2, 1), (2, 2)]
    assert ignored[0][2] == [100, 80, 60, 60]
    assert [(each["bbox"], each["square"]) for each in coco["annotations"] if each["image_id"] == 1] == [
        ([0, 60, 28, 40], [-12, 60, 40, 40])
    ]
    write(place / "ignore.csv", table("image,x,y,side", ["f01.png", 200, 80, 60]))
    assert (
        "f01.png: box [200, 80, 260, 140] is less than 1 px wide or high" in fit(place, "--ignore", "ignore.csv").stderr
    )


def test_two_readers(place):
    moved = [[name, x + 1, y, side, label] for name, x, y, side, label in rows()]
    write(place / "b.csv", table(HEAD, *moved))
    done = run_tool_here(
        "fit", "films", "--labels", "A=labels.csv", "B=b.csv", "--out", "out", "--plan-only", cwd=place
    )
    assert done.returncode == 0, done.stderr
    assert (place / "out/data/fit.agreement.csv").read_text().count("\n") == COUNT + 1


def test_the_plan_is_a_config_that_stands_alone(place):
    said, plan = planned(place)
    text = (place / "out/config.py").read_text()
    assert "_base_" not in text
    assert str(place) not in text
    assert plan["plan"]["base"] == "hip_roi_resnet18"
    assert "Plan: hip_roi_resnet18 on 448 px" in said
    from mmengine.config import Config

    cfg = Config.fromfile(place / "out/config.py")
    assert cfg.data_root == cfg.train_dataloader.dataset.data_root == "data"
    assert cfg.model.bbox_head.num_classes == 1
