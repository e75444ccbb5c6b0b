"""From the annotator's file, with a film of every status, to the films of training."""

import json
from pathlib import Path

import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from annotation_parts import HIPS, SIZE, films_in, open_session, state
from hipdet.anchors.rois import LabelledSet
from hipdet.annotate.film_state import FilmState, Project
from hipdet.core.errors import DatasetError
from hipdet.data.candidates import Rules
from hipdet.data.coco_file import Roi
from hipdet.data.collect import LabelSource
from hipdet.data.convert import Output, convert_found
from hipdet.data.sources.folder import find_folder
from hipdet.data.split_files import Division, split_files
from places import REPOSITORY
from tool_runs import run_tool

COUNTED = "3 films are left out: 1 incomplete, 1 unchecked, 1 excluded by the annotator"


def annotate(folder, annotator="alice", statuses=("done", "none", "incomplete", "unchecked", "excluded", "new")):
    """Label films 1.png and so on, as the page does."""
    films_in(folder, len(statuses))
    session = open_session(folder, Project(annotator=annotator))
    hips = tuple(Roi(tuple(box), "hip") for box in HIPS)
    sent = {
        "done": state(HIPS), "none": state(none=True), "incomplete": state(HIPS[:1]),
        "excluded": state(HIPS[:1], exclude="one hip"),
    }  # fmt: skip
    for number, status in enumerate(statuses, 1):
        if status == "unchecked":
            session.store.take_over({f"{number}.png": (FilmState(hips), SIZE)})
        elif status in sent:
            session.change(f"{number}.png", sent[status])
    session.close()
    return folder / f"labels/{annotator}.json"


def convert(folder, labels, **options):
    rules = Rules("folder", **{"rois": 2, **options})
    return convert_found(folder, find_folder(folder, "folder"), LabelSource(labels), rules, Output(folder), {})


def get_films(conversion):
    return {film.file_name: len(film.rois) for film in conversion.films}


def trained_on(folder, ann_file, **settings):
    """Number of boxes by film of the training data set, as a config builds it."""
    init_default_scope("mmdet")
    dataset = Config.fromfile(REPOSITORY / "configs/hip_roi_small.py").train_dataloader.dataset
    dataset.update(data_root=str(folder), ann_file=str(ann_file), **settings)
    (moved,) = [step for step in dataset.pipeline if step.type == "RandomSimilarity"]
    moved.update(scale=(1.0, 1.0), max_shift=0.0, max_degrees=0.0)  # otherwise a box may leave the film
    built = DATASETS.build(dataset)
    for index in range(len(built)):  # through the whole pipeline
        sample = built[index]["data_samples"]
        assert len(sample.gt_instances.bboxes) == len(built.get_data_info(index)["instances"])
    return {Path(film["img_path"]).name: len(film["instances"]) for film in map(built.get_data_info, range(len(built)))}


def test_conversion_leaves_out_unfinished_and_excluded_films(tmp_path):
    path = annotate(tmp_path)
    made = convert(tmp_path, {"": path})
    assert get_films(made) == {
        "1.png": 2,
        "2.png": 0,
    }  # a film that was checked and has none stays, whatever --rois says
    assert {each.name: each.reason for each in made.exclusions} == {
        "3.png": "incomplete: its ROIs aren't all drawn",
        "4.png": "unchecked: nobody has looked at its labels",
        "5.png": "excluded by the annotator: one hip",
        "6.png": "not labelled",
    }
    assert trained_on(tmp_path, "annotations/folder.json") == {"1.png": 2, "2.png": 0}
    asked = convert(tmp_path, {"": path}, unfinished=True, rois=None)
    assert get_films(asked) == {"1.png": 2, "2.png": 0, "3.png": 1, "4.png": 2}
    assert len(trained_on(tmp_path, "annotations/folder.json")) == 4  # --with-unfinished was given to convert


def test_training_on_the_file_itself(tmp_path, caplog):
    path = annotate(tmp_path)
    assert trained_on(tmp_path, path) == {"1.png": 2, "2.png": 0}
    assert f"{path}: {COUNTED}" in caplog.messages
    assert trained_on(tmp_path, path, unfinished=True) == {"1.png": 2, "2.png": 0, "3.png": 1, "4.png": 2}
    assert trained_on(tmp_path, path, filter_cfg=dict(filter_empty_gt=True)) == {"1.png": 2}
    assert f"{path}: filter_cfg {{'filter_empty_gt': True}} drops 1 films" in caplog.messages
    only = annotate(tmp_path / "none", statuses=("excluded", "unchecked"))
    with pytest.raises(
        DatasetError, match="2 films are left out: 1 excluded by the annotator, 1 unchecked, and no box"
    ):
        trained_on(tmp_path / "none", only)


