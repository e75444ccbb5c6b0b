"""hipdet convert, validate, split and agree on what is faulty, odd or stored on a full disk."""

import csv
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections import Counter
from functools import partial

import pytest

from film_sources import film, make_cgoa, make_gis, table, voc, write
from hipdet.inference.film_list import PassedOver, film_sources
from tool_runs import of_checkout, run_python, run_tool


def exclusions(path):
    with path.open(encoding="utf-8", newline="") as file:
        return dict(list(csv.reader(file))[1:])


def boxes_of(path):
    """The number of boxes of each film of a COCO file."""
    coco = json.loads(path.read_text())
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    return {**dict.fromkeys(names.values(), 0), **Counter(names[each["image_id"]] for each in coco["annotations"])}


def csv_labels(second="110,20,50"):
    """Two boxes on each of two films; `second` is the second box of a.png."""
    return f"image,x,y,side,label\na.png,10,20,50,hip\na.png,{second},hip\nb.png,10,20,50,hip\nb.png,110,20,50,hip\n"


def coco_labels():
    boxes = [[10 + 100 * (n % 2), 20, 50, -10 if n == 1 else 50] for n in range(4)]
    images = [dict(id=n, file_name=f"{name}.png", width=200, height=180) for n, name in enumerate("ab")]
    annotations = [dict(id=n, image_id=n // 2, category_id=0, bbox=box) for n, box in enumerate(boxes)]
    return json.dumps(dict(images=images, annotations=annotations, categories=[dict(id=0, name="hip")]))


LEFT, RIGHT, EMPTY = (10, 20, 60, 70), (110, 20, 160, 70), (110, 20, 100, 70)
SOUND_VOC, SOUND_YOLO = voc("b.png", 200, 180, LEFT, RIGHT), "0 .2 .3 .2 .2\n0 .7 .3 .2 .2\n"
FAULTY = {
    "csv": {"labels.csv": csv_labels("110,x,50")},
    "csv of another length": {"labels.csv": csv_labels("110,20,5,0")},
    "coco": {"labels.json": coco_labels()},
    "voc": {"labels/a.xml": voc("a.png", 200, 180, LEFT, EMPTY), "labels/b.xml": SOUND_VOC},
    "voc cut short": {"labels/a.xml": "<annotation><filename>a.png", "labels/b.xml": SOUND_VOC},
    "yolo": {"labels/a.txt": SOUND_YOLO[:-4], "labels/b.txt": SOUND_YOLO, "labels/classes.txt": "hip\n"},
    "two annotators": {"labels/A/l.csv": csv_labels(), "labels/B/l.csv": csv_labels("110,20,")},
}


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_labels_can_be_left_out(tmp_path, name):
    """Never with fewer boxes than were drawn: the whole film is left out, and the table says why."""
    for seed, film_name in enumerate("ab"):
        write(tmp_path / f"films/{film_name}.png", film(200, 180, "PNG", None, seed))
    for path, content in FAULTY[name].items():
        write(tmp_path / "films" / path, content)
    options = ["--source", "s", "--rois", 2] if name != "yolo" else ["--source", "s", "--labels", "films/labels"]
    refused = run_tool("convert", "folder", "films", *options, cwd=tmp_path)
    assert (refused.returncode, "1 fault" in refused.stderr) == (2, True), refused.stderr
    done = run_tool("convert", "folder", "films", *options, "--skip-faulty", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert boxes_of(tmp_path / "films/annotations/s.json") == {"b.png": 2}
    reason = refused.stderr.splitlines()[1].strip()
    film_name = "a.xml" if "cut short" in name else "a.png"  # nobody knows which film it was of
    excluded = exclusions(tmp_path / "films/annotations/s.exclusions.csv")
    assert excluded[film_name] == f"faulty label: {reason}"
    assert "a.png" in excluded


def test_surplus_and_faulty_rows_of_a_table_can_be_left_out(tmp_path):
    make_gis(tmp_path / "GIS")
    write(
        tmp_path / "GIS/labels.csv",
        table(
            "image,x,y,side,label", *([f"{name}", x, 20, 50, "hip"] for name in ("a.jpg", "b.png") for x in (20, 120))
        ),
    )
    write(tmp_path / "t.csv", "film,patient\na.jpg,P1\nb.png,P2\nb.png,P3\ngone.jpg,P4\n")
    write(tmp_path / "e.csv", "film,reason\nchild.jpg,age 3\nunknown.jpg,blurred\n")
    options = ["folder", "GIS", "--table", "t.csv", "--exclude", "e.csv", "--source", "s"]
    assert run_tool("convert", *options, cwd=tmp_path).returncode == 2
    done = run_tool("convert", *options, "--skip-faulty", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert boxes_of(tmp_path / "GIS/annotations/s.json") == {"a.jpg": 2}
    excluded = exclusions(tmp_path / "GIS/annotations/s.exclusions.csv")
    faulty = "faulty row of a table: "
    assert excluded["b.png"] == f"{faulty}t.csv: line 4: 'b.png' is in line 3 too, expected once: remove one"
    assert excluded["gone.jpg"] == f"{faulty}t.csv: line 5: 'gone.jpg': no such film"
    assert excluded["unknown.jpg"] == f"{faulty}e.csv: line 3: 'unknown.jpg': no such film"
    assert "     3  faulty row of a table" in done.stdout
    record = json.loads((tmp_path / "GIS/annotations/s.provenance.json").read_text())
    assert [(each["option"], each["path"], each["files"]) for each in record["tables"]] == [
        ("table", "t.csv", 1),
        ("exclude", "e.csv", 1),
    ]


def test_faulty_rows_of_cgoa_leave_out_the_pair(tmp_path):
    """A reading that can't be used may have been a fracture."""
    make_cgoa(tmp_path / "CGOA")
    rows = (tmp_path / "CGOA/films.csv").read_text()
    write(tmp_path / "CGOA/films.csv", rows.replace("0001_post.jpg,P1,OA,0", "0001_post.jpg,P1,OA,?"))
    done = run_tool("convert", "cgoa", "CGOA", "--skip-faulty", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(boxes_of(tmp_path / "CGOA/annotations/cgoa.json")) == ["images/0003.jpg", "images/0005.jpg"]
    excluded = exclusions(tmp_path / "CGOA/annotations/cgoa.exclusions.csv")
    for film_name in ("0001_pre", "0001_post"):
        reason = excluded[f"images/{film_name}.jpg"]
        assert reason.startswith(
            "faulty row of a table: films.csv: line 3 (images/0001_post.jpg): column fracture is '?'"
        )
    record = json.loads((tmp_path / "CGOA/annotations/cgoa.provenance.json").read_text())
    assert [each["path"] for each in record["tables"]] == ["films.csv"]


def test_classes_and_labels_that_do_not_occur(tmp_path):
    make_gis(tmp_path / "GIS")
    options = ["--classes", "knee", "hip", "--rename", "Knee=knee"]
    done = run_tool("convert", "folder", "GIS", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "warning: class 'knee' has no box: labels in the files are hip" in done.stdout
    assert "warning: --rename 'Knee': no box has this label, labels in the files are hip" in done.stdout
    done = run_tool("convert", "folder", "GIS", "--rename", "hip=Hip", cwd=tmp_path)
    assert "warning" not in done.stdout


def test_copies_are_no_films_of_their_own(tmp_path):
    """Whatever they are called, and in whichever folder: labelling and converting passes over them, and says so."""
    make_gis(tmp_path / "GIS")
    done = run_tool("convert", "folder", "GIS", "--source", "s", "--copies", 64, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # but the copies can be used by themselves
    done = run_tool("convert", "folder", "GIS/s_64", "--labels", "GIS/annotations/s.json", "--out", "o", cwd=tmp_path)
    assert (done.returncode, "passed over" in done.stderr) == (0, False), done.stderr
    films = len(list((tmp_path / "GIS").glob("*.*g")))
    for command in (["--source", "other"], ["--source", "s"]):
        done = run_tool("convert", "folder", "GIS", *command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "s_64: passed over, as it holds copies that hipdet convert made" in done.stderr
        record = json.loads((tmp_path / f"GIS/annotations/{command[1]}.provenance.json").read_text())
        assert record["films"] + sum(record["excluded"].values()) == films
    passed = PassedOver()
    assert len(list(film_sources(tmp_path / "GIS", passed=passed))) == films
    assert passed.lines() == ["passed over: folders with copies of hipdet convert (1, the first: s_64)"]
    assert list(film_sources(tmp_path / "GIS/s_64"))


ODD = (b"caf\xe9.png", "große Hüfte.png".encode(), b"a%b.png", b"=cmd()|x.png", b"esc\x1b[2J.png", b"new\nline.png")
LOCALES = ({"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})


@pytest.mark.parametrize("locale", LOCALES, ids=["UTF-8", "ASCII"])
def test_any_names_in_any_locale(tmp_path, locale):
    """Convert, also with copies, validate, split, agree: names as UTF-8, other bytes as percent escapes."""
    os.makedirs(tmp_path / "Röntgen")
    for seed, name in enumerate(ODD):
        (tmp_path / "Röntgen" / os.fsdecode(name)).write_bytes(film(200, 180, "PNG", None, seed))
    names = ["caf%E9.png", "große Hüfte.png", "a%b.png", "=cmd()|x.png", "esc%1B[2J.png", "new%0Aline.png"]
    write(
        tmp_path / "Hüften.csv",
        table("image,x,y,side,label", *([n, x, 20, 50, "Hüfte"] for n in names for x in (10, 110))),
    )
    write(tmp_path / "Patienten.csv", table("film,patient", *([name, f"Ü{n}"] for n, name in enumerate(names))))

    def run(*arguments):
        done = run_python("-m", "hipdet", *arguments, cwd=tmp_path, **locale)
        assert done.returncode == 0, done.stderr
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", done.stdout)

    run("convert", "folder", "Röntgen", "--labels", "Ä=Hüften.csv", "--table", "Patienten.csv", "--source", "Größe",
        "--copies", "64", "--data-root", "Ausgabe")  # fmt: skip
    run("validate", "Ausgabe/annotations/Größe.json", "--data-root", "Ausgabe", "--classes", "Hüfte", "--rois", "2")
    run("split", "Ausgabe/annotations/Größe.json", "--val", "0.4", "--merge", "Höhe", "--out", "Teile")
    run("split", "--check", "Teile/Größe_train.json", "Teile/Größe_val.json", "--json", "Teile/geprüft.json")
    shutil.copy(tmp_path / "Ausgabe/annotations/Größe.json", tmp_path / "ß.json")
    run("agree", "Ausgabe/annotations/Größe.json", "ß.json", "--out", "einig")
    coco = json.loads((tmp_path / "Ausgabe/annotations/Größe.json").read_text(encoding="utf-8"))
    assert sorted(image["original"] for image in coco["images"]) == sorted(names)
    assert {image["patient"] for image in coco["images"]} == {f"Ü{n}" for n in range(6)}
    assert {image["source"] for image in coco["images"]} == {"Größe"}
    assert [category["name"] for category in coco["categories"]] == ["Hüfte"]
    part = json.loads((tmp_path / "Teile/Höhe_val.json").read_text(encoding="utf-8"))
    assert part["info"]["split"]["of"] == ["Größe.json"]
    for path in (each for folder in ("Ausgabe", "Teile", "einig") for each in (tmp_path / folder).rglob("*.[cj]s*")):
        assert not re.search(r"[\ud800-\udfff]|\\\\ud[89a-f]", path.read_text(encoding="utf-8")), path


def on_a_full_disk(arguments, cwd, limit):
    """Run hipdet where no file can grow beyond `limit` bytes; other faults of the disk take the same way."""
    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
    command = [sys.executable, "-m", "hipdet", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=of_checkout(), capture_output=True, text=True, preexec_fn=full)


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["convert", "folder", "GIS"], "GIS/annotations/folder."),
        (["convert", "folder", "GIS", "--copies", 256, "--workers", 2], "GIS/folder_256/"),
        (["validate", "a.json", "--no-films", "--json", "o/report.json"], "o/report.json"),
        (["split", "a.json", "--val", 0.5, "--out", "o"], "o/a_"),
        (["agree", "a.json", "b.json", "--out", "o"], "o/agreement."),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_full_disk(tmp_path, arguments, file):
    make_gis(tmp_path / "GIS")
    assert run_tool("convert", "folder", "GIS", "--out", ".", cwd=tmp_path).returncode == 0
    for name in "ab":
        shutil.copy(tmp_path / "folder.json", tmp_path / f"{name}.json")
    done = on_a_full_disk(arguments, tmp_path, 200)
    assert done.returncode == 3, done.stderr
    assert re.fullmatch(rf"error: {re.escape(file)}.*: File too large\n", done.stderr.splitlines(keepends=True)[-1])
    assert "Traceback" not in done.stderr
    assert not [path for path in tmp_path.rglob(".*") if path.suffix in (".json", ".csv", ".png")]
    # what was written is whole
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text())
