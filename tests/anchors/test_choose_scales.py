import numpy as np
import pytest

from hipdet.anchors.coverage import fitted_share
from hipdet.anchors.search import EQUAL, FITTED, Goal, ScaleChooser, equal_steps, fitted_scales
from roi_sets import squares

UNIFORM = squares(np.linspace(0.1, 0.3, 500))


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
    chooser = ScaleChooser(UNIFORM, goal)
    anchors = chooser.fewest(grids, (1.0,))
    assert fitted_share(UNIFORM, anchors) >= 0.99
    for fewer in chooser.growing(grids, (1.0,)):
        if len(fewer.scales) >= len(anchors.scales):
            break
        assert fitted_share(UNIFORM, fewer) < 0.99 or (kind == EQUAL and fewer.worst_fit < 0.7 - 1e-9)


def test_equal_steps_leave_no_gap_where_these_films_have_no_roi():
    """Small and large ROIs alone: two fitted scales do, equal steps go on between them."""
    rois = squares(np.concatenate([np.full(50, 0.1), np.full(50, 0.3)]))
    assert ScaleChooser(rois, Goal(scales=FITTED)).fewest((7,), (1.0,)).scales == (0.7, 2.1)
    assert ScaleChooser(rois, Goal()).fewest((7,), (1.0,)).scales == (0.7, 1.0, 1.3, 1.6, 1.9, 2.2)


def test_equal_steps_span_the_sizes():
    anchors = ScaleChooser(UNIFORM, Goal()).fewest((7,), (1.0,))
    low, high = anchors.ratio_range
    assert low <= np.quantile(UNIFORM.sizes, 0.005)
    assert high >= np.quantile(UNIFORM.sizes, 0.995)


def test_fitted_scales_are_the_fewest_there_can_be():
    """An anchor holds sizes within a factor 1 / 0.7: three hold 2.915, less than the 2.97 between 99% of the ROIs."""
    assert len(ScaleChooser(UNIFORM, Goal(scales=FITTED)).fewest((7,), (1.0,)).scales) == 4
    assert len(ScaleChooser(squares(np.linspace(0.1, 0.28, 500)), Goal(scales=FITTED)).fewest((7,), (1.0,)).scales) == 3


def test_scales_of_two_maps():
    """Small sizes are served by the finer map, large ones by the coarser: 0.05 x 14 and 0.4 x 7."""
    assert fitted_scales(np.array([0.05, 0.4]), (14, 7)) == (0.7, 2.8)
    assert fitted_scales(np.array([0.05, 0.4]), (7,)) == (0.35, 2.8)


def test_no_scale_helps_the_wrong_aspect():
    tall = squares([0.2] * 10)
    assert ScaleChooser(tall, Goal()).fewest((7,), (2.0,)) is None
