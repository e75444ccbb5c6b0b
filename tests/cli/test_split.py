import json
import os

import pytest

from hipdet.core.annotations import Group, get_mark, get_patients
from hipdet.core.files import write_json
from hipdet.data.coco_file import Film, Roi, build_coco
from hipdet.data.sources.fracatlas import convert_fracatlas
from hipdet.data.split_files import Division, split_files
from tool_runs import run_tool


def annotations(path, source="cgoa", count=20, classes=("hip",), folder=None):
    rois = (Roi((1, 2, 31, 32), classes[0]), Roi((50, 2, 80, 32), classes[0]))
    films = [Film(f"{folder or source}/{n}.jpg", 90, 60, source, f"P{n // 2}", rois) for n in range(count)]
    write_json(path, build_coco(films, classes, {"description": source}))
    return path


def test_ninety_ten(tmp_path):
    for name in ("cgoa", "oaih"):
        annotations(tmp_path / f"{name}.json", name)
    done = run_tool("split", "cgoa.json", "oaih.json", "--merge", "both", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = {
        line.split()[0]: line.split()[1:4] for line in done.stdout.splitlines() if line.split()[0].endswith(".json")
    }
    assert lines == {
        "cgoa_train.json": ["18", "36", "9"], "cgoa_val.json": ["2", "4", "1"],
        "oaih_train.json": ["18", "36", "9"], "oaih_val.json": ["2", "4", "1"],
        "both_train.json": ["36", "72", "18"], "both_val.json": ["4", "8", "2"],
    }  # fmt: skip
    assert "both: no patient is on both sides of a split" in done.stdout
    part = json.loads((tmp_path / "both_val.json").read_text())
    assert [image["id"] for image in part["images"]] == [1, 2, 3, 4]
    assert part["info"] == {
        "split": {"part": "val", "of": ["cgoa.json", "oaih.json"], "val": 0.1, "seed": 0, "by": "patient"}
    }
    one = json.loads((tmp_path / "cgoa_val.json").read_text())
    assert one["info"]["description"] == "cgoa"
    whole = json.loads((tmp_path / "cgoa.json").read_text())
    assert all(image in whole["images"] for image in one["images"])  # ids stay
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    run_tool("split", "cgoa.json", "oaih.json", "--merge", "both", cwd=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.json")} == before


def test_a_patient_in_two_files_is_on_one_side_of_the_merged_split(tmp_path):
    paths = [
        annotations(tmp_path / f"{name}.json", "cgoa", count, folder=name) for name, count in (("a", 30), ("b", 20))
    ]
    for seed in range(5):
        *alone, _ = split_files(paths, Division(seed=seed), tmp_path / "out", "both")
        sides = {
            side: {image["patient"] for parts in alone for path, coco in parts.files.items() if side in path.stem
                   for image in coco["images"]}
            for side in ("train", "val")
        }  # fmt: skip
        assert not sides["train"] & sides["val"]
    # by themselves the same patients are drawn apart
    a, b = split_files(paths, Division(seed=4), tmp_path / "out")
    assert a.leak == b.leak == "no patient is on both sides of a split"


UNKNOWN = "patients aren't known: each film is treated as its own patient; films of one patient may be on both sides"


def without_patients(path):
    coco = json.loads(annotations(path, path.stem).read_text())
    for image in coco["images"]:
        image["patient"] = image["file_name"]
    coco["info"]["patients"] = "unknown"
    write_json(path, coco)
    return path


def test_no_claim_where_patients_are_not_known(tmp_path):
    unknown, known = without_patients(tmp_path / "a.json"), annotations(tmp_path / "b.json")
    alone, other, both = split_files([unknown, known], Division(), merge="both")
    assert [parts.leak for parts in (alone, other, both)] == [
        UNKNOWN,
        "no patient is on both sides of a split",
        UNKNOWN,
    ]
    assert both.notes == ["patients of a.json aren't known"]
    for parts in (alone, both):
        assert {part["info"]["patients"] for part in parts.files.values()} == {"unknown"}
    assert not any("patients" in part["info"] for part in other.files.values())
    folds = split_files([unknown], Division(folds=2))[0]
    assert folds.leak == UNKNOWN
    assert {part["info"]["patients"] for part in folds.files.values()} == {"unknown"}
    again = split_files([tmp_path / "a_fold0_train.json"], Division({"val": 0.5}))[0]  # parts of parts
    assert again.leak == UNKNOWN


def test_known_patients_stay_known_when_files_are_merged(tmp_path):
    """Also when what was merged is merged with others, or divided, again."""
    known = annotations(tmp_path / "b.json")
    whole = {image["file_name"]: ("cgoa", image["patient"]) for image in json.loads(known.read_text())["images"]}
    paths, merged = [without_patients(tmp_path / "a.json"), known], "first"
    for more in ("c.json", "d.json"):
        parts = split_files(paths, Division({"val": 0.5}), merge=merged)[-1]
        assert get_patients(parts.files.values()) == whole
        for coco in parts.files.values():
            assert {get_mark(image) for image in coco["images"]} == {"unknown", ""}
            assert coco["info"]["patients"] == "unknown"
        joined = dict(parts.files[tmp_path / f"{merged}_train.json"])
        whole = get_patients([joined])
        write_json(tmp_path / "joined.json", joined)
        paths, merged = [tmp_path / "joined.json", without_patients(tmp_path / more)], "second"


GUESSED = "patients aren't known; groups of neighbouring numbers are kept together"


@pytest.fixture(scope="module")
def fracatlas(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fracatlas")
    convert_fracatlas(shared / "data/fracatlas_hips", out=folder)
    return folder


def test_groups_that_may_be_of_a_patient_are_kept_together_and_called_so(fracatlas, tmp_path):
    known = annotations(tmp_path / "b.json")
    alone, _, both = split_files([fracatlas / "hips.json", known], Division(folds=2), tmp_path, "both")
    assert (alone.leak, both.leak) == (GUESSED, GUESSED)
    assert both.notes == ["patients of hips.json aren't known"]
    for parts in (alone, both):
        assert {part["info"]["patients"] for part in parts.files.values()} == {"guessed"}
    test = both.files[tmp_path / "both_fold0_test.json"]
    patients = get_patients([test])
    assert {image["source"]: type(patients[image["file_name"]]) for image in test["images"]} == {
        "fracatlas": Group,
        "cgoa": tuple,
    }
    by_image = split_files([fracatlas / "hips.json"], Division({"val": 0.5}, by="image"), tmp_path / "image")[0]
    assert by_image.leak.endswith("patients or groups are on both sides of a split: metrics will be too optimistic")
    unknown = without_patients(tmp_path / "a.json")
    assert split_files([fracatlas / "hips.json", unknown], Division(), tmp_path, "c")[-1].leak == UNKNOWN


def test_check_and_validate_say_that_patients_are_guessed(fracatlas, tmp_path):
    folds = [fracatlas / f"fold0_{part}.json" for part in ("train", "test")]
    done = run_tool("split", "--check", *folds, "--json", "leak.json", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == [f"fold0_train.json: {GUESSED}", f"fold0_test.json: {GUESSED}"]
    leak = json.loads((tmp_path / "leak.json").read_text())
    assert (leak["patients_unknown"], leak["patients_guessed"]) == ([], ["fold0_train.json", "fold0_test.json"])
    done = run_tool("validate", folds[0], "--no-films", "--json", "report.json", cwd=tmp_path)
    assert f"fold0_train.json: {GUESSED}" in done.stdout.splitlines()
    assert [each["patients"] for each in json.loads((tmp_path / "report.json").read_text())["files"]] == ["guessed"]


def test_split_check_and_validate_say_that_patients_are_not_known(tmp_path):
    without_patients(tmp_path / "a.json"), annotations(tmp_path / "b.json")
    done = run_tool("split", "a.json", cwd=tmp_path)
    assert f"a: {UNKNOWN}" in done.stdout.splitlines()
    assert "no patient is on both sides of a split" not in done.stdout
    done = run_tool("split", "--check", "a_train.json", "b.json", "--json", "leak.json", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == f"a_train.json: {UNKNOWN}"
    assert json.loads((tmp_path / "leak.json").read_text())["patients_unknown"] == ["a_train.json"]
    done = run_tool("validate", "a_train.json", "a_val.json", "--no-films", "--json", "report.json", cwd=tmp_path)
    assert done.returncode == 0
    assert f"a_val.json: {UNKNOWN}" in done.stdout.splitlines()
    assert [each["patients"] for each in json.loads((tmp_path / "report.json").read_text())["files"]] == ["unknown"] * 2


def test_folds_and_check(tmp_path):
    annotations(tmp_path / "a.json")
    done = run_tool("split", "a.json", "--folds", 3, "--out", "folds", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tests = [json.loads((tmp_path / f"folds/a_fold{n}_test.json").read_text())["images"] for n in range(3)]
    assert sorted(image["id"] for fold in tests for image in fold) == list(range(1, 21))
    sides = [f"folds/a_fold0_{part}.json" for part in ("train", "test")]
    assert run_tool("split", "--check", *sides, cwd=tmp_path).returncode == 0
    done = run_tool("split", "--check", sides[0], "folds/a_fold1_test.json", "--json", "leak.json", cwd=tmp_path)
    assert done.returncode == 1
    assert "patients in more than one file" in done.stdout
    leak = json.loads((tmp_path / "leak.json").read_text())
    assert len(leak["films"]) == len(tests[1])
    assert leak["patients"][0]["files"] == ["a_fold0_train.json", "a_fold1_test.json"]


@pytest.mark.parametrize("column", ["group", "patient"])
def test_given_folds(tmp_path, column):
    """Three of five folds occur, and the table has more films; its groups count where patients aren't known."""
    annotations(tmp_path / "b.json")
    coco = json.loads(without_patients(tmp_path / "a.json").read_text())
    coco["images"][0].update(file_name="a_448/0.png", original="a/0.jpg")  # a copy
    write_json(tmp_path / "a.json", coco)
    rows = [f"{n}.jpg,G{n // 4},{(0, 2, 4)[n // 4 % 3]}" for n in range(20)] + ["other.jpg,G9,1"]
    (tmp_path / "folds.csv").write_text("\n".join([f"image,{column},fold", *rows]))
    for name in ("a", "b"):
        done = run_tool("split", f"{name}.json", "--folds", "folds.csv", "--out", "folds", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"{name}: 1 rows of folds.csv are for other films" in done.stdout
    tests = [json.loads((tmp_path / f"folds/a_fold{n}_test.json").read_text()) for n in range(3)]
    assert [[image["id"] - 1 for image in coco["images"]] for coco in tests] == [
        [0, 1, 2, 3, 12, 13, 14, 15], [4, 5, 6, 7, 16, 17, 18, 19], [8, 9, 10, 11]
    ]  # fmt: skip
    assert not (tmp_path / "folds/a_fold3_test.json").exists()
    assert tests[0]["info"]["split"] == {"part": "fold0_test", "of": "a.json", "folds": 3, "by": "table"}
    patients = get_patients(tests)
    assert {type(patient) for patient in patients.values()} == ({Group} if column == "group" else {tuple})
    assert len({*patients.values()}) == 5
    assert json.loads((tmp_path / "folds/b_fold2_test.json").read_text())["images"][0]["patient"] == "P4"  # its own


def test_by_image_says_that_it_leaks(tmp_path):
    annotations(tmp_path / "a.json")
    done = run_tool("split", "a.json", "--by", "image", "--val", 0.5, cwd=tmp_path)
    assert done.returncode == 0
    assert "patients are on both sides of a split: metrics will be too optimistic" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.json"], "none.json: 1 fault"),
        (["a.json", "--val", "0"], "parts are val 0.0, expected each above 0"),
        (["a.json", "--val", "nan"], "parts are val nan"),
        (["a.json", "--val", "0.9", "--test", "0.3"], "together below 1"),
        (["a.json", "--val", "x"], "invalid float value: 'x'"),
        (["a.json", "--folds", "1"], "folds is 1, expected 2 to 10"),
        (["a.json", "--folds", "11"], "folds is 11, expected 2 to 10"),
        (["a.json", "--folds", "none.csv"], "none.csv: can't be read"),
        (["a.json", "--folds", "one.csv"], "one.csv: 19 faults"),
        (["a.json", "--folds", "two.csv"], "line 3: cgoa/0.jpg is in fold 0, too, expected one fold: remove one"),
        (
            ["a.json", "--folds", "divided.csv"],
            "line 3: group G is in fold 1, and with 0.jpg in fold 0: expected one fold",
        ),
        (["a.json", "--folds", "3", "--val", "0.2"], "not allowed with argument"),
        (["a.json", "--folds", "3", "--test", "0.2"], "--test and --folds: expected one of them"),
        (["a.json", "sub/a.json"], "names are a, a, expected each once"),
        (["a.json", "--merge", "a"], "names are a, a, expected each once"),
        (["a.json", "knees.json", "--merge", "all"], "classes are ['knee'], expected ['hip'] as in the other files"),
        (["single.json"], "single_val would have no films"),
        (["nobody.json"], "has no patient, so films of one patient can't be kept together"),
        (["broken.json"], "not JSON"),
        (["a.json", "--check"], "--check: expected two files or more"),
        (["a.json", "sub/a.json", "--check"], "two files have the same name"),
        (["a.json", "--merge", "../x"], "--merge '../x': expected a name without folders, as files are named so"),
        (["a.json", "--merge", "sub/x"], "--merge 'sub/x': expected a name without folders"),
        (["a.json", "same.json", "--merge", "all"], "cgoa/0.jpg is in a.json and same.json, expected each film once"),
        (["odd.json"], "image 1 (cgoa/0.jpg): patient is ['P0'], expected a name or a number: fix it"),
        (["huge.json"], "'1e400' is too large a number"),
        (["a.json", "--json", "x.json"], "--json: only with --check"),
        (["a.json", "--out", "broken.json/x"], "broken.json"),
    ],
)
def test_bad_input(tmp_path, arguments, message):
    annotations(tmp_path / "a.json")
    annotations(tmp_path / "sub/a.json")
    annotations(tmp_path / "knees.json", "knees", classes=("knee",))
    annotations(tmp_path / "single.json", count=2)
    coco = json.loads((tmp_path / "a.json").read_text())
    for image in coco["images"]:
        del image["patient"]
    write_json(tmp_path / "nobody.json", coco)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "one.csv").write_text("image,fold\n0.jpg,0\n")
    (tmp_path / "divided.csv").write_text("image,group,fold\n0.jpg,G,0\n1.jpg,G,1\n")
    (tmp_path / "two.csv").write_text("image,fold\ncgoa/0.jpg,0\ncgoa/0.jpg,1\n")
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "same.json").write_text(text)
    (tmp_path / "odd.json").write_text(text.replace('"P0"', '["P0"]').replace('"source": "cgoa"', '"source": {}', 1))
    (tmp_path / "huge.json").write_text(text.replace('"P0"', "1e400"))
    before = sorted(tmp_path.rglob("*"))
    done = run_tool("split", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_patients_are_names(tmp_path):
    """0 is a patient, and 1, 1.0 and "1" are one; so is the source."""
    coco = json.loads(annotations(tmp_path / "a.json").read_text())
    of_films = [0, "0", 0.0, 1, "1", 1.0, 2, 2, 3, "3", *range(4, 14)]
    for number, (image, patient) in enumerate(zip(coco["images"], of_films)):
        image.update(patient=patient, source=7 if number % 2 else "7")
    coco["info"] = None
    write_json(tmp_path / "a.json", coco)
    for division in (Division({"val": 0.3, "test": 0.3}), Division(folds=4)):
        (made,) = split_files([tmp_path / "a.json"], division, tmp_path / "out")
        assert made.leak == "no patient is on both sides of a split"
        held_out = [part for path, part in made.files.items() if not path.stem.endswith("train")]
        sides = [{str(image["patient"]).removesuffix(".0") for image in part["images"]} for part in held_out]
        assert all(sides)
        assert sum(map(len, sides)) == len(set().union(*sides))
    patients = get_patients([coco])
    assert len(set(patients.values())) == 14
    assert patients["cgoa/0.jpg"] == ("7", "0")
    # in two files, as a number here and as a text there
    for name, films in (("b", coco["images"][3:4]), ("c", coco["images"][4:5])):
        write_json(tmp_path / f"{name}.json", {**coco, "images": films, "annotations": [
            each for each in coco["annotations"] if each["image_id"] == films[0]["id"]
        ]})  # fmt: skip
    done = run_tool("split", "--check", "b.json", "c.json", cwd=tmp_path)
    assert (done.returncode, "1 patients in more than one file" in done.stdout) == (1, True)


def test_an_interruption_leaves_no_part_alone(tmp_path, monkeypatch):
    path = annotations(tmp_path / "a.json")
    dumps, count = json.dump, []

    def interrupted(*arguments, **options):
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt
        dumps(*arguments, **options)

    monkeypatch.setattr("hipdet.core.files.json.dump", interrupted)
    with pytest.raises(KeyboardInterrupt):
        split_files([path], Division())
    assert os.listdir(tmp_path) == ["a.json"]


def test_help_shows_examples(tmp_path):
    done = run_tool("split", "--help", cwd=tmp_path)
    assert "examples:\n  hipdet split data/annotations/cgoa.json" in done.stdout
