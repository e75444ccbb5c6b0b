import csv
import errno
import json
import os

import pytest

from annotation_parts import HIPS, SIZE, film, films_in, open_session, state, until
from hipdet.annotate.film_folder import FilmFolder
from hipdet.annotate.film_state import FilmState, Project, parse_state
from hipdet.annotate.labels import LabelStore, StaleRevision, read_old_labels
from hipdet.core.errors import DatasetError, StorageError
from hipdet.core.files import write_json
from hipdet.data.coco_file import Film, Roi, build_coco
from hipdet.data.validate.check import Expected, validate
from label_writers import WRITERS, write_coco

DONE = FilmState((Roi((20, 40, 60, 80), "hip"), Roi((150, 40, 210, 100), "hip")), checked=True)


@pytest.fixture
def store(tmp_path):
    made = LabelStore(tmp_path, Project(annotator="alice"), {"1.png": "P1"})
    yield made
    made.close()


def test_labels_are_written_and_valid(tmp_path):
    session = open_session(films_in(tmp_path), Project(annotator="alice", source="films"))
    session.change("1.png", DONE.record() | {"revision": 0})
    session.change("2.png", state(HIPS[:1], exclude="one hip", unsure=True))
    session.change("3.png", state(HIPS[:1], unsure=True))
    session.close()
    coco, faults = validate(tmp_path / "labels/alice.json", tmp_path, Expected.of_classes(["hip"]))
    assert [(fault.kind, fault.film, fault.warning) for fault in faults] == [
        ("film-left-out", "2.png", True),
        ("film-left-out", "3.png", True),
    ]
    common = {"source": "films", "width": 200, "height": 120, "annotator": "alice", "revision": 1}
    drawn = DONE.record()["boxes"]
    assert coco["images"] == [
        {"id": 1, "file_name": "1.png", "patient": "1", "status": "done", "drawn": drawn, **common},
        {
            "id": 2,
            "file_name": "2.png",
            "patient": "2",
            "status": "excluded",
            "exclude": "one hip",
            "unsure": True,
            "drawn": [{"box": HIPS[0], "label": "hip"}],
            **common,
        },
        {"id": 3, "file_name": "3.png", "patient": "3", "status": "incomplete", "unsure": True, **common},
    ]
    boxes = [
        (each["image_id"], each["bbox"], each.get("picture_side"), each.get("laterality"))
        for each in coco["annotations"]
    ]
    assert boxes == [
        (1, [20, 40, 40, 40], "left", "right"),
        (1, [150, 40, 50, 60], "right", "left"),  # the edge of the film at 200 cuts the square
        (3, [20, 40, 40, 40], None, None),  # a single ROI: its half of the film doesn't tell the side
    ]
    with (tmp_path / "labels/alice.exclude.csv").open() as file:
        assert list(csv.reader(file)) == [["film", "reason"], ["2.png", "one hip"]]


def test_a_film_without_roi_is_written_as_done_and_stays_so(tmp_path, store):
    store.save("1.png", 0, DONE, SIZE)
    entry = store.save("2.png", 0, parse_state(state(none=True), Project(), SIZE), SIZE)
    assert entry.state.status(2) == "done"
    store.close()
    coco, faults = validate(tmp_path / "alice.json", expected=Expected.of_classes(["hip"]))
    assert [(image["file_name"], image["status"]) for image in coco["images"]] == [("1.png", "done"), ("2.png", "done")]
    assert {each["image_id"] for each in coco["annotations"]} == {1}
    assert coco["info"]["patients"] == "unknown"  # a patient per film doesn't make patients known
    assert faults == []
    again = LabelStore(tmp_path, Project(annotator="alice"), {})
    assert again.entry("2.png") == entry
    again.close()


def test_an_older_journal_without_the_key_none_is_read(tmp_path, store):
    store.save("1.png", 0, DONE, SIZE)
    store.close()
    journal = tmp_path / "alice.journal"
    lines = [{key: value for key, value in json.loads(line).items() if key != "none"} for line in journal.open()]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = LabelStore(tmp_path, Project(annotator="alice"), {})
    assert again.entry("1.png").state == DONE
    again.close()


def test_everything_is_there_after_a_restart(tmp_path, store):
    store.save("1.png", 0, FilmState(unsure=True, checked=True), SIZE)
    entry = store.save("1.png", 1, DONE, SIZE)
    store.close()
    again = LabelStore(tmp_path, Project(annotator="alice"), {})
    assert again.entry("1.png") == entry
    assert (entry.revision, entry.state, entry.size) == (2, DONE, SIZE)
    again.close()


