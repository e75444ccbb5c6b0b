import pytest

from film_sources import film, table, voc, write
from hipdet.core.errors import DatasetError
from hipdet.data.candidates import Found, Rules
from hipdet.data.collect import LabelSource, collect, default_labels
from hipdet.data.match import find_films


def test_found_beside_the_films(tmp_path):
    path = write(tmp_path / "labels.csv", "")
    assert default_labels(tmp_path, []) == {"": path}


def test_folders_are_annotators(tmp_path):
    for name in ("RL", "SC"):
        write(tmp_path / f"labels/{name}/a.xml", "")
    assert default_labels(tmp_path, []) == {name: tmp_path / "labels" / name for name in ("RL", "SC")}
    write(tmp_path / "labels/classes.txt", "")  # now it is one folder of labels
    assert default_labels(tmp_path, []) == {"": tmp_path / "labels"}


def test_given(tmp_path):
    assert {name: str(path) for name, path in default_labels(tmp_path, ["a=x", "b=y/z"]).items()} == {
        "a": "x",
        "b": "y/z",
    }
    assert {name: str(path) for name, path in default_labels(tmp_path, ["x"]).items()} == {"": "x"}


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [
        ([], [], r"label files named labels or labels\.\*: found none, expected one: add --labels PATH"),
        (["labels.csv", "labels.json"], [], r"found labels\.csv, labels\.json, expected one"),
        ([], ["x", "y"], "labels are x y, expected NAME=PATH with a name of its own"),
        ([], ["a=x", "a=y"], "expected NAME=PATH"),
    ],
)
def test_bad_labels(tmp_path, files, given, message):
    for name in files:
        write(tmp_path / name, "")
    with pytest.raises(DatasetError, match=message):
        default_labels(tmp_path, given)


def test_a_film_labelled_twice_by_one(tmp_path):
    write(tmp_path / "f/a.jpg", film(90, 60))
    for folder in ("one", "two"):
        write(tmp_path / f"labels/{folder}/a.xml", voc("a.jpg", 90, 60, (10, 10, 30, 30), (50, 10, 70, 30)))
    found = Found(tuple(find_films(tmp_path / "f", "s")))
    collected = collect(found, LabelSource({"": tmp_path / "labels"}), Rules("s"))
    (fault,) = collected.faults
    assert str(fault.reason) == "labelled twice, the second time in a.xml: remove one"
    both = LabelSource({name: tmp_path / "labels" / name for name in ("one", "two")})
    assert len(collect(found, both, Rules("s")).films) == 1


def test_every_fault_shows_in_one_run(tmp_path):
    for name in ("a", "b", "c", "d"):
        write(tmp_path / f"{name}.jpg", film(90, 60))
    write(tmp_path / "b.jpg", (tmp_path / "b.jpg").read_bytes()[:-9])
    rows = [
        ["a.jpg", 80, 10, 20, "hip"],
        ["b.jpg", 10, 10, 20, "hip"],
        ["c.jpg", 10, 10, 20, "knee"],
        ["d.jpg", 10, 10, 20, "hip"],
    ]
    labels = write(tmp_path / "labels.csv", table("image,x,y,side,label", *rows))
    collected = collect(Found(tuple(find_films(tmp_path, "s"))), LabelSource({"": labels}), Rules("s", rois=1))
    assert [(fault.name, fault.reason.split(":")[0].split(" [")[0]) for fault in collected.faults] == [
        ("a.jpg", "box"), ("b.jpg", "cut short (the JPEG has no end marker)"),
        ("c.jpg", "label 'knee' found, expected one of hip"),
    ]  # fmt: skip
    assert [film.file_name for film, _ in collected.films] == ["d.jpg"]
