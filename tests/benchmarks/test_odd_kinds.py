"""Kinds of odd films: boxes by hand, pixels that follow them, and greys."""

import numpy as np
import pytest

from odd.collimator import outside, shaded
from odd.geometry import cut_at, in_field, on_page, one_side, stretched_in, turned
from odd.kinds import KINDS, generator
from odd.light_box import camera, fitted, mapped, photographed, through_matrix, turn
from spotted_films import HIGH, SPOTS, WIDE, spotted

WIDTH, HEIGHT = 200, 100
# squares of 20 px about (30, 50) and (150, 60)
BOXES = np.array([[20.0, 40, 40, 60], [140, 50, 160, 70]])
FILM = np.zeros((HEIGHT, WIDTH), np.uint8)
ANY = np.random.default_rng(0)


def sides(film):
    return film.shape[1], film.shape[0]


@pytest.mark.parametrize(
    ("quarters", "size", "expected"),
    [
        # counter-clockwise: (x, y) goes to (y, 200 - x), so the top goes to the left
        (1, (100, 200), [[40, 160, 60, 180], [50, 40, 70, 60]]),
        # (x, y) goes to (200 - x, 100 - y)
        (2, (200, 100), [[160, 40, 180, 60], [40, 30, 60, 50]]),
        # clockwise: (x, y) goes to (100 - y, x)
        (3, (100, 200), [[40, 20, 60, 40], [30, 140, 50, 160]]),
    ],
)
def test_boxes_of_turned_films(quarters, size, expected):
    film, boxes = turned(quarters)(FILM, BOXES, ANY)
    assert sides(film) == size
    np.testing.assert_array_equal(boxes, expected)


def test_boxes_of_one_hip():
    # centres at x = 30 and 150: the cut is at 90
    film, boxes = one_side(FILM, BOXES, left=True)
    assert sides(film) == (90, 100)
    np.testing.assert_array_equal(boxes, BOXES)
    film, boxes = one_side(FILM, BOXES, left=False)
    assert sides(film) == (110, 100)
    np.testing.assert_array_equal(boxes, [[-70, 40, -50, 60], [50, 50, 70, 70]])


def test_boxes_of_small_films():
    # 80 x 40 in 200 x 100: from (60, 30); centres (12, 20) and (60, 24), sides 8
    film, boxes = in_field(FILM + 255, BOXES, 0.4)
    np.testing.assert_allclose(boxes, [[68, 46, 76, 54], [116, 50, 124, 58]])
    assert sides(film) == (200, 100)
    assert film[30:70, 60:140].min() == 255
    assert film.sum() == 255 * 80 * 40


def test_boxes_of_stretched_films():
    # centres (37.5, 50) and (187.5, 60); side 20 x root of 1.25 = 22.360680
    half = 11.180340
    film, boxes = stretched_in(FILM, BOXES, wider=True)
    assert sides(film) == (250, 100)
    expected = [[37.5 - half, 50 - half, 37.5 + half, 50 + half], [187.5 - half, 60 - half, 187.5 + half, 60 + half]]
    np.testing.assert_allclose(boxes, expected, atol=1e-5)
    film, boxes = stretched_in(FILM, BOXES, wider=False)
    assert sides(film) == (200, 125)  # centres (30, 62.5) and (150, 75)
    np.testing.assert_allclose(boxes[0], [30 - half, 62.5 - half, 30 + half, 62.5 + half], atol=1e-5)


def test_boxes_of_cut_films():
    film, boxes = cut_at(FILM, BOXES, 2.0, left=True, top=True)  # from x = 18, y = 38
    assert sides(film) == (182, 62)
    np.testing.assert_array_equal(boxes, [[2, 2, 22, 22], [122, 12, 142, 32]])
    film, boxes = cut_at(FILM, BOXES, 2.5, left=False, top=False)  # to x = 163, y = 73
    assert sides(film) == (163, 73)
    np.testing.assert_array_equal(boxes, BOXES)
    assert sides(cut_at(FILM, BOXES, 50.0, left=True, top=False)[0]) == (200, 100)  # it ends there


def test_boxes_of_framed_films():
    film, boxes = on_page(FILM, BOXES, 10, 20, 30, 40, grey=200)
    assert sides(film) == (240, 160)
    np.testing.assert_array_equal(boxes, [[30, 60, 50, 80], [150, 70, 170, 90]])
    assert film[20:120, 10:210].max() == 0
    assert film.sum() == 200 * (240 * 160 - 200 * 100)


