import json

import pytest

from hipdet.core.files import write_json
from hipdet.data.coco_file import Film, Roi, build_coco
from tool_runs import run_tool

ROIS = (Roi((1, 2, 31, 32), "hip", "left"), Roi((50, 2, 80, 32), "hip", "right"))


def annotations(path, names=("1", "2"), rois=ROIS):
    write_json(path, build_coco([Film(f"{n}.jpg", 90, 60, "s", f"P{n}", rois) for n in names], ["hip"], {}))


def run(cwd, *arguments):
    done = run_tool("validate", *arguments, cwd=cwd)
    assert "Traceback" not in done.stderr
    return done


def test_sound_real_films(shared, tmp_path):
    films = shared / "data/fracatlas_hips"
    assert run_tool("convert", "fracatlas", films, "--out", "ann", cwd=tmp_path).returncode == 0
    done = run(tmp_path, "ann/hips.json", "--data-root", films, "--strict")
    assert done.returncode == 0, done.stdout
    assert "1 files, 100 films: 0 errors, 0 warnings" in done.stdout


def test_films_are_where_the_environment_says(phantoms, tmp_path):
    done = run_tool("validate", phantoms / "annotations/gis.json", cwd=tmp_path, HIPDET_DATA=phantoms)
    assert done.returncode == 0, done.stdout
    assert "0 errors" in done.stdout


def test_errors_in_a_table_and_in_json(tmp_path):
    annotations(tmp_path / "a.json")
    coco = json.loads((tmp_path / "a.json").read_text())
    coco["annotations"][0]["bbox"] = [80, 2, 30, 30]
    coco["annotations"][2]["laterality"] = "left"
    write_json(tmp_path / "a.json", coco)
    done = run(tmp_path, "a.json", "--no-films", "--json", "report.json")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["error", "box-outside", "a.json", "annotation", "1", "1.jpg"]
    assert lines[1].startswith(
        "         found bbox [80, 2, 30, 30] [x, y, width, height] reaches 20 px out of the film"
    )
    assert "warning  sides-swapped" in done.stdout
    assert "warning  side-mirrored" in done.stdout
    assert "1 files, 2 films: 1 errors, 2 warnings" in lines[-1]
    assert max(map(len, lines)) <= 120
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["schema"], report["errors"], report["warnings"]) == (1, 1, 2)
    assert report["kinds"] == {"box-outside": 1, "side-mirrored": 1, "sides-swapped": 1}
    assert report["faults"][0]["id"] == "annotation 1"
    assert set(report["faults"][0]) == {"severity", "kind", "file", "id", "film", "found", "expected", "mend"}


def test_warnings_fail_only_when_strict(tmp_path):
    annotations(tmp_path / "a.json", rois=ROIS[:1])
    assert run(tmp_path, "a.json", "--no-films").returncode == 0
    done = run(tmp_path, "a.json", "--no-films", "--strict")
    assert done.returncode == 1
    assert done.stdout.count("too-few-rois") == 2
    assert run(tmp_path, "a.json", "--no-films", "--strict", "--rois", "1").returncode == 0
    assert run(tmp_path, "a.json", "--no-films", "--strict", "--rois", "any").returncode == 0


def test_missing_films_are_cut_off_in_the_table_but_not_in_json(tmp_path):
    annotations(tmp_path / "a.json", names=[str(n) for n in range(30)])
    (tmp_path / "films").mkdir()
    done = run(tmp_path, "a.json", "--data-root", "films", "--show", 5, "--json", "report.json")
    assert done.returncode == 1
    assert done.stdout.count("film-missing") == 6
    assert "error    film-missing       ... and 25 more" in done.stdout
    assert len(json.loads((tmp_path / "report.json").read_text())["faults"]) == 30


def test_files_that_share_patients(tmp_path):
    annotations(tmp_path / "train.json", names=("1", "2"))
    annotations(tmp_path / "val.json", names=("2", "3"))
    done = run(tmp_path, "train.json", "val.json", "--no-films")
    assert done.returncode == 0
    assert "warning  patient-shared     train.json  patient s P2  2.jpg" in done.stdout
    assert "warning  film-shared        train.json  2.jpg" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.json"], "error: none.json: no such file: check the path, or make it with hipdet convert"),
        (["a.json", "sub/a.json"], "two annotation files have the same name"),
        (["a.json", "--square-tolerance", "nan"], "--square-tolerance nan: expected a share from 0 to 1"),
        (["a.json", "--rois", "0"], "'0': expected a number from 1 up, or any"),
        ([], "the following arguments are required"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    annotations(tmp_path / "a.json")
    annotations(tmp_path / "sub/a.json")
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_broken_files_are_faults(tmp_path):
    (tmp_path / "a.json").write_text("{")
    done = run(tmp_path, "a.json", "--no-films")
    assert done.returncode == 1
    assert "error    file-not-json      a.json" in done.stdout


def test_names_can_not_steer_the_terminal(tmp_path):
    """ESC codes and ends of lines in names, patients and classes: escaped by all commands that print them."""
    annotations(tmp_path / "a.json")
    coco = json.loads((tmp_path / "a.json").read_text())
    coco["images"][0]["file_name"] = "a\x1b[2J\nerror: none.jpg"
    coco["images"][1].update(patient="P\x1b[1m\n0 patients", status="excluded", exclude="\x9b1m\u2028x")
    coco["categories"][0]["name"] = "hip\x1b[0m"
    coco["annotations"][0]["bbox"] = ["\x1b[3m"]
    write_json(tmp_path / "a.json", coco)
    coco["images"][0]["file_name"], coco["categories"][0]["name"] = "1.jpg", "hip"
    coco["annotations"][0]["bbox"] = [1, 2, 30, 30]
    for name in "bc":
        write_json(tmp_path / f"{name}.json", coco)
    for arguments in (
        ("validate", "a.json", "b.json", "c.json", "--no-films", "--show", 0),
        ("split", "a.json"),
        ("split", "b.json", "--val", 0.5),
        ("split", "--check", "b.json", "c.json"),
        ("agree", "b.json", "c.json"),
        ("browse", "a.json", "--data-root", "."),
        ("convert", "folder", ".", "--labels", "a.json"),
    ):
        done = run_tool(*arguments, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        for line in (done.stdout + done.stderr).splitlines():
            assert line.isprintable(), arguments
            assert not line.startswith(("error: none", "0 patients")), arguments


def test_one_strict_reader(tmp_path):
    """What convert refuses as JSON, validate and split refuse; a byte order mark is no fault."""
    annotations(tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "twice.json").write_text(text.replace('"info": {}', '"info": {}, "info": {}'))
    (tmp_path / "huge.json").write_text(text.replace('"info": {}', '"info": {"a": 1e400}'))
    assert run(tmp_path, "bom.json", "--no-films", "--strict").returncode == 0
    assert run_tool("split", "bom.json", "--val", 0.5, cwd=tmp_path).returncode == 0
    for name, reason in (("twice", "key 'info' occurs twice in an object"), ("huge", "'1e400' is too large a number")):
        assert f"found not JSON ({reason})" in run(tmp_path, f"{name}.json", "--no-films").stdout
        for command in (["split"], ["convert", "folder", ".", "--labels"]):
            done = run_tool(*command, f"{name}.json", cwd=tmp_path)
            assert done.returncode == 2
            assert reason in done.stderr or "no films" in done.stderr


def test_help_shows_examples(tmp_path):
    assert "examples:\n  hipdet validate data/annotations/cgoa.json" in run(tmp_path, "--help").stdout
