"""Phantom films and labels are exactly known, within the paper's ranges, and reproducible; chests have other ROIs."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.phantoms.chest import plan_chest, render_chest
from hipdet.phantoms.depth import expose
from hipdet.phantoms.plan import ROI_IN_HEADS, SOURCES, hip_centres, plan_film
from hipdet.phantoms.shapes import affine, disc
from hipdet.phantoms.write import make_film

TABLE_1 = dict(cgoa=(1616, 4280, 2635.8, 201.1), oaih=(466, 1080, 571.3, 97.0), gis=(225, 4256, 515.3, 626.6))
sources = st.sampled_from(sorted(SOURCES))


@pytest.fixture(scope="module", params=sorted(SOURCES))
def plans(request):
    return request.param, [plan_film(request.param, index) for index in range(300)]


def test_sizes_follow_table_1(plans):
    source, films = plans
    low, high, mean, sd = TABLE_1[source]
    sides = np.array([max(film.width, film.height) for film in films])
    assert low <= sides.min() <= sides.max() <= high
    # within four standard errors of 300 films
    assert abs(sides.mean() - mean) < 4 * sd / np.sqrt(300) + 0.02 * mean


def test_ratios_span_10_to_30_percent(plans):
    source, films = plans
    ratios = np.array([(film.hips[:, 2] - film.hips[:, 0]) / max(film.width, film.height) for film in films])
    assert ratios.min() >= 0.10 - 1e-9
    assert ratios.max() <= 0.30 + 1e-9
    assert ratios.min() < 0.12
    assert ratios.max() > 0.28
    medians = dict(cgoa=0.195, oaih=0.225, gis=0.2)
    assert np.median(ratios) == pytest.approx(medians[source], abs=0.012)


def test_boxes_are_square_inside_and_apart(plans):
    for film in plans[1]:
        left, right = film.hips
        for x0, y0, x1, y1 in (left, right):
            assert x1 - x0 == pytest.approx(y1 - y0)
            assert x0 >= 0
            assert y0 >= 0
            assert x1 <= film.width
            assert y1 <= film.height
        assert left[2] < right[0]  # picture-left first, no overlap


def test_box_is_1_8_heads_about_the_centre_of_the_head():
    # in body coordinates the head has diameter 1: under the film's transform the side is 1.8 * scale * magnification
    plan = plan_film("gis", 7)
    scale = np.sqrt(np.linalg.det(plan.transform[:, :2]))
    assert ROI_IN_HEADS == 1.8
    np.testing.assert_allclose(plan.hips[:, 2] - plan.hips[:, 0], 1.8 * scale * np.array(plan.pose.magnification))
    centres = (plan.hips[:, :2] + plan.hips[:, 2:]) / 2
    np.testing.assert_allclose(centres, affine(plan.transform, hip_centres(plan.patient)))


@pytest.mark.parametrize("index", [0, 3, 8])
def test_the_label_is_where_bone_is_drawn(index):
    plan = plan_film("gis", index, max_side=400)
    depths = expose(plan, np.random.default_rng(0))
    bone = depths.bone + depths.metal
    shrink = bone.shape[1] / plan.width
    for x0, y0, x1, y1 in plan.hips * shrink:
        centre, head = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), (x1 - x0) / 1.8
        inside = disc(bone.shape, centre, 0.4 * head, 1.0)
        # the head absorbs more than the median of its box, which holds soft tissue too
        box = bone[int(y0) : int(y1), int(x0) : int(x1)]
        assert (bone * inside).sum() / inside.sum() > np.median(box)


@given(sources, st.integers(0, 500), st.integers(0, 3))
@settings(max_examples=8, deadline=None)
def test_same_arguments_same_film(source, index, seed):
    one, other = (make_film(source, index, seed, max_side=160) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.hips, other.hips)
    assert one.pixels.dtype == np.uint8
    assert one.pixels.std() > 5  # not blank
    assert max(one.pixels.shape) == 160


def test_another_seed_another_film():
    assert not np.array_equal(make_film("cgoa", 0, 0, 160).hips, make_film("cgoa", 0, 1, 160).hips)


def test_smaller_films_have_the_same_geometry():
    large, small = plan_film("cgoa", 5), plan_film("cgoa", 5, max_side=300)
    np.testing.assert_allclose(small.hips / 300, large.hips / large.width, atol=2e-3)


def test_films_of_a_patient():
    pairs = [(plan_film("cgoa", 2 * i), plan_film("cgoa", 2 * i + 1)) for i in range(50)]
    assert all(before.name == after.name for before, after in pairs)
    assert all(before.pose != after.pose for before, after in pairs)
    # pre and post operation: some second films have metal that the first lacks
    assert sum(sum(k is not None for k in a.kinds) > sum(k is not None for k in b.kinds) for b, a in pairs) > 15
    names = [plan_film("gis", i).name for i in range(20)]
    assert len(set(names)) == 20


@pytest.mark.parametrize("arguments", [("mri", 0), ("gis", -1), ("gis", 0, -1), ("gis", 0, 0, 8)])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=r"unknown source|expected at least 0, 0 and 32 px"):
        plan_film(*arguments)


PLANS = [plan_chest(index) for index in range(200)]


def test_one_heart_and_two_lungs_on_the_film():
    for plan in PLANS:
        assert plan.labels == ("heart", "lung", "lung")
        assert (plan.boxes[:, :2] >= 0).all()
        assert (plan.boxes[:, 2:] <= [plan.width, plan.height]).all()
        _, left, right = plan.boxes
        assert left[2] < right[0]  # the lungs don't overlap, picture-left first


def test_shapes_of_chest_boxes():
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


def test_chests_are_reproducible():
    np.testing.assert_array_equal(render_chest(plan_chest(3, 1, 128)), render_chest(plan_chest(3, 1, 128)))
    assert not np.array_equal(plan_chest(3, 1).boxes, plan_chest(3, 2).boxes)


def test_size_of_chests():
    plan = plan_chest(0, max_side=200)
    assert max(plan.width, plan.height) == 200
    np.testing.assert_allclose(plan.boxes / 200, plan_chest(0, max_side=400).boxes / 400, atol=0.01)


@pytest.mark.parametrize("source", SOURCES)
def test_films_of_other_seeds_are_other_films(source):
    """So phantoms of one seed may be trained on, and those of another tested (docs/results/paper_model.md)."""
    plans = {seed: [plan_film(source, index, seed) for index in range(100)] for seed in (0, 1000, 2000)}
    for one, other in combinations(plans.values(), 2):
        for part in (lambda plan: plan.seed, lambda plan: plan.hips.tobytes(), lambda plan: repr(plan.pose)):
            assert not {part(plan) for plan in one} & {part(plan) for plan in other}