def test_a_camera_by_hand():
    # the middle (100, 50) goes to (0, 0) at scale 1; the camera is 200 px away
    points = np.array([[100.0, 50], [120, 90]])
    np.testing.assert_allclose(through_matrix(points, camera(200, 100, 0, 0, 0, 1)), [[0, 0], [20, 40]], atol=1e-9)
    np.testing.assert_allclose(through_matrix(points, camera(200, 100, 0, 70, 90, 1)), [[0, 0], [-40, 20]], atol=1e-9)
    # slanted by 60 degrees about x: 40 px down become 20 px down and 34.641016 px away; 200 / 234.641016 = .852366
    seen = through_matrix(points, camera(200, 100, 60, 0, 0, 1))
    np.testing.assert_allclose(seen, [[0, 0], [20 * 0.852366, 20 * 0.852366]], atol=1e-4)
    # about y: 20 px to the right become 10 px, and 17.320508 px nearer; 200 / 182.679492 = 1.094814
    seen = through_matrix(points, camera(200, 100, 60, 90, 0, 1))
    np.testing.assert_allclose(seen[1], [10 * 1.094814, 40 * 1.094814], atol=1e-4)


def test_boxes_of_photographs():
    # (x, y) goes to (x, y) / (1 + x / 10): sides 5, 5, root of 50, 10; their mean is 6.767767, and 5 goes to 10 / 3
    matrix, half = np.array([[1, 0, 0], [0, 1, 0], [0.1, 0, 1]]), 3.383883
    boxes = mapped(np.array([[0.0, 0, 10, 10]]), matrix)
    np.testing.assert_allclose(boxes, [[10 / 3 - half, 10 / 3 - half, 10 / 3 + half, 10 / 3 + half]], atol=1e-5)
    # a square that is only rotated keeps its side
    boxes = mapped(BOXES[:1], turn(np.pi / 6))
    np.testing.assert_allclose(boxes[0, 2:] - boxes[0, :2], 20)
    np.testing.assert_allclose((boxes[0, :2] + boxes[0, 2:]) / 2, [0.980762, 58.301270], atol=1e-5)
    assert mapped(BOXES[:0], matrix).shape == (0, 4)


def test_a_photograph_shows_the_whole_film():
    # 200 x 100 with .1 and .05 of 200 px at the left and top, .2 and .15 at the right and bottom
    matrix, size = fitted(camera(WIDTH, HEIGHT, 0, 0, 0, 2), WIDTH, HEIGHT, np.array([0.1, 0.05, 0.2, 0.15]))
    assert size == (260, 140)
    seen, share = photographed(FILM + 90, matrix, size)
    assert (seen[10:110, 20:220].min(), share[10:110, 20:220].min()) == (90, 1)
    assert share.sum() == WIDTH * HEIGHT


def test_a_light_box_is_brighter_than_the_film_on_it():
    for seed in range(8):
        made, boxes = KINDS["light_box"].change(spotted(), SPOTS, generator(seed, "light_box", "a.png"))
        assert made.shape[0] > HIGH
        assert made.shape[1] > WIDE
        edge = np.concatenate([made[0], made[-1], made[:, 0], made[:, -1]])
        assert edge.min() > 100
        assert edge.max() > edge.min() + 10  # uneven light
        inside = [made[round(y0) : round(y1), round(x0) : round(x1)] for x0, y0, x1, y1 in boxes]
        assert max(np.quantile(part, 0.5) for part in inside) < edge.min()
        # slanted: the photograph of a label is nearly as large as it, and the camera is nearer to one of them
        sides_of = boxes[:, 2] - boxes[:, 0]
        assert 48 < sides_of.min() < sides_of.max() < 72


def test_a_collimated_field_by_hand():
    # labels from (20, 40) to (160, 70); the sides are at the right, bottom, left and top
    distance = outside(FILM.shape, BOXES, 0.0, np.array([10.0, 20, 5, 30]))
    field = np.zeros(FILM.shape, bool)
    field[10:90, 15:170] = True
    np.testing.assert_array_equal(distance == 0, field)
    found = distance[50, 199], distance[99, 100], distance[50, 0], distance[0, 100]
    assert found == pytest.approx((29.5, 9.5, 14.5, 9.5))
    # a smooth change within 10 px beside it: half of the way at 5 px
    film = shaded(FILM[:1, :6] + 200, np.array([[0, 2.5, 5, 7.5, 10, 50]]), 10.0, np.full((1, 6), 20.0))
    np.testing.assert_array_equal(film[0], [200, 172, 110, 48, 20, 20])  # 1, .84375, .5, .15625 and 0 of 180 above 20


def test_slanted_fields_keep_all_labels():
    for slant in np.radians([-14, -4, 9]):
        for count in (4, 6, 8):
            margins = np.arange(1.0, count + 1)
            distance = outside((HIGH, WIDE), SPOTS, slant, margins)
            assert distance[130:190, 60:120].max() == distance[140:200, 270:330].max() == 0
            assert distance[0, 0] > 0
            # the first side, on the right, is 1 px from the nearest corner of a label
            end = 330 * np.cos(slant) + (200 if slant > 0 else 140) * np.sin(slant) + 1
            assert distance[170, 399] == pytest.approx(399.5 * np.cos(slant) + 170.5 * np.sin(slant) - end)