def test_the_coco_file_follows_the_journal_after_a_kill(tmp_path, store):
    store.save("1.png", 0, DONE, SIZE)
    store.close()
    (tmp_path / "alice.json").write_text("{}")  # older than the journal
    again = LabelStore(tmp_path, Project(annotator="alice"), {})
    until(lambda: "1.png" in (tmp_path / "alice.json").read_text())
    again.close()


def test_a_later_change_is_not_overwritten(store):
    store.save("1.png", 0, DONE, SIZE)
    with pytest.raises(StaleRevision, match="changed elsewhere") as error:
        store.save("1.png", 0, FilmState(checked=True), SIZE)
    assert error.value.film == "1.png"
    assert store.entry("1.png").state == DONE


def test_half_a_line_of_a_killed_process_is_dropped(tmp_path, store):
    store.save("1.png", 0, DONE, SIZE)
    store.close()
    path = tmp_path / "alice.journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"film": "2.png", "revi')
    again = LabelStore(tmp_path, Project(annotator="alice"), {})
    again.save("2.png", 0, DONE, SIZE)
    again.close()
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines[0] == whole
    assert json.loads(lines[1])["film"] == "2.png"


def test_a_change_on_a_full_disk_is_refused_and_damages_nothing(tmp_path, store, monkeypatch):
    store.save("1.png", 0, DONE, SIZE)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"alice\.journal: not stored: No space left on device"):
            store.save("2.png", 0, DONE, SIZE)
    assert store.entry("2.png").revision == 0
    assert (
        store.save("2.png", 0, FilmState(exclude="child", checked=True), SIZE).revision == 1
    )  # the disk has space again
    store.close()
    assert [line["film"] for line in map(json.loads, (tmp_path / "alice.journal").open())] == ["1.png", "2.png"]


def test_a_full_disk_at_the_very_first_line(tmp_path, store, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError):
            store.save("1.png", 0, DONE, SIZE)
    assert (tmp_path / "alice.journal").read_bytes() == b""


def test_half_a_line_on_a_full_disk_is_cut_off(tmp_path, store):
    """With a limit on the size of files the system writes the first bytes of a line and refuses the rest."""
    resource = pytest.importorskip("resource", reason="limits are POSIX")
    store.save("1.png", 0, DONE, SIZE)
    journal = tmp_path / "alice.journal"
    until(store.files.exclusions.exists)
    whole, limits = journal.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, limits[1]))
    try:
        with pytest.raises(StorageError, match="not stored: File too large"):
            store.save("1.png", 1, FilmState(checked=True), SIZE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert journal.read_bytes() == whole
    assert store.save("1.png", 1, FilmState(checked=True), SIZE).revision == 2


def test_a_coco_file_that_cannot_be_written_is_reported_and_written_later(tmp_path, monkeypatch):
    monkeypatch.setattr("hipdet.annotate.labels.RETRY", 0.01)
    store = LabelStore(tmp_path, Project(annotator="alice"), {})
    until(store.files.coco.exists)
    store.files.coco.unlink()
    store.files.coco.mkdir()  # nothing can take its place
    store.save("1.png", 0, DONE, SIZE)
    until(lambda: store.files.fault)
    assert store.files.fault.startswith("alice.json is not up to date: ")
    store.files.coco.rmdir()
    until(store.files.coco.is_file)
    until(lambda: store.files.fault is None)
    store.close()


def test_one_session_per_annotator(tmp_path, store):
    with pytest.raises(DatasetError, match="another hipdet annotate"):
        LabelStore(tmp_path, Project(annotator="alice"), {})
    LabelStore(tmp_path, Project(annotator="bob"), {}).close()
    assert {path.name for path in tmp_path.glob("[a-z]*")} >= {"alice.journal", "bob.journal", "bob.json"}


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "labels").write_text("a file")
    with pytest.raises(StorageError, match=r"alice\.journal: can't be written \(.*\): choose another folder"):
        LabelStore(tmp_path / "labels", Project(annotator="alice"), {})


