import json

import numpy as np
import pytest

from hipdet.core.configs import read_config
from hipdet.core.errors import ConfigError, DatasetError
from hipdet.core.files import write_json
from hipdet.data.coco_file import Film, Roi, build_coco
from hipdet.data.validate.check import Expected, validate
from hipdet.visualization.augmented import augmented_tiles, training_films
from hipdet.visualization.film_pictures import (
    evaluated_films,
    faulty_first,
    labelled_films,
    predicted_films,
    read_predictions,
)
from hipdet.visualization.tiles import Mark, PicturedFilm
from roi_tables import FOUND, LABEL, extra, row


def found(image_id=1, bbox=(10, 20, 30, 40), score=0.9, **more):
    return dict(image_id=image_id, category_id=1, bbox=list(bbox), score=score, **more)


def coco(labels=((1, (10, 20, 30, 30)),), films=2):
    return dict(
        images=[dict(id=i, file_name=f"{i}.png", width=100, height=90, source="gis") for i in range(1, films + 1)],
        annotations=[
            dict(id=number, image_id=image_id, category_id=1, bbox=list(bbox), area=1, iscrowd=0)
            for number, (image_id, bbox) in enumerate(labels, 1)
        ],
        categories=[dict(id=1, name="hip")],
    )


def test_names_and_flags_of_the_predictions_themselves():
    predictions = [
        found(7, file_name="b.dcm", flags=["low score"]),
        found(3, score=0.4, file_name="a/a.jpg", flags="sideways, inverted"),
        found(7, score=0.5, bbox=(1, 2, 3, 4), file_name="b.dcm", flags=["low score", "unequal"]),
    ]
    b, a = predicted_films(predictions)
    assert (b.file_name, a.file_name) == ("b.dcm", "a/a.jpg")
    assert b.marks == (Mark((10, 20, 40, 60), True, "0.90"), Mark((1, 2, 4, 6), True, "0.50"))
    assert (b.iou, b.score, b.flags) == (None, 0.5, ("low score", "unequal"))
    assert (a.flags, a.score, a.roi_side()) == (("sideways", "inverted"), 0.4, 40)


def test_the_best_two_of_a_film():
    predictions = [found(score=score, file_name="a.png") for score in (0.1, 0.9, 0.5)]
    for rois, expected in ((2, ["0.90", "0.50"]), (0, ["0.90", "0.50", "0.10"])):
        (film,) = predicted_films(predictions, rois=rois)
        assert [mark.text for mark in film.marks] == expected


def test_films_of_a_coco_file_without_labels():
    first, second = predicted_films([found(2)], coco(labels=()))
    assert (first.file_name, first.flags, first.score) == ("1.png", ("nothing found",), None)
    assert (second.file_name, second.source, second.iou, second.flags) == ("2.png", "gis", None, ())


@pytest.mark.parametrize("flag", ["iscrowd", "ignore"])
def test_ignored_boxes_and_what_is_found_there_are_left_out(flag):
    labelled = coco(((1, (10, 20, 30, 30)), (1, (60, 20, 30, 30))), 1)
    labelled["annotations"][1][flag] = 1
    (film,) = predicted_films([found(bbox=(10, 20, 30, 30)), found(bbox=(60, 20, 30, 30), score=0.8)], labelled)
    assert [mark.text for mark in film.marks] == ["1.00 (0.90)", ""]
    assert "extra" not in film.flags


def test_labels_are_compared_with():
    # label 10..40 x 20..50 in the detection 10..40 x 20..60: 900 / 1200; film 3 has a detection and no label
    labels = ((1, (10, 20, 30, 30)), (1, (60, 20, 30, 30)), (2, (10, 20, 30, 30)))
    first, second, third = predicted_films([found(flags=["x"]), found(3)], coco(labels, 3))
    assert [mark.text for mark in first.marks] == ["0.75 (0.90)", "not found", ""]
    assert (first.iou, first.score, first.flags) == (0.0, 0.9, ("missed", "x"))
    assert (second.iou, second.score, second.flags) == (0.0, None, ("missed", "nothing found"))
    assert (third.iou, third.flags, [mark.text for mark in third.marks]) == (None, ("extra",), ["extra (0.90)"])
    assert (third.file_name, third.source, third.score) == ("3.png", "gis", 0.9)


