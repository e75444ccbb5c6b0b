"""Chest phantoms: other ROIs than hips."""

import numpy as np
import pytest

from hipdet.phantoms.chest import plan_chest, render_chest

PLANS = [plan_chest(index) for index in range(200)]


def test_one_heart_and_two_lungs_on_the_film():
    for plan in PLANS:
        assert plan.labels == ("heart", "lung", "lung")
        assert (plan.boxes[:, :2] >= 0).all()
        assert (plan.boxes[:, 2:] <= [plan.width, plan.height]).all()
        _, left, right = plan.boxes
        assert left[2] < right[0]  # the lungs don't overlap, picture-left first


def test_shapes():
    sides = np.array([plan.boxes[:, 2:] - plan.boxes[:, :2] for plan in PLANS])
    np.testing.assert_allclose(sides[:, 0, 0], sides[:, 0, 1])  # the heart's box is a square
    aspects = sides[:, 1:, 1] / sides[:, 1:, 0]
    assert np.median(aspects) == pytest.approx(2, abs=0.1)
    assert (aspects.min(), aspects.max()) == (pytest.approx(1.6, abs=0.1), pytest.approx(2.4, abs=0.1))


@pytest.mark.parametrize("index", range(6))
def test_lungs_are_dark_and_the_heart_is_bright(index):
    plan = plan_chest(index, max_side=256)
    film = render_chest(plan)
    assert film.shape == (plan.height, plan.width)
    heart, left, _ = plan.boxes
    x, y = (heart[:2] + heart[2:]) / 2
    middle = film[int(y) - 5 : int(y) + 5, int(x) - 5 : int(x) + 5].mean()
    x, y = left[0] + 0.4 * (left[2] - left[0]), (left[1] + left[3]) / 2
    lung = film[int(y) - 5 : int(y) + 5, int(x) - 5 : int(x) + 5].mean()
    assert middle > lung + 15


def test_the_same_every_time():
    np.testing.assert_array_equal(render_chest(plan_chest(3, 1, 128)), render_chest(plan_chest(3, 1, 128)))
    assert not np.array_equal(plan_chest(3, 1).boxes, plan_chest(3, 2).boxes)


def test_size():
    plan = plan_chest(0, max_side=200)
    assert max(plan.width, plan.height) == 200
    np.testing.assert_allclose(plan.boxes / 200, plan_chest(0, max_side=400).boxes / 400, atol=0.01)
