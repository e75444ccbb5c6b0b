from hipdet.core.files import write_json
from hipdet.data.coco_file import Film, Roi, build_coco
from hipdet.data.validate.check import Expected, validate
from hipdet.visualization.film_pictures import faulty_first, labelled_films
from hipdet.visualization.tiles import Mark

ROIS = (Roi((1, 2, 31, 32), "hip", "left"), Roi((50, 2, 80, 32), "hip", "right"))


def read(path, films, change=lambda coco: None, classes=("hip",)):
    coco = build_coco(films, classes, {})
    change(coco)
    write_json(path, coco)
    return validate(path, None, Expected.of_classes(classes))


def films(count):
    return [Film(f"{n}.jpg", 90, 60, "s", f"P{n}", ROIS) for n in range(count)]


def test_boxes_with_the_side_of_the_patient(tmp_path):
    (film,) = labelled_films(*read(tmp_path / "a.json", films(1)))
    # the left of the picture is the patient's right
    assert film.marks == (Mark((1, 2, 31, 32), False, "right"), Mark((50, 2, 80, 32), False, "left"))
    assert (film.source, film.iou, film.score, film.flags, film.notes) == ("s", None, None, (), ())


def test_ignored_boxes_are_named(tmp_path):
    def change(coco):
        coco["annotations"][0].update(ignore=1)
        coco["annotations"][1].update(iscrowd=1)

    (film,) = labelled_films(*read(tmp_path / "a.json", [*films(1), *films(2)[1:]], change))[:1]
    assert [mark.text for mark in film.marks] == ["right ignored", "left ignored"]


def test_classes_are_named_where_there_are_several(tmp_path):
    rois = (Roi((1, 2, 31, 32), "heart"), Roi((50, 2, 80, 32), "lung", "right"))
    (film,) = labelled_films(
        *read(tmp_path / "a.json", [Film("a.png", 90, 60, "s", "P", rois)], classes=("heart", "lung"))
    )
    assert [mark.text for mark in film.marks] == ["heart", "left lung"]


def test_faults_are_flags_and_notes_and_come_first(tmp_path):
    def change(coco):
        del coco["annotations"][2]  # film 1 has one hip: a warning
        coco["annotations"][3]["bbox"] = [80, 2, 30, 30]  # film 2: two errors, which leave it one hip
        coco["annotations"][4]["bbox"] = "none"

    coco, faults = read(tmp_path / "a.json", films(4), change)
    every = labelled_films(coco, faults)
    odd = ("box-outside", "box-not-numbers", "too-few-rois")
    assert [film.flags for film in every] == [(), ("too-few-rois",), odd, ()]
    assert [len(film.marks) for film in every] == [2, 1, 1, 2]  # what reaches out of the film can be drawn
    order = [film.file_name for film in faulty_first(every, faults)]
    assert order == ["2.jpg", "1.jpg", "0.jpg", "3.jpg"]
    (note,) = every[1].notes
    assert note.startswith("warning: image 2: found 1 ROI")


def test_nothing_that_could_be_drawn(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    assert labelled_films(*validate(tmp_path / "a.json")) == []