def test_another_class_is_no_hit():
    content = coco()
    content["categories"].append(dict(id=2, name="knee"))
    first, _ = predicted_films([dict(found(), category_id=2)], content)
    assert [mark.text for mark in first.marks] == ["not found", "extra (0.90)"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"images": []}, "found {'images'.*expected COCO results"),
        ([3], "detection 1: found 3, expected an object: expected COCO results"),
        ([found("1")], "detection 1: image_id is '1', expected a whole number"),
        ([dict(found(), category_id=None)], "category_id is None, expected a whole number"),
        ([found(), found(bbox=(1, 2, 3))], r"detection 2: bbox is \[1, 2, 3\], expected four numbers"),
        ([found(bbox=(1, 2, -3, 4))], r"bbox is .*, expected \[x, y, width, height\]"),
        ([found(bbox=(1, 2, 1e30, 4))], "bbox is .*, expected four numbers from"),
        ([found(bbox=(1, 2, 3, "4"))], "bbox is"),
        ([found(score=None)], "score is None, expected a number"),
        ([found(file_name=7)], "file_name is 7, expected a text"),
        ([found(source={})], "source is {}, expected a text"),
        ([found(flags=[3])], r"flags is \[3\], expected a list of texts"),
        ([found(score=float("nan"))], "not JSON .NaN is not a number of JSON."),
    ],
)
def test_faulty_predictions_are_refused(tmp_path, content, words):
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=words) as raised:
        read_predictions(tmp_path / "p.json")
    assert "p.json" in str(raised.value)


def test_films_that_are_not_known():
    with pytest.raises(DatasetError, match="image_id 1 have no file_name: give the COCO file with --ann"):
        predicted_films([found()])
    with pytest.raises(DatasetError, match="image_id 9, which the COCO file of --ann lacks"):
        predicted_films([found(9)], coco())


def test_labels_come_before_detections_with_iou_and_score():
    # an ROI that was found, one that wasn't, and a detection on nothing
    table = dict(
        rois=[row(7, 0.8, score=0.91), row(7, 0.0, None, annotation_id=2)], extras=[extra(7, (1, 2, 3, 4), 0.3)]
    )
    (film,) = evaluated_films(table).values()
    assert film.marks == (
        Mark(LABEL, False, "0.80 (0.91)"),
        Mark(LABEL, False, "not found"),
        Mark(FOUND, True),
        Mark((1, 2, 3, 4), True, "extra (0.30)"),
    )
    assert (film.file_name, film.source, film.iou, film.score) == ("7.png", "gis", 0.0, 0.3)
    assert film.flags == ("missed", "extra")
    assert film.roi_side() == 40  # of the labels


@pytest.mark.parametrize(
    ("iou", "found", "flags"),
    [
        (0.5, FOUND, ()),  # a hit is 0.5 and more
        (0.49, FOUND, ("missed", "extra")),
        (0.0, None, ("missed",)),
    ],
)
def test_flags(iou, found, flags):
    assert evaluated_films(dict(rois=[row(1, iou, found)]))[1].flags == flags


def test_false_alarms_on_a_film_without_roi():
    named = dict(extra(1, (1, 2, 3, 4), 0.3), file_name="1.png", source="gis")
    film, other = evaluated_films(dict(rois=[row(2, 0.9)], extras=[named, named])).values()
    assert film.marks == 2 * (Mark((1, 2, 3, 4), True, "extra (0.30)"),)
    assert (film.file_name, film.source, film.iou, film.score, film.flags) == ("1.png", "gis", None, 0.3, ("extra",))
    assert (other.file_name, other.flags) == ("2.png", ())
    # old tables, in which extras have no file names
    old = dict(rois=[row(2, 0.9)], extras=[extra(1, (1, 2, 3, 4), 0.3), extra(2, (1, 2, 3, 4), 0.3)])
    assert {key: film.flags for key, film in evaluated_films(old).items()} == {2: ("extra",)}


