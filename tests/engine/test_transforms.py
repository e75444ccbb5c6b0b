"""Steps that make mirror images are found at any place in a pipeline.

Films of every kind through mmdet's own LoadImageFromFile.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from dicom_bytes import IMPLICIT, film
from film_bytes import UPRIGHT, encoded
from hipdet.core.errors import ConfigError
from hipdet.engine.transforms import (
    RandomGamma,
    RandomLighting,
    RandomSimilarity,
    Similarity,
    lighting,
    mirroring_steps,
    warp,
    warp_boxes,
)


@pytest.mark.parametrize(
    ("transform", "point", "expected"),
    [
        (Similarity(), (10, 20), (10, 20)),
        (Similarity(flip=True), (10, 20), (90, 20)),  # x -> 100 - x on continuous edges
        (Similarity(angle=90), (60, 40), (40, 40)),  # counter-clockwise: right of the centre goes up
        (Similarity(scale=2), (60, 40), (70, 30)),
        (Similarity(dx=5, dy=-3), (60, 40), (65, 37)),
        (Similarity(stretch=4), (60, 40), (70, 45)),  # twice as wide, half as high
        (Similarity(angle=90, stretch=4), (60, 40), (45, 30)),  # stretched first
    ],
)
def test_points_by_hand(transform, point, expected):
    found = transform.matrix(100, 100) @ [*point, 1]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(
    st.floats(-20, 20),
    st.floats(0.7, 1.4),
    st.floats(-15, 15),
    st.floats(-15, 15),
    st.booleans(),
    st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None)
def test_boxes_go_where_the_pixels_go(angle, scale, dx, dy, flip, seed):
    generator = np.random.default_rng(seed)
    x, y, radius = generator.uniform(80, 140), generator.uniform(80, 140), 20.0
    rows, columns = np.mgrid[:224, :224] + 0.5
    disc = np.clip(radius - np.hypot(columns - x, rows - y) + 0.5, 0, 1).astype(np.float32)[..., None].repeat(3, axis=2)
    matrix = Similarity(angle, scale, dx, dy, flip).matrix(224, 224)
    moved = warp(disc, matrix)
    if moved.ndim == 3:
        moved = moved[..., 0]
    box = warp_boxes(np.array([[x - radius, y - radius, x + radius, y + radius]]), matrix)[0]
    total = moved.sum()
    centre = (moved * columns).sum() / total, (moved * rows).sum() / total
    assert (box[0] + box[2]) / 2 == pytest.approx(centre[0], abs=0.1)
    assert (box[1] + box[3]) / 2 == pytest.approx(centre[1], abs=0.1)
    # a round object keeps its square: side = diameter
    assert box[2] - box[0] == pytest.approx(2 * math.sqrt(total / math.pi), rel=0.02)
    assert box[2] - box[0] == pytest.approx(box[3] - box[1])


@pytest.mark.parametrize(
    ("angle", "expected"),
    # centre (45, 30) of a film 100 x 100, that is (-5, -20) from its middle: counter-clockwise (x, y) -> (y, -x)
    [(90, [20, 50, 40, 60]), (180, [50, 60, 60, 80]), (270, [60, 40, 80, 50])],
)
def test_a_quarter_turn_swaps_width_and_height(angle, expected):
    found = warp_boxes(np.array([[40.0, 20, 50, 40]]), Similarity(angle=angle).matrix(100, 100))[0]
    assert found.tolist() == pytest.approx(expected)


def test_quarter_turns_come_as_often_as_asked():
    transform = RandomSimilarity(5, quarter_turn_prob=0.3)
    np.random.seed(0)
    angles = np.array([transform.draw(100, 100).angle for _ in range(4000)])
    quarters = np.round(angles / 90).astype(int)
    assert np.abs(angles - 90 * quarters).max() <= 5
    shares = np.bincount(quarters, minlength=4) / len(angles)
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.1, 0.1], atol=0.02)  # sd .005 to .007


def test_stretched_films_keep_the_area_of_their_boxes_and_squares_stay_squares():
    transform = RandomSimilarity(0, max_stretch=1.5)
    np.random.seed(0)
    drawn = [transform.draw(100, 100) for _ in range(2000)]
    stretch = np.array([each.stretch for each in drawn])
    assert 1 / 1.5 <= stretch.min() < 0.68
    assert 1.48 < stretch.max() <= 1.5
    assert abs(np.log(stretch).mean()) < 0.02  # sd of the mean: .234 / 45
    box = np.array([[40.0, 20, 60, 40]])
    for each in drawn[:20]:
        (found,) = warp_boxes(box, each.matrix(100, 100))
        assert (found[2:] - found[:2]).tolist() == pytest.approx([20, 20])


@pytest.mark.parametrize("stretch", [0.5, 0.99])
def test_bad_stretch(stretch):
    with pytest.raises(ConfigError, match=f"max_stretch must be 1 or more, found {stretch}"):
        RandomSimilarity(max_stretch=stretch)


def results():
    return dict(
        img=np.full((100, 100, 3), 7, np.uint8),
        gt_bboxes=HorizontalBoxes(np.array([[40, 40, 60, 60], [0, 0, 10, 10]], np.float32)),
        gt_bboxes_labels=np.array([0, 1]),
        gt_ignore_flags=np.array([False, False]),
    )


def test_a_box_that_leaves_the_picture_is_dropped_with_its_label():
    transform = RandomSimilarity(max_degrees=0)
    transform.draw = lambda width, height: Similarity(dx=-20)
    found = transform(results())
    assert found["gt_bboxes"].numpy().tolist() == [[20, 40, 40, 60]]
    assert found["gt_bboxes_labels"].tolist() == [0]
    assert found["gt_ignore_flags"].tolist() == [False]
    assert (found["img"][:, 80:] == 0).all()


@pytest.mark.parametrize(
    ("dx", "boxes", "flags"),
    [
        (-20, [[20, 40, 40, 60]], [False]),
        (-55, [[-15, 40, 5, 60]], [True]),  # its centre is outside
        (-59.5, [[-19.5, 40, 0.5, 60]], [True]),
        (-60, [], []),
    ],
)
def test_an_ignored_box_stays_while_any_part_is_visible(dx, boxes, flags):
    """The visible part would become background."""
    transform = RandomSimilarity(max_degrees=0)
    transform.draw = lambda width, height: Similarity(dx=dx)
    found = transform(dict(results(), gt_ignore_flags=np.array([dx != -20, False])))
    assert found["gt_bboxes"].numpy().tolist() == boxes
    assert found["gt_ignore_flags"].tolist() == flags
    assert len(found["gt_bboxes_labels"]) == len(boxes)


SWAPPED = dict(mirrored_labels=(1, 0))


@pytest.mark.parametrize("angle", [0, 7, 45, 90, 180, 270, 360])
def test_only_mirror_images_swap_left_and_right(angle):
    """On a rotated film the patient's left is still the patient's left."""
    for flip, expected in ((False, [0, 1]), (True, [1, 0])):
        drawn = Similarity(angle=angle, flip=flip, scale=0.5)
        transform = RandomSimilarity()
        transform.draw = lambda width, height, drawn=drawn: drawn
        found = transform(dict(results(), **SWAPPED))
        assert found["gt_bboxes_labels"].tolist() == expected
        assert found["gt_bboxes_labels"].dtype == np.int64
        # without mirrored_labels, labels stay
        assert transform(results())["gt_bboxes_labels"].tolist() == [0, 1]


def test_two_mirrors_at_a_right_angle_are_a_half_turn():
    left_to_right, top_to_bottom = Similarity(flip=True), Similarity(flip=True, angle=180)
    film = dict(results(), **SWAPPED)
    for drawn in (left_to_right, top_to_bottom):
        transform = RandomSimilarity()
        transform.draw = lambda width, height, drawn=drawn: drawn
        film = transform(film)
    assert film["gt_bboxes_labels"].tolist() == [0, 1]
    assert film["gt_bboxes"].numpy() == pytest.approx(np.array([[40, 40, 60, 60], [90, 90, 100, 100]]), abs=1e-4)


@given(st.floats(-360, 360), st.floats(0.3, 1.0), st.floats(-20, 20), st.floats(-20, 20), st.booleans())
@settings(max_examples=100, deadline=None)
def test_labels_are_swapped_exactly_where_the_determinant_is_negative(angle, scale, dx, dy, flip):
    drawn = Similarity(angle, scale, dx, dy, flip)
    transform = RandomSimilarity()
    transform.draw = lambda width, height: drawn
    film = dict(results(), mirrored_labels=(0, 2, 1), gt_bboxes_labels=np.array([1, 0]))
    (xx, xy, _), (yx, yy, _) = drawn.matrix(100, 100)
    expected = 2 if xx * yy - xy * yx < 0 else 1
    # the box in the middle stays on the film, the one in the corner may leave it
    assert transform(film)["gt_bboxes_labels"].tolist() in ([expected, 0], [expected])


def test_a_film_whose_boxes_all_leave():
    transform = RandomSimilarity()
    transform.draw = lambda width, height: Similarity(dx=200, flip=True)
    assert transform(dict(results(), **SWAPPED))["gt_bboxes_labels"].tolist() == []


def test_draws_stay_within_their_limits_and_follow_the_seed():
    transform = RandomSimilarity(10, 0.9, (0.8, 1.25), 0.1, 0.5)
    np.random.seed(0)
    drawn = [transform.draw(200, 100) for _ in range(2000)]
    np.random.seed(0)
    assert drawn == [transform.draw(200, 100) for _ in range(2000)]
    assert all(abs(d.angle) <= 10 and 0.8 <= d.scale <= 1.25 and abs(d.dx) <= 20 and abs(d.dy) <= 10 for d in drawn)
    assert 0.87 < np.mean([d.angle != 0 for d in drawn]) < 0.93
    assert 0.45 < np.mean([d.flip for d in drawn]) < 0.55


def test_the_papers_setting():
    # up to 3 degrees with probability 0.9, nothing else
    np.random.seed(0)
    drawn = [RandomSimilarity().draw(224, 224) for _ in range(500)]
    assert max(abs(d.angle) for d in drawn) <= 3
    assert all(d._replace(angle=0.0) == Similarity() for d in drawn)


@pytest.mark.parametrize("scale", [(0, 1), (1.2, 0.8), (-1, 1)])
def test_bad_scale(scale):
    with pytest.raises(ConfigError, match="scale"):
        RandomSimilarity(scale=scale)


def test_gamma():
    transform = RandomGamma(limit=1.8)
    np.random.seed(0)
    found = np.array([transform(dict(img=np.full((1, 1, 1), 64, np.uint8)))["img"].item() for _ in range(500)])
    # 255 * (64 / 255) ** g for g = 1.8 and 1 / 1.8
    assert 21.1 <= found.min() < 22.5
    assert 116 < found.max() <= 118.3
    assert transform(dict(img=np.array([0, 255], np.uint8)))["img"].tolist() == [0, 255]
    with pytest.raises(ConfigError, match="limit"):
        RandomGamma(limit=0.5)


def test_gamma_of_whole_greys_is_that_of_the_same_in_float32():
    greys = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    found = []
    for img in (greys, greys.astype(np.float32)):
        np.random.seed(3)
        found.append(RandomGamma(limit=1.8)(dict(img=img))["img"])
    assert found[0].dtype == found[1].dtype == np.float32
    np.testing.assert_array_equal(found[0], found[1])


PIXELS = np.array([50, 100, 150, 200], np.uint8).reshape(2, 2, 1)  # mean 125


@pytest.mark.parametrize(
    ("b", "c", "expected"),
    [
        (0, 0, [50, 100, 150, 200]),
        (0, 0.5, [12.5, 87.5, 162.5, 237.5]),  # 125 + 1.5 * (x - 125)
        (0, -0.25, [65, 105, 145, 185]),  # factor 1 / 1.25 = 0.8
        (0.2, 0, [101, 151, 201, 251]),  # + 51
        (0.5, 0, [177.5, 227.5, 255, 255]),  # clipped
        (-0.5, 0.5, [0, 0, 35, 110]),
    ],
)
def test_formula_of_fastai(b, c, expected):
    found = lighting(PIXELS, b, c)
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-3)
    assert found.dtype == np.float32


def test_extremes_of_the_papers_setting():
    np.random.seed(0)
    flat = np.full((2, 2, 3), 128, np.uint8)  # contrast doesn't change a flat picture
    means = [RandomLighting(balance=0.5, contrast=0.5)(dict(img=flat))["img"].mean() for _ in range(500)]
    # 128 - 127.5 and 128 + 127.5, clipped at 255
    assert 0.5 <= min(means) < 5
    assert 250 < max(means) <= 255


def test_lighting_does_not_change_its_input():
    img = np.full((2, 2, 1), 100, np.float32)
    lighting(img, 0.2, 0.0)
    assert (img == 100).all()


SIMILARITY = dict(type="RandomSimilarity", flip_prob=0.5)
FLIP = dict(type="RandomFlip", prob=0.5)


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        ([], []),
        ([SIMILARITY], ["RandomSimilarity"]),
        ([dict(SIMILARITY, flip_prob=0.0, quarter_turn_prob=1.0, max_degrees=180)], []),  # turns
        ([dict(type="PackDetInputs"), FLIP, SIMILARITY], ["RandomFlip", "RandomSimilarity"]),
        ([dict(FLIP, prob=0.0)], []),
        ([dict(FLIP, direction="vertical")], ["RandomFlip"]),
        ([dict(FLIP, direction="diagonal")], []),  # a half turn
        ([dict(FLIP, prob=[0.2, 0.3], direction=["diagonal", "horizontal"])], ["RandomFlip"]),
        ([dict(type="mmcv.RandomFlip", prob=0.5)], ["RandomFlip"]),
        ([dict(type="RandomApply", transforms=[FLIP], prob=0.1)], ["RandomFlip"]),
        ([dict(type="RandomChoice", transforms=[[dict(type="PackDetInputs")], [SIMILARITY]])], ["RandomSimilarity"]),
        ([dict(type="TestTimeAug", transforms=[[dict(FLIP, prob=0.0), dict(FLIP, prob=1.0)]])], ["RandomFlip"]),
    ],
)
def test_steps(pipeline, expected):
    init_default_scope("mmdet")
    assert [type(step).__name__ for step in mirroring_steps(Compose(pipeline))] == expected


DEEP = UPRIGHT.astype(np.uint16) * 16
IDENTITY = dict(WindowCenter="2040", WindowWidth="4080", VOILUTFunction="LINEAR_EXACT")  # 16 stored values to a grey


@pytest.mark.parametrize(
    ("data", "needs"),
    [
        (encoded(UPRIGHT, "PNG"), "PIL"),
        (film(DEEP, **IDENTITY), "pydicom"),
        (film(DEEP, IMPLICIT, with_preamble=False, **IDENTITY), "pydicom"),
        (film(4080 - DEEP, PhotometricInterpretation="MONOCHROME1", **IDENTITY), "pydicom"),
    ],
    ids=["PNG", "DICOM", "DICOM without preamble", "MONOCHROME1"],
)
def test_load_image_from_file(data, needs, tmp_path):
    pytest.importorskip(needs)
    init_default_scope("mmdet")
    path = tmp_path / "001"
    path.write_bytes(data)
    load = TRANSFORMS.build(dict(type="LoadImageFromFile", backend_args=dict(backend="radiograph")))
    loaded = load(dict(img_path=str(path)))
    np.testing.assert_array_equal(loaded["img"], np.repeat(UPRIGHT[..., None], 3, axis=2))
    assert loaded["ori_shape"] == UPRIGHT.shape
