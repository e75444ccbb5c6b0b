"""Steps that make films hard: what they do to pixels and labels, by hand, and that their draws follow the seed."""

import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes

from hipdet.engine.hard_films import (
    RandomDegradation,
    RandomMarks,
    RandomOrientation,
    compress,
    draw_edges,
    lower_resolution,
)
from hipdet.engine.transforms import RandomSimilarity, Similarity

BOX = [10.0, 5, 30, 25]


def film(height=60, width=80):
    """A bright disc in the label, dark elsewhere."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    return np.where(np.hypot(columns - 20, rows - 15) < 8, 200, 40).astype(np.uint8)


def results(channels=True, **more):
    img = film()[..., None] if channels else film()
    return dict(img=img, img_shape=img.shape[:2], gt_bboxes=HorizontalBoxes(np.array([BOX], np.float32)), **more)


def draws(monkeypatch, *values):
    monkeypatch.setattr(np.random, "uniform", lambda size=None: np.array(values))


@pytest.mark.parametrize("channels", [True, False])
@pytest.mark.parametrize(
    ("which", "quarters", "box"),
    [
        # counter-clockwise on 80 x 60: (x, y) -> (y, 80 - x), then (80 - x, 60 - y), then (60 - y, x)
        (0.0, 1, [5, 50, 25, 70]),
        (0.5, 2, [50, 35, 70, 55]),
        (0.99, 3, [35, 10, 55, 30]),
    ],
)
def test_quarter_turns_by_hand(monkeypatch, which, quarters, box, channels):
    draws(monkeypatch, 0.0, which, 1.0)
    found = RandomOrientation(turn_prob=0.1).transform(results(channels, upright=True))
    assert found["gt_bboxes"].numpy().tolist() == [box]
    assert found["orientation"] == (4 - quarters, 0)  # so many more make it upright
    assert found["img_shape"] == found["img"].shape[:2] == ((80, 60) if quarters % 2 else (60, 80))
    np.testing.assert_array_equal(np.rot90(found["img"].squeeze(), -quarters), film())
    x0, y0, x1, y1 = map(int, box)
    assert (found["img"][y0:y1, x0:x1] == 200).sum() == (film() == 200).sum()


def test_inverted_and_unknown(monkeypatch):
    draws(monkeypatch, 1.0, 0.0, 0.0)
    found = RandomOrientation(invert_prob=0.1).transform(results(upright=False))
    assert found["orientation"] == (-1, 1)  # of a film that may be turned anyway, it isn't known by how much
    np.testing.assert_array_equal(found["img"].squeeze(), 255 - film())
    assert found["gt_bboxes"].numpy().tolist() == [BOX]
    assert RandomOrientation(invert_prob=0.1).transform(results())["orientation"] == (-1, 1)


def test_orientations_come_as_often_as_asked():
    np.random.seed(0)
    step = RandomOrientation(turn_prob=0.3, invert_prob=0.2)
    drawn = np.array([step.transform(results(upright=True))["orientation"] for _ in range(4000)])
    shares = np.bincount(drawn[:, 0], minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.1, 0.1], atol=0.02)  # sd .005 to .007
    assert drawn[:, 1].mean() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("later", range(4))
@pytest.mark.parametrize("quarters", range(4))
def test_the_orientation_follows_what_happens_later(quarters, later, flip):
    """The film, turned back by the noted quarters, is the upright one or its mirror image: nothing else."""
    upright = np.arange(64, dtype=np.uint8).reshape(8, 8)
    step = RandomSimilarity(max_degrees=0)
    step.draw = lambda width, height: Similarity(angle=90.0 * later, flip=flip)
    given = dict(img=np.rot90(upright, -quarters), gt_bboxes=HorizontalBoxes(np.zeros((0, 4), np.float32)))
    found = step.transform(dict(given, orientation=(quarters, 1)))
    needed, inverted = found["orientation"]
    back = np.rot90(found["img"], needed)
    np.testing.assert_array_equal(back, upright[:, ::-1] if flip else upright)
    assert inverted == 1
    assert step.transform(dict(given, orientation=(-1, 0)))["orientation"] == (-1, 0)


def test_a_lower_resolution_is_that_of_fewer_pixels():
    """A pattern finer than a pixel of the reduced film is gone; one of a quarter of the film stays."""
    fine = np.tile(np.array([0, 200], np.uint8), (64, 32))
    assert lower_resolution(fine, 16).std() < 5
    coarse = np.kron(np.array([[0, 200], [200, 0]], np.uint8), np.ones((32, 32), np.uint8))
    assert lower_resolution(coarse, 16).std() > 80
    np.testing.assert_array_equal(lower_resolution(coarse, 64), coarse)
    assert lower_resolution(film(), 10).shape == (60, 80)


def test_compression():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    errors = [np.abs(compress(noise, quality).astype(int) - noise).mean() for quality in (5, 50, 100)]
    assert errors[0] > errors[1] > 5 * errors[2]


@pytest.mark.parametrize("channels", [True, False])
@pytest.mark.parametrize("step", [RandomDegradation(1, (20, 40), 1, (5, 60), 1, 9), RandomMarks(1, 1, 1)])
def test_shape_type_labels_and_seed(step, channels):
    for seed in range(20):
        found = []
        for _ in range(2):
            np.random.seed(seed)
            before = results(channels)
            given = before["img"].copy()
            found.append(step.transform(before))
        assert found[0]["img"].dtype == np.uint8
        assert found[0]["img"].shape == given.shape
        np.testing.assert_array_equal(found[0]["img"], found[1]["img"])
        assert found[0]["gt_bboxes"].numpy().tolist() == [BOX]
        assert (found[0]["img"] != given).any()


def test_nothing_happens_without_probability():
    for step in (RandomDegradation(0, (20, 40), 0, (5, 60), 0), RandomMarks(0, 0, 0)):
        np.testing.assert_array_equal(step.transform(results())["img"].squeeze(), film())


def test_a_cut_keeps_the_middle_of_every_label():
    """Nine tenths of each side are kept; the cut takes up to that, and often nothing."""
    boxes = np.array([[4.0, 10, 24, 30], [60, 20, 76, 36]])
    cut = 0
    for seed in range(300):
        np.random.seed(seed)
        picture = np.tile(np.arange(80, dtype=np.uint8) % 2 * 90 + 70, (60, 1))  # stripes; no surrounding has them
        given = picture.copy()
        draw_edges(picture, boxes)
        same = picture == given
        for x0, y0, x1, y1 in boxes.astype(int):
            assert same[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].all()
        cut += not same.all()
    assert 200 < cut < 300  # 1 - .4 ** 4 of them, less those that cut nothing


def test_films_without_a_label_keep_their_middle():
    np.random.seed(0)
    for _ in range(50):
        without = dict(results(), gt_bboxes=HorizontalBoxes(np.zeros((0, 4), np.float32)))
        found = RandomMarks(0, 0, 1).transform(without)["img"].squeeze()
        np.testing.assert_array_equal(found[22:38, 29:51], film()[22:38, 29:51])
