import pytest

from annotation_parts import HIPS, film, films_in, open_session
from hipdet.annotate.film_folder import FilmFolder
from hipdet.annotate.film_state import Project
from hipdet.annotate.labels import read_old_labels
from hipdet.core.files import write_json
from hipdet.data.coco_file import Film, Roi, build_coco
from label_writers import WRITERS, write_coco


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


def test_that_there_is_none_is_taken_over_from_whoever_could_say_so(tmp_path):
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


def test_what_is_not_square_is_said(tmp_path):
    films_in(tmp_path / "films", 2)
    films = [Film("1.png", 200, 120, "", "", (Roi((20, 40, 60, 90), "hip"),)), Film("9.png", 9, 9, "", "", ())]
    write_json(tmp_path / "old.json", build_coco(films, ["hip"], {}))
    old = read(tmp_path / "old.json", tmp_path / "films")
    assert boxes_of(old, "1.png") == [[15, 40, 65, 90]]
    assert old.notes == [
        "1.png: 1 boxes are not square, the squares around them are taken",
        "1 labelled films are not in this folder",
    ]
    free = read(tmp_path / "old.json", tmp_path / "films", Project(free_shape=True))
    assert boxes_of(free, "1.png") == [[20, 40, 60, 90]]


def test_boxes_to_be_ignored_are_left_out_and_said(tmp_path):
    films_in(tmp_path / "films", 2)
    roi, aside = Roi((20, 40, 60, 80), "hip"), Roi((100, 40, 140, 80), "hip")
    films = [Film("1.png", 200, 120, "", "", (roi,), ignored=(aside,))]
    write_json(tmp_path / "old.json", build_coco(films, ["hip"], {}))
    old = read(tmp_path / "old.json", tmp_path / "films")
    assert boxes_of(old, "1.png") == [[20, 40, 60, 80]]
    assert old.notes == ["1.png: 1 boxes that are to be ignored (iscrowd, ignore) are left out"]


def test_labels_that_fit_no_film_are_left_out_and_said(tmp_path):
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