ONE = '{"film": "1.png", "revision": 1, '


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: found [], expected an object"),
        ('{"film": 3, "revision": 1}', "line 2: film is 3"),
        ('{"film": "1.png", "revision": true}', "line 2: revision is True, expected a whole number"),
        ('{"film": "1.png", "revision": -1}', "line 2: revision is -1, expected a whole number"),
        ('{"film": "1.png", "revision": 1e999}', "line 2: not JSON ('1e999' is too large a number)"),
        ('{"film": "1.png", "revision": 1' + "0" * 5000 + "}", "line 2: not JSON"),
        ('{"film": "1.png", "film": "2.png"}', "line 2: not JSON (key 'film' occurs twice"),
        ('{"film": "\\ud800.png", "revision": 1}', "line 2: not UTF-8"),
        (ONE + '"size": [1]}', "line 2: size is [1], expected null or two whole numbers from 1"),
        (ONE + '"size": [0, 120]}', "line 2: size is [0, 120], expected"),
        (ONE + '"size": [true, 120]}', "line 2: size is [True, 120], expected"),
        (ONE + '"size": [200, 1e400]}', "line 2: not JSON ('1e400' is too large a number)"),
        (ONE + '"file": "1.png"}', "line 2: file is '1.png', expected null or two"),
        (ONE + '"boxes": NaN}', "line 2: not JSON (NaN is not a number of JSON)"),
        (ONE + '"boxes": ' + "[" * 10**5 + "]" * 10**5 + "}", "line 2: nested too deeply"),
        (ONE + '"boxes": ' + "[" * 500 + "]" * 500 + "}", "line 2: boxes on a film that can't be read"),
        (ONE + '"boxes": {}}', "line 2: boxes is {}, expected a list"),
        (ONE + '"boxes": [null' + ", null" * 10**6 + "]}", "line 2: boxes is [None, "),
        (
            ONE + '"size": [9, 9], "boxes": [{"box": [1, 1, 5, Infinity], "label": "hip"}]}',
            "line 2: not JSON (Infinity",
        ),
        (
            ONE + '"size": [9, 9], "boxes": [{"box": [1, 1, 5, "5"], "label": ["hip"]}]}',
            "line 2: box {'box': [1, 1, 5, '5'], 'la",
        ),
        (ONE + '"boxes": [], "exclude": {}}', "line 2: exclude is {}, expected null"),
        (ONE + '"boxes": [], "unsure": 0}', "line 2: unsure, checked and none are [0, None, False]"),
        (json.dumps({"film": "1.png", "size": [9, 9], **state([[1, 1, 5, 5]], label="knee")}), "one of the labels hip"),
    ],
)
def test_damaged_journals_are_refused(tmp_path, store, line, message):
    store.save("1.png", 0, DONE, SIZE)
    store.close()
    with (tmp_path / "alice.journal").open("a") as file:
        file.write(line + "\n")
    files = {path: path.read_bytes() for path in tmp_path.glob("alice*")}
    for _ in range(2):  # no lock is left behind
        with pytest.raises(DatasetError) as error:
            LabelStore(tmp_path, Project(annotator="alice"), {})
        assert message in str(error.value)
        assert len(str(error.value)) < 1000
    assert {path: path.read_bytes() for path in tmp_path.glob("alice*")} == files


def test_labels_made_elsewhere_do_not_replace_own_ones(store):
    store.save("1.png", 0, DONE, SIZE)
    other = parse_state(state(HIPS, checked=False), Project(), SIZE)
    assert store.take_over({"1.png": (other, SIZE), "2.png": (other, SIZE)}) == ["2.png"]
    assert store.entry("1.png").state == DONE
    assert store.entry("2.png").state.status(2) == "unchecked"


def read(path, folder, project=None):
    return read_old_labels(path, FilmFolder(folder, "films"), project or Project())


def boxes_of(old, film):
    return [list(roi.box) for roi in old.states[film][0].rois]


@pytest.mark.parametrize(("write", "format", "tolerance"), WRITERS.values(), ids=WRITERS)
def test_every_format_can_be_corrected(tmp_path, write, format, tolerance):
    films_in(tmp_path / "films", 1)
    (tmp_path / "old").mkdir()
    old = read(write(tmp_path / "old", [("1.png", (200, 120), HIPS)]), tmp_path / "films")
    assert boxes_of(old, "1.png") == [pytest.approx(box, abs=0.01) for box in HIPS]
    assert old.states["1.png"][0].status(2) == "unchecked"


def test_that_a_film_has_no_roi_is_imported_from_files_that_can_say_so(tmp_path):
    """In a file of another tool, a film without boxes may be one that nobody has labelled."""
    films_in(tmp_path / "films", 2)
    films = [Film("1.png", 200, 120, "", "", (), {"status": "done"}), Film("2.png", 200, 120, "", "", ())]
    write_json(tmp_path / "old.json", build_coco(films, ["hip"], {}))
    old = read(tmp_path / "old.json", tmp_path / "films")
    assert {name: state.status(2) for name, (state, _) in old.states.items()} == {"1.png": "unchecked"}