def test_splits_and_anchors_use_the_same_rule(tmp_path):
    path = annotate(tmp_path, statuses=("done", "done", "done", "none", "incomplete", "unchecked", "excluded"))
    (parts,) = split_files([path], Division({"val": 0.4}), tmp_path / "split")
    assert sorted(image["file_name"] for part in parts.files.values() for image in part["images"]) == [
        f"{n}.png" for n in (1, 2, 3, 4)
    ]
    assert parts.notes == [COUNTED]
    (asked,) = split_files([path], Division({"val": 0.4}), tmp_path / "split", unfinished=True)
    assert sum(len(part["images"]) for part in asked.files.values()) == 6
    assert sum(len(trained_on(tmp_path, part)) for part in asked.files) == 6
    found = LabelledSet.read(path)
    assert (len(found.rois), found.file_names, found.note) == (6, ("1.png", "2.png", "3.png", "4.png"), COUNTED)
    assert len(LabelledSet.read(path, unfinished=True).rois) == 6 + 1 + 2


def test_a_part_without_roi_is_reported(tmp_path):
    path = annotate(tmp_path, statuses=("none", "done"))
    notes = [split_files([path], Division({"val": 0.5}, seed=seed), tmp_path)[0].notes for seed in range(4)]
    assert {note[0].partition(":")[0] for note in notes} == {
        f"alice_{part}.json has no ROI, so training and tests will refuse it" for part in ("train", "val")
    }


@pytest.mark.parametrize(
    ("alice", "bob", "disagreement", "taken", "reason"),
    [
        ("done", "done", "exclude", 2, None),
        ("none", "none", "exclude", 0, None),
        ("done", "unchecked", "exclude", 2, None),  # unchecked labels aren't a reading
        ("unchecked", "done", "exclude", 2, None),
        ("incomplete", "done", "exclude", 2, None),
        ("unchecked", "incomplete", "exclude", None, "unchecked: nobody has looked at its labels"),
        ("done", "excluded", "exclude", None, "excluded by the annotator: one hip"),
        ("done", "excluded", "first", 2, None),
        ("excluded", "done", "first", None, "excluded by the annotator: one hip"),
        ("none", "done", "exclude", None, "annotators disagree on the number of ROIs: alice 0, bob 2"),
        ("none", "done", "first", 0, None),
    ],
)
def test_two_annotators(tmp_path, alice, bob, disagreement, taken, reason):
    labels = {name: annotate(tmp_path, name, ("done", status)) for name, status in (("alice", alice), ("bob", bob))}
    made = convert(tmp_path, labels, disagreement=disagreement)
    assert get_films(made).get("2.png") == taken
    assert {each.name: each.reason for each in made.exclusions}.get("2.png") == reason


def test_a_label_file_without_boxes_is_a_label_and_a_missing_one_is_not(tmp_path):
    films_in(tmp_path, 3)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/classes.txt").write_text("hip\n")
    (tmp_path / "labels/1.txt").write_text("0 0.2 0.5 0.2 0.333\n")
    (tmp_path / "labels/2.txt").write_text("")
    made = convert(tmp_path, {"": tmp_path / "labels"}, rois=None)
    assert get_films(made) == {"1.png": 1, "2.png": 0}
    assert [(each.name, each.reason) for each in made.exclusions] == [("3.png", "not labelled")]
    counted = convert(tmp_path, {"": tmp_path / "labels"}, rois=1)  # the file doesn't say that it was checked
    assert ("2.png", "number of ROIs is 0, expected 1") in [(each.name, each.reason) for each in counted.exclusions]


@pytest.mark.slow
def test_the_commands(tmp_path):
    """The steps of docs/guide/label.md, and the option of each command."""
    films = tmp_path / "films"
    path = annotate(films, statuses=("done", "done", "done", "done", "none", "incomplete", "unchecked", "excluded"))
    arguments = ["folder", "films", "--labels", path, "--exclude", films / "labels/alice.exclude.csv", "--rois", 2]
    done = run_tool("convert", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 films are recorded as having no ROI: training uses them as background" in done.stdout
    assert "patients aren't known, so each film counts as one" in done.stdout
    coco = json.loads((films / "annotations/folder.json").read_text())
    assert ({image["status"] for image in coco["images"]}, coco["info"]["patients"]) == ({"done"}, "unknown")
    table = (films / "annotations/folder.exclusions.csv").read_text().splitlines()
    assert table[1:] == [
        "6.png,incomplete: its ROIs aren't all drawn", "7.png,unchecked: nobody has looked at its labels", "8.png,one hip"
    ]  # fmt: skip
    done = run_tool("convert", *arguments, "--with-unfinished", "--out", "all", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "all/folder.provenance.json").read_text())
    assert (record["films"], record["options"]["with_unfinished"]) == (
        6,
        True,
    )  # one ROI of the incomplete film is too few
    done = run_tool("validate", films / "annotations/folder.json", "--data-root", films, "--strict", cwd=tmp_path)
    assert done.returncode == 0, done.stdout  # a film that was checked and has none is no fault
    for option, films_there in (([], 5), (["--with-unfinished"], 7)):
        done = run_tool("split", path, "--val", 0.4, "--out", "split", *option, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        parts = [json.loads((tmp_path / f"split/alice_{part}.json").read_text()) for part in ("train", "val")]
        assert sum(len(part["images"]) for part in parts) == films_there
        assert ("alice: 3 films are left out" in done.stdout) is (not option)
        done = run_tool("anchors", path, "--out", "plan", *option, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert ("3 films are left out" in done.stdout) is (not option)
        config = Config.fromfile(tmp_path / "plan/ssd_alice.py")
        assert config.train_dataloader.dataset.get("unfinished", False) is bool(option)
