import json

import pytest
from PIL import Image

from annotation_parts import HIPS, detector, films_in, open_session, until
from hipdet.annotate import proposals
from hipdet.annotate.film_state import Project
from hipdet.annotate.proposals import Proposal, cache_name, load_detector
from hipdet.core.boxes import iou_matrix
from hipdet.core.errors import CheckpointError
from hipdet.phantoms.write import make_film


def proposals_of(folder, detect, project=None):
    session = open_session(folder, project, detect)
    until(lambda: not session.proposals.running)
    session.close()
    return session.proposals


@pytest.mark.parametrize(
    ("proposal", "doubt"),
    [
        (Proposal(tuple(HIPS), (0.9, 0.7), ("hip", "hip")), 0.3),  # by the lowest score
        (Proposal(tuple(HIPS), (0.9, 0.7), ("hip", "hip"), ("turned",)), 2.3),
        (Proposal(tuple(HIPS[:1]), (0.9,), ("hip",)), 2.1),  # one of two
        (Proposal(), 3.0),
    ],
)
def test_doubt(proposal, doubt):
    assert proposal.doubt(2) == pytest.approx(doubt)


def test_proposals_are_cached_and_computed_again_for_a_changed_film(tmp_path):
    films_in(tmp_path)
    proposals_of(tmp_path, detector())
    (tmp_path / "2.png").write_bytes((tmp_path / "3.png").read_bytes() + b"more")
    asked = []

    def detect(paths):
        asked.extend(path.name for path in paths)
        return detector()(paths)

    assert proposals_of(tmp_path, detect).all().keys() == {"1.png", "2.png", "3.png"}
    assert asked == ["2.png"]


def test_a_damaged_cache_is_computed_again(tmp_path):
    films_in(tmp_path)
    proposals_of(tmp_path, detector())
    cache = tmp_path / "labels/.proposals.jsonl"
    lines = cache.read_text().splitlines()
    right = proposals_of(tmp_path, detector()).all()
    record = json.loads(lines[1])
    damages = [
        {"boxes": [["x", 1, 2, 3], HIPS[1]]}, {"boxes": [[1], HIPS[1]]}, {"boxes": HIPS[:1]}, {"boxes": {}},
        {"scores": ["0.9", 0.8]}, {"scores": [None, 0.8]}, {"scores": [0.9]}, {"labels": ["knee", "hip"]},
        {"labels": [["hip"], "hip"]}, {"flags": [1]}, {"flags": None}, {"film": 2}, {"film": "9.png"}, {"file": 7},
    ]  # fmt: skip
    damaged = [json.dumps({**record, **damage}) for damage in damages]
    cache.write_text("\n".join([lines[0][:50], *damaged, "[]", "{}", "[" * 10**5, lines[2], ""]))
    assert proposals_of(tmp_path, detector()).all() == right


def test_a_film_without_result_is_flagged(tmp_path):
    found = proposals_of(films_in(tmp_path), detector(error=lambda path: "cut short" if path.name == "2.png" else None))
    assert found.of("2.png") == Proposal(flags=("cut short",))
    assert len(found.of("3.png").boxes) == 2


def test_boxes_that_the_film_cuts_become_squares(tmp_path):
    found = proposals_of(films_in(tmp_path), detector(boxes=[[170, 40, 200, 80]], scores=[0.9]))
    assert found.of("1.png").boxes == ((170, 40, 210, 80),)


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        (("hip", "knee"), ("hip", "hip")),
        (("heart", "knee"), ()),
        (("knee",), ("knee", "knee")),  # one class: the model's own label doesn't matter
    ],
)
def test_labels_of_other_classes_are_left_out(tmp_path, classes, labels):
    assert proposals_of(films_in(tmp_path), detector(), Project(classes)).of("1.png").labels == labels


def test_labelling_goes_on_when_the_model_fails(tmp_path):
    def detect(paths):
        yield from detector()(paths[:1])
        raise RuntimeError("out of memory")

    found = proposals_of(films_in(tmp_path), detect)
    assert found.fault == "no more proposals: out of memory"
    assert found.all().keys() == {"1.png"}


def test_another_model_or_task_has_another_cache(tmp_path, monkeypatch):
    model = tmp_path / "m.onnx"
    model.write_bytes(b"1")
    names = [
        cache_name(str(model), Project()),
        cache_name("default", Project()),
        cache_name(str(model), Project(rois=1)),
    ]
    model.write_bytes(b"2")
    names.append(cache_name(str(model), Project()))
    monkeypatch.setattr(proposals, "RESULTS_VERSION", 1)
    names += [cache_name(str(model), Project()), cache_name("default", Project())]
    assert len(set(names)) == 6
    monkeypatch.setattr(proposals, "SHIPPED", tmp_path)  # this is the bundled model now
    assert cache_name("default", Project()) == cache_name(str(model), Project())


def test_the_bundled_model_proposes_hips(tmp_path):
    film = make_film("gis", 3, seed=11, max_side=400)
    Image.fromarray(film.pixels).save(tmp_path / "1.png")
    found = proposals_of(tmp_path, load_detector("default", Project())).of("1.png")
    overlap = iou_matrix(film.hips, found.boxes)
    assert overlap.max(axis=1).min() > 0.6
    assert found.labels == ("hip", "hip")
    with pytest.raises(CheckpointError, match=r"none\.onnx"):
        load_detector(str(tmp_path / "none.onnx"), Project())