def test_collimated_films_are_dark_beside_the_hips():
    film = spotted() + 100
    for seed in range(12):
        made, boxes = KINDS["collimator"].change(film, SPOTS, generator(seed, "collimator", "a.png"))
        np.testing.assert_array_equal(boxes, SPOTS)
        assert made.shape == film.shape
        for x0, y0, x1, y1 in SPOTS.astype(int):
            np.testing.assert_array_equal(made[y0:y1, x0:x1], film[y0:y1, x0:x1])
        corners = np.concatenate([made[:8, :8].ravel(), made[-8:, :8].ravel()])
        assert corners.mean() < 85
        assert 0.1 < (made < 100).mean() < 0.95


def centroid(film, box, bright):
    """The centre of what is brighter, or darker, than halfway between the film and its disc, within `box`."""
    x0, y0, x1, y1 = np.rint(box).astype(int)
    part = film[y0:y1, x0:x1].astype(float)
    part = part if bright else 255 - part
    weight = np.clip(part - (np.median(part) + part.max()) / 2, 0, None)
    y, x = np.mgrid[y0:y1, x0:x1] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


MOVED = [
    "ordinary", "lying_left", "lying_right", "upside_down", "inverted", "inverted_lying", "one_hip", "small", "blurred",
    "stretched", "cut", "framed", "dark", "low_contrast", "light_box", "collimator",
]  # fmt: skip


@pytest.mark.parametrize("kind", MOVED)
def test_pixels_follow_their_labels(kind):
    for seed in range(4):  # both sides, both axes
        film, boxes = KINDS[kind].change(spotted(), SPOTS, generator(seed, kind, "a.png"))
        width, height = sides(film)
        on_film = [box for box in boxes if 0 <= box[0] + box[2] < 2 * width]
        assert len(on_film) == (1 if kind == "one_hip" else 2)
        for box in on_film:
            assert min(box[0], box[1], width - box[2], height - box[3]) >= 0
            assert box[2] - box[0] == pytest.approx(box[3] - box[1], rel=0.02)
            middle = (box[:2] + box[2:]) / 2
            np.testing.assert_allclose(centroid(film, box, not KINDS[kind].inverted), middle, atol=1.5)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_deterministic_and_pure(kind):
    film, before = spotted(), spotted()
    first, boxes = KINDS[kind].change(film, SPOTS, generator(1, kind, "a.png"))
    again, same = KINDS[kind].change(film, SPOTS, generator(1, kind, "a.png"))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(boxes, same)
    np.testing.assert_array_equal(film, before)
    assert first.dtype == np.uint8
    other, _ = KINDS[kind].change(film, SPOTS, generator(2, kind, "a.png"))
    if kind in ("noisy", "captions", "letters", "framed", "light_box", "collimator"):
        assert not np.array_equal(first, other)


def test_random_numbers_depend_on_names():
    draws = {
        generator(*key).integers(1 << 60) for key in [(0, "cut", "a"), (1, "cut", "a"), (0, "cut", "b"), (0, "a", "a")]
    }
    assert len(draws) == 4


def test_greys():
    film = spotted()

    def changed(kind):
        return KINDS[kind].change(film, SPOTS, generator(0, kind, "a.png"))[0]

    np.testing.assert_array_equal(changed("inverted"), 255 - film)
    assert changed("dark").max() < 40 < 100 < film.max()
    assert np.ptp(changed("low_contrast").astype(int)) <= 0.2 * 255
    white = changed("burnt") == 255
    inside = np.concatenate([white[130:190, 60:120], white[140:200, 270:330]])
    assert 0.05 < inside.mean() <= 1
    assert 5 < (changed("noisy").astype(float) - film)[:100].std() < 25
    assert changed("implant")[SPOTS[0].astype(int)[1] : 260].max() >= 230
    outside = changed("implant")[:100]
    np.testing.assert_array_equal(outside, film[:100])


def test_blurred_films_have_no_more_detail_than_a_hundred_pixels():
    """Stripes of 4 px on a film of 400 px are gone, those of 40 px stay."""
    for period, contrast in ((4, (0, 10)), (40, (150, 255))):
        film = np.tile(np.where(np.arange(WIDE) // (period // 2) % 2, 200, 0).astype(np.uint8), (HIGH, 1))
        made = KINDS["blurred"].change(film, SPOTS, ANY)[0][100:200, 100:300].astype(int)
        assert contrast[0] <= np.ptp(made) <= contrast[1]
