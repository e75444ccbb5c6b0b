"""What is recommended for which data."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.config import plan_text
from hipdet.anchors.coverage import fitted_share
from hipdet.anchors.feature_map import Backbone
from hipdet.anchors.plan import design
from hipdet.anchors.rois import Rois
from hipdet.anchors.search import EQUAL, FITTED, Goal, ScaleChooser, equal_steps, fitted_scales
from hipdet.core.errors import ConfigError, DatasetError
from hipdet.phantoms.plan import SOURCES, draw_ratio
from roi_sets import placed, roi_sets, rois_of, squares

rng = np.random.default_rng(0)
UNIFORM = rng.uniform(0.1, 0.3, 3000)


def of(rois, **goal):
    return design({"films": rois}, Goal(**goal))


BELL = np.array([draw_ratio(SOURCES[name], rng) for name in SOURCES for _ in range(1000)])  # of the phantoms


@pytest.mark.parametrize(
    "sizes",
    [UNIFORM, BELL, np.linspace(0.1, 0.3, 200), np.linspace(0.1, 0.3, 15_000)],
    ids=["uniform", "bell", "200", "15000"],
)
def test_the_papers_ratios_give_the_papers_anchors(sizes):
    plan = of(squares(sizes))
    assert plan.anchors == AnchorSet.equal_steps((7,), 0.7, 2.2, 0.3)
    assert plan.anchors.per_image == 294
    assert plan.as_json()["anchors"]["strides"] == [32]


def test_reasons_and_rejected_sets():
    plan = of(squares(UNIFORM))
    text = " ".join(plan.reasons)
    assert "99% of the ROIs take 10.1% to 29.9% of the long side" in text
    assert "Grid 4, the next coarser: its anchors overlap only 3" in text
    assert "6 scales in equal steps, 0.7 to 2.2 cells, make anchors of 10.0% to 31.4% of the film" in text
    rejected = {each.change: each for each in plan.neighbours}
    assert list(rejected) == ["coarser grid", "finer grid", "one scale fewer", "one scale more", "fitted scales"]
    assert rejected["coarser grid"].anchors.grids == (4,)
    assert "matched by force" in rejected["coarser grid"].why
    assert rejected["finer grid"].anchors.per_image == 4 * 294
    assert "4.0 times the anchors" in rejected["finer grid"].why
    assert len(rejected["one scale fewer"].anchors.scales) == 5
    assert rejected["one scale fewer"].why.startswith("only 97.")
    assert rejected["fitted scales"].anchors.per_image == 196


@pytest.mark.parametrize(
    ("sizes", "grids", "scales"),
    [
        (np.linspace(0.05, 0.15, 500), (14,), 6),  # half as large: a grid twice as fine
        (np.linspace(0.2, 0.6, 500), (7,), 6),  # grid 4 would do, but needs a convolution
        (np.linspace(0.17, 0.24, 200), (7,), 3),
        ([0.2] * 100, (7,), 1),
    ],
)
def test_other_sizes_give_other_anchors(sizes, grids, scales):
    plan = of(squares(sizes))
    assert plan.anchors.grids == grids
    assert len(plan.anchors.scales) <= scales
    assert plan.metrics.fitted >= 0.99
    assert plan.metrics.matched >= 0.5


def test_a_coarser_map_than_the_backbones_must_be_asked_for():
    large = squares(np.linspace(0.2, 0.6, 500))
    coarser = next(each for each in of(large).neighbours if each.change == "coarser grid")
    assert coarser.why == "it needs stride-2 convolutions in the head, which cost accuracy"
    assert of(large, grids=((4,), (7,))).anchors.grids == (4,)


def test_fitted_scales_and_given_grids():
    assert of(squares(UNIFORM), scales=FITTED).anchors.per_image == 196
    assert of(squares(UNIFORM), grids=((14, 7),)).anchors.grids == (14, 7)
    with pytest.raises(
        ConfigError, match=r"no feature map for grids \[5\] on 224 px: a ResNet of 4 stages offers \[1, 2, 4"
    ):
        of(squares(UNIFORM), grids=((5,),))


def test_lungs_are_twice_as_high_as_wide():
    width = rng.uniform(0.2, 0.3, 400)
    plan = of(placed(width, width * rng.uniform(1.8, 2.2, 400), rng))
    assert plan.anchors.aspects == (2.0,)
    assert "times as high as wide: one aspect, 2, fits" in " ".join(plan.reasons)
    square = next(each for each in plan.neighbours if each.change == "square anchors")
    assert square.metrics.fitted == 0


def test_classes_of_different_shapes():
    """Each film has a heart and two lungs, side by side."""
    films, boxes = 60, []
    for size in np.linspace(0.3, 0.4, films):
        boxes += [[0.35, 0.5, 0.35 + 0.6 * size, 0.5 + 0.6 * size]]
        boxes += [[x, 0.1, x + size / 1.6, 0.1 + size * 1.5] for x in (0.05, 0.6)]
    rois = rois_of(boxes, np.repeat(np.arange(films), 3), np.tile([0, 1, 1], films), ("heart", "lung"))
    plan = of(rois)
    assert plan.classes == ("heart", "lung")
    assert plan.rois_per_image == {"heart": 1, "lung": 2}
    assert [spread.label for spread in plan.spreads] == ["", "heart", "lung"]
    assert len(plan.anchors.aspects) == 2
    assert plan.metrics.fitted >= 0.99


@pytest.mark.parametrize(
    ("rois", "words"),
    [
        (squares([0.2]), "only 1 ROIs"),
        (squares([0.2] * 29), "only 29 ROIs"),
        (squares(np.concatenate([UNIFORM, [0.9] * 3])), r"3 ROIs \(0.1%\) are over 3 times as large as the median"),
        (squares(np.exp(rng.uniform(np.log(0.05), np.log(0.5), 500))), "sizes span a factor of 9"),
        (squares(np.linspace(0.02, 0.04, 100)), "the smallest ROIs are 5 px of the 224 px"),
        # two of one size in one cell
        (
            rois_of([[0.4, 0.4, 0.5, 0.5], [0.405, 0.405, 0.505, 0.505]] * 50, np.repeat(np.arange(50), 2)),
            "100.0% of the ROIs have the same best anchor as another ROI of their film",
        ),
        # shifted by a third: IoU 2/3 / (4/3) = 0.5
        (
            rois_of([[0.1, 0.1, 0.4, 0.4], [0.2, 0.1, 0.5, 0.4]] * 50, np.repeat(np.arange(50), 2)),
            r"overlap by IoU up to 0.50: .* the written config allows 0.60",
        ),
    ],
)
def test_warnings(rois, words):
    plan = of(rois)
    assert any(re.search(words, warning) for warning in plan.warnings), plan.warnings


def test_a_sound_data_set_has_no_warning():
    side_by_side = [[[x, 0.4, x + size, 0.4 + size] for x in (0.1, 0.6)] for size in np.linspace(0.1, 0.3, 100)]
    plan = of(rois_of(np.reshape(side_by_side, (-1, 4)), np.repeat(np.arange(100), 2)))
    assert plan.warnings == ()
    assert plan.nms_threshold == 0.3
    assert plan.rois_per_image == {"hip": 2}


def test_data_sets_of_different_sizes():
    plan = design({"young": squares(np.linspace(0.1, 0.12, 50)), "old": squares(np.linspace(0.2, 0.24, 50))})
    assert any("ROIs of old are 2.00 times as large as those of young" in warning for warning in plan.warnings)
    assert [spread.name for spread in plan.spreads] == ["young", "old"]


def test_steps_without_end_become_fitted_scales():
    plan = of(squares(np.exp(rng.uniform(np.log(0.01), np.log(0.9), 2000))))
    assert plan.goal.scales == FITTED
    assert plan.reasons[0].startswith("Even 32 equal steps don't cover the sizes")


def test_thousands_of_outliers():
    sizes = np.concatenate([UNIFORM, rng.uniform(0.5, 1.0, 2000)])
    plan = of(squares(sizes))
    assert any("are over 3 times as large" in warning for warning in plan.warnings)
    json.dumps(plan.as_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("data_sets", "words"),
    [
        ({}, "no data set"),
        ({"a": squares([0.2]), "b": rois_of([])}, "b: no ROI to derive anchors from"),
        ({"a": squares([0.2]), "b": squares([0.2], classes=("knee",))}, r"different classes: \['hip'\]; \['knee'\]"),
    ],
)
def test_nothing_to_derive_anchors_from(data_sets, words):
    with pytest.raises(DatasetError, match=words):
        design(data_sets)


@settings(max_examples=60, deadline=None)
@given(roi_sets(most=12), st.sampled_from(["equal", "fitted"]))
def test_any_rois_give_a_plan_of_finite_numbers_or_a_message(rois, scales):
    refusal = ""
    try:
        plan = of(rois, scales=scales)
    except DatasetError as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith("sizes and shapes differ too much")
        return
    json.dumps(plan.as_json(), allow_nan=False)
    assert plan.metrics.fitted >= 0.99
    assert all(math.isfinite(scale) and scale > 0 for scale in plan.anchors.scales)
    assert "Recommended: grid" in plan_text(plan)


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        (dict(coverage=1.1), "coverage 1.1: expected a share from 0 to 1"),
        (dict(matched=-0.1), "matched -0.1"),
        (dict(scales="golden"), "scales 'golden': expected 'equal' or 'fitted'"),
    ],
)
def test_bad_goals(goal, words):
    with pytest.raises(ConfigError, match=words):
        Goal(**goal)


def test_rois_beyond_what_a_cell_sees():
    # layer2 of a ResNet-18 with the head's convolutions: 131 px; 0.9 of 224 px are 202
    plan = design({"films": squares([0.9] * 40)}, Goal(grids=((28,),)), Backbone(depth=18))
    assert plan.receptive_field == 131
    assert any("the largest ROIs are 202 px, and a cell sees 131 px" in warning for warning in plan.warnings)


def test_a_goal_out_of_reach_gives_a_warning():
    plan = of(squares(np.linspace(0.05, 0.06, 100)), grids=((4,),))
    assert any(warning.startswith("no grid reaches the goal") for warning in plan.warnings)


def test_films_without_roi_are_counted():
    rois = squares([0.2] * 40)
    more = Rois(rois.boxes, rois.films, rois.labels, np.append(rois.long_sides, [400.0] * 10), rois.classes)
    assert of(more).spreads[0].films == 50


UNIFORM_GOAL = squares(np.linspace(0.1, 0.3, 500))


@pytest.mark.parametrize(
    ("low", "high", "count", "scales"),
    [
        (0.7, 2.1, 6, (0.7, 1.0, 1.3, 1.6, 1.9, 2.2)),  # the paper's: steps of 0.28, as round numbers 0.3
        (0.71, 2.09, 6, (0.7, 1.0, 1.3, 1.6, 1.9, 2.2)),
        (0.7, 2.1, 3, (0.7, 1.4, 2.1)),
        (1.4, 1.4, 1, (1.4,)),
        (1.4, 1.5, 1, ()),  # one scale can't span two sizes
        (1.4, 1.5, 2, (1.4, 1.5)),
        (0.4, 1.2, 3, (0.4, 0.8, 1.2)),
        (0.123, 0.25, 2, (0.12, 0.25)),  # below half a cell the steps are finer
        (0.0123, 0.025, 2, (0.012, 0.025)),
        (1.4, 1.4, 2, (1.4, 1.45)),
    ],
)
def test_equal_steps(low, high, count, scales):
    assert equal_steps(low, high, count) == scales


@pytest.mark.parametrize("kind", [EQUAL, FITTED])
@pytest.mark.parametrize("grids", [(4,), (7,), (14,), (14, 7)])
def test_the_goal_is_reached_and_not_with_one_scale_fewer(kind, grids):
    goal = Goal(scales=kind)
    chooser = ScaleChooser(UNIFORM_GOAL, goal)
    anchors = chooser.fewest(grids, (1.0,))
    assert fitted_share(UNIFORM_GOAL, anchors) >= 0.99
    for fewer in chooser.growing(grids, (1.0,)):
        if len(fewer.scales) >= len(anchors.scales):
            break
        assert fitted_share(UNIFORM_GOAL, fewer) < 0.99 or (kind == EQUAL and fewer.worst_fit < 0.7 - 1e-9)


def test_equal_steps_leave_no_gap_where_these_films_have_no_roi():
    """Only small and large ROIs: two fitted scales suffice, equal steps also cover the gap."""
    rois = squares(np.concatenate([np.full(50, 0.1), np.full(50, 0.3)]))
    assert ScaleChooser(rois, Goal(scales=FITTED)).fewest((7,), (1.0,)).scales == (0.7, 2.1)
    assert ScaleChooser(rois, Goal()).fewest((7,), (1.0,)).scales == (0.7, 1.0, 1.3, 1.6, 1.9, 2.2)


def test_equal_steps_span_the_sizes():
    anchors = ScaleChooser(UNIFORM_GOAL, Goal()).fewest((7,), (1.0,))
    low, high = anchors.ratio_range
    assert low <= np.quantile(UNIFORM_GOAL.sizes, 0.005)
    assert high >= np.quantile(UNIFORM_GOAL.sizes, 0.995)


def test_fitted_scales_are_the_fewest_there_can_be():
    """An anchor holds sizes within a factor 1 / 0.7: three hold 2.915, less than the 2.97 between 99% of the ROIs."""
    assert len(ScaleChooser(UNIFORM_GOAL, Goal(scales=FITTED)).fewest((7,), (1.0,)).scales) == 4
    assert len(ScaleChooser(squares(np.linspace(0.1, 0.28, 500)), Goal(scales=FITTED)).fewest((7,), (1.0,)).scales) == 3


def test_scales_of_two_maps():
    """Small sizes are served by the finer map, large ones by the coarser: 0.05 x 14 and 0.4 x 7."""
    assert fitted_scales(np.array([0.05, 0.4]), (14, 7)) == (0.7, 2.8)
    assert fitted_scales(np.array([0.05, 0.4]), (7,)) == (0.35, 2.8)


def test_no_scale_helps_the_wrong_aspect():
    tall = squares([0.2] * 10)
    assert ScaleChooser(tall, Goal()).fewest((7,), (2.0,)) is None
