"""The paper's experiments 1 to 6 on ratios 0.100, 0.101, ... 0.300, each ROI in the middle of its film."""

import numpy as np
import pytest

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.coverage import ASPECT_FIT, figures, fitted_share, may_fit, size_fit
from hipdet.core.errors import DatasetError
from hipdet.paper.facts import EXPERIMENTS
from roi_sets import rois_of, squares

RATIOS = np.arange(100, 301) / 1000
MIDDLE = rois_of(np.stack([0.5 - RATIOS / 2, 0.5 - RATIOS / 2, 0.5 + RATIOS / 2, 0.5 + RATIOS / 2], axis=1))
# An ROI fits an anchor whose side is within a factor sqrt(0.7) = 0.83666:
#   1: anchors of 17.5%, 25%, 32.5%, ... leave no gap (17.5 / 25 = 0.7): 0.1464 .. -> .147 to .300, 154 of 201
#   2: 10%, 20.71%, 31.43%: to .119 (20), .174 to .247 (74), from .263 (38), 132 in all
#   6: 5% .. 15.71%: to 0.18782, 88
GOLDEN = {  # anchors, smallest, largest, in range, with an anchor of their size
    1: (63, 0.175, 1.3, 126 / 201, 154 / 201),
    2: (147, 0.1, 0.314286, 1.0, 132 / 201),
    3: (294, 0.1, 0.314286, 1.0, 1.0),
    4: (784, 0.1, 0.314286, 1.0, 1.0),
    5: (1519, 0.1, 0.314286, 1.0, 1.0),
    6: (6076, 0.05, 0.157143, 58 / 201, 88 / 201),
}


@pytest.mark.parametrize("number", GOLDEN)
def test_the_papers_experiments(number):
    found = figures(MIDDLE, EXPERIMENTS[number].anchors)
    values = (found.anchors, found.smallest, found.largest, found.in_range, found.fitted)
    assert values == pytest.approx(GOLDEN[number], abs=1e-6)


def test_in_the_middle_of_a_cell_the_best_iou_is_the_fit():
    found = figures(MIDDLE, EXPERIMENTS[3].anchors)
    assert found.best_iou == pytest.approx(float(size_fit(MIDDLE.sides, EXPERIMENTS[3].anchors).mean()))
    assert (found.matched, found.forced, found.reachable_iou) == (1, 0, 1)
    assert found.contested == found.sharing_a_cell == 0


def test_anywhere_on_the_film():
    """Where experiment 1 loses: most of its ROIs are matched by force (20,000 draws: three standard errors are 0.01)."""
    anywhere = squares(np.random.default_rng(1).uniform(0.1, 0.3, 20_000))
    matched = {number: figures(anywhere, EXPERIMENTS[number].anchors).matched for number in (1, 3)}
    assert matched == pytest.approx({1: 0.42, 3: 0.77}, abs=0.015)
    assert figures(anywhere, EXPERIMENTS[3].anchors).positives == 4
    assert figures(anywhere, EXPERIMENTS[1].anchors).positives == 1  # forced


def test_two_boxes_of_one_centre_and_other_aspects():
    """The bound of `may_fit`: at the best size IoU is 1 / (2 sqrt(k) - 1)."""
    tall = np.array([[0.1, 0.1 * ASPECT_FIT]])
    sizes = np.linspace(0.05, 0.3, 5001)
    best = max(size_fit(tall, AnchorSet((1,), (float(size),)))[0] for size in sizes)
    assert best == pytest.approx(0.7, abs=1e-4)
    just, beyond = (rois_of([[0, 0, 0.1, 0.1 * ASPECT_FIT * factor]]) for factor in (0.999, 1.001))
    assert (may_fit(just, (1.0,)), may_fit(beyond, (1.0,))) == (1, 0)
    assert may_fit(beyond, (1.0, 2.0)) == 1


def test_share_counts_rois():
    assert fitted_share(squares([0.2, 0.2, 0.9, 0.9]), EXPERIMENTS[3].anchors) == 0.5


def test_no_roi():
    with pytest.raises(DatasetError, match="no ROI"):
        figures(rois_of([]), EXPERIMENTS[3].anchors)