def test_films_come_by_their_ids():
    assert list(evaluated_films(dict(rois=[row(3, 0.1), row(1, 0.9), row(2, 0.5)]))) == [1, 2, 3]


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
    three = ("box-outside", "box-not-numbers", "too-few-rois")
    assert [film.flags for film in every] == [(), ("too-few-rois",), three, ()]
    assert [len(film.marks) for film in every] == [2, 1, 1, 2]  # a box that extends out of the film can be drawn
    order = [film.file_name for film in faulty_first(every, faults)]
    assert order == ["2.jpg", "1.jpg", "0.jpg", "3.jpg"]
    (note,) = every[1].notes
    assert note.startswith("warning: image 2: found 1 ROI")


def test_nothing_that_could_be_drawn(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    assert labelled_films(*validate(tmp_path / "a.json")) == []


CONFIG, SIDE = "configs/hip_ssd_exp3.py", 224
YELLOW = (255, 212, 0)


@pytest.fixture(scope="module")
def dataset(phantoms):
    return training_films(read_config(CONFIG), phantoms / "annotations/gis.json", phantoms)


def get_films(dataset, phantoms):
    paths = [dataset.get_data_info(place)["img_path"] for place in range(2)]
    return [PicturedFilm(path[len(str(phantoms.resolve())) + 1 :]) for path in paths]


def tiles(dataset, films, root, seed=0, draws=2):
    return [np.asarray(tile).astype(int) for tile in augmented_tiles(dataset, films, root, draws, seed, SIDE)]


def test_each_film_is_followed_by_its_draws(dataset, phantoms):
    films = get_films(dataset, phantoms)
    drawn = tiles(dataset, films, phantoms)
    assert len(drawn) == 6
    for original, *draws in (drawn[:3], drawn[3:]):
        assert not (original == YELLOW).all(axis=2).any()  # this one was given without its boxes
        for draw in draws:
            assert draw.shape[1] == SIDE
            assert (draw == YELLOW).all(axis=2).sum() > 50
    assert (drawn[1] != drawn[2]).mean() > 0.05


def test_draws_are_those_of_the_seed_and_the_film(dataset, phantoms):
    first, second = get_films(dataset, phantoms)
    both, alone = tiles(dataset, [first, second], phantoms), tiles(dataset, [second], phantoms)
    assert all((a == b).all() for a, b in zip(both[3:], alone))
    assert (tiles(dataset, [second], phantoms, seed=1)[1] != alone[1]).any()


def test_names_of_several_classes_are_those_of_the_mirror_image(phantoms, tmp_path, monkeypatch):
    """Each hip is of the class of its side of the picture, also where the film is mirrored."""
    coco = json.loads((phantoms / "annotations/gis.json").read_text())
    coco["categories"] = [dict(id=1, name="left hip"), dict(id=2, name="right hip")]
    for annotation in coco["annotations"]:
        annotation["category_id"] = 1 if annotation["laterality"] == "left" else 2
    (tmp_path / "sided.json").write_text(json.dumps(coco))
    cfg = read_config("configs/hip_roi_medium.py")
    pairs = [("left hip", "right hip")]
    cfg.train_dataloader.dataset.metainfo = dict(classes=("left hip", "right hip"), mirrored_pairs=pairs)
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == "RandomSimilarity":
            step.update(flip_prob=1.0, quarter_turn_prob=0.0, scale=(0.8, 1.0), max_shift=0.0)
    sided = training_films(cfg, tmp_path / "sided.json", phantoms)
    drawn = []
    monkeypatch.setattr("hipdet.visualization.augmented.marked_tile", lambda *given: drawn.append(given[2]))
    films = get_films(sided, phantoms)
    list(augmented_tiles(sided, films, phantoms, 3, 0, SIDE))
    assert len(drawn) == 6
    for marks in drawn:  # the patient's left is at the right of the picture
        assert [mark.text for mark in sorted(marks, key=lambda mark: mark.box[0])] == ["right hip", "left hip"]


def test_a_film_that_is_not_trained_on(dataset, phantoms):
    with pytest.raises(DatasetError, match=r"none\.png: the config doesn't train on this film"):
        tiles(dataset, [PicturedFilm("none.png")], phantoms)


def test_a_config_of_several_sets(phantoms):
    cfg = read_config(CONFIG)
    cfg.train_dataloader.dataset = dict(type="ConcatDataset", datasets=[cfg.train_dataloader.dataset])
    with pytest.raises(ConfigError, match="from one file"):
        training_films(cfg, phantoms / "annotations/gis.json", phantoms)