def test_labels_of_a_film_as_stored_are_turned_and_cut_squares_are_whole(tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films/1.jpg").write_bytes(
        film(120, 200, kind="JPEG", orientation=6)
    )  # 120x200 stored, 200x120 upright
    path = write_coco(tmp_path, [("1.jpg", (120, 200), [(40, 160, 80, 200), (40, 0, 80, 30)])])
    # stored (x, y) is (200 - y, x) upright: [0, 40, 40, 80], and [170, 40, 200, 80], which the right edge cuts
    assert boxes_of(read(path, tmp_path / "films"), "1.jpg") == [[0, 40, 40, 80], [170, 40, 210, 80]]


def test_boxes_that_are_not_square_are_reported(tmp_path):
    films_in(tmp_path / "films", 2)
    films = [Film("1.png", 200, 120, "", "", (Roi((20, 40, 60, 90), "hip"),)), Film("9.png", 9, 9, "", "", ())]
    write_json(tmp_path / "old.json", build_coco(films, ["hip"], {}))
    old = read(tmp_path / "old.json", tmp_path / "films")
    assert boxes_of(old, "1.png") == [[15, 40, 65, 90]]
    assert old.notes == [
        "1.png: 1 boxes are not square and were expanded to squares",
        "1 labelled films are not in this folder",
    ]
    free = read(tmp_path / "old.json", tmp_path / "films", Project(free_shape=True))
    assert boxes_of(free, "1.png") == [[20, 40, 60, 90]]


def test_ignored_boxes_are_cut_and_reported(tmp_path):
    films_in(tmp_path / "films", 2)
    roi, aside = Roi((20, 40, 60, 80), "hip"), Roi((100, 40, 140, 80), "hip")
    beyond = Roi((190, 40, 200, 80), "hip", square=(190, 40, 230, 80))  # its centre isn't on the film
    films = [Film("1.png", 200, 120, "", "", (roi,), ignored=(aside, beyond))]
    write_json(tmp_path / "old.json", build_coco(films, ["hip"], {}))
    old = read(tmp_path / "old.json", tmp_path / "films")
    assert [(roi.box, roi.cut) for roi in old.states["1.png"][0].rois] == [
        ((20, 40, 60, 80), False), ((100, 40, 140, 80), True), ((190, 40, 230, 80), True)
    ]  # fmt: skip
    assert old.notes == ["1.png: 2 boxes to ignore (iscrowd, ignore) are marked as cut"]


def test_labels_that_fit_no_film_are_left_out_and_reported(tmp_path):
    films_in(tmp_path / "films", 2)
    boxes = [(1, [500, 500, 40, 40]), (2, [20, 40, 40, 40])]
    coco = build_coco([Film(f"{n}.png", 900, 900, "", "", ()) for n in (1, 2)], ["hip"], {})
    coco["annotations"] = [dict(id=n, image_id=n, category_id=1, bbox=box) for n, box in boxes]
    for image in coco["images"]:
        del image["width"], image["height"]
    write_json(tmp_path / "old.json", coco)
    old = read(tmp_path / "old.json", tmp_path / "films")
    assert list(old.states) == ["2.png"]
    assert old.notes[0].startswith("left out: 1.png: box [500, 500, 540, 540] reaches")


@pytest.mark.parametrize(
    ("boxes", "note"),
    [
        ([(edge / 1000, 0, 20 + edge / 1000, 30) for edge in range(900)], "900 boxes, expected at most 100"),
        ([(50, 50, 70, 80), (45, 55, 75, 75)], "the same box is listed twice, expected each ROI once: delete one"),
    ],
)
def test_labels_that_no_journal_may_have_are_left_out(tmp_path, boxes, note):
    """They would be stored, and the journal be refused at the next start.  The two boxes are in the same square."""
    films_in(tmp_path / "films", 2)
    films = [
        Film("1.png", *SIZE, "", "", (Roi(tuple(HIPS[0]), "hip"),)),
        Film("2.png", *SIZE, "", "", tuple(Roi(box, "hip") for box in boxes)),
    ]
    write_json(tmp_path / "old.json", build_coco(films, ["hip"], {}))
    old = read(tmp_path / "old.json", tmp_path / "films")
    assert list(old.states) == ["1.png"]
    assert old.notes[-1] == f"left out: 2.png: {note}"


def test_own_labels_are_a_format_too(tmp_path):
    session = open_session(films_in(tmp_path), Project(annotator="alice"))
    record = {
        "boxes": [{"box": box, "label": "hip"} for box in HIPS],
        "exclude": None,
        "unsure": False,
        "checked": True,
    }
    session.change("1.png", {**record, "revision": 0})
    session.close()
    assert boxes_of(read(tmp_path / "labels/alice.json", tmp_path), "1.png") == HIPS
