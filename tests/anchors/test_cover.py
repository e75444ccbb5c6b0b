"""The dynamic programme against every choice of intervals."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.anchors.coverage import best_cover, tightest_cover

values = st.lists(st.integers(0, 100), min_size=1, max_size=8).map(lambda found: np.array(found) / 100)


@settings(max_examples=300, deadline=None)
@given(values, st.integers(1, 60), st.integers(1, 3))
def test_no_choice_of_intervals_holds_more(found, width, most):
    width = width / 100 + 1e-9
    covers = best_cover(found, width, most)
    for count, (share, middles) in enumerate(covers, 1):
        brute = max(
            np.mean([any(start <= value <= start + width for start in starts) for value in found])
            for starts in itertools.combinations_with_replacement(found, count)
        )
        assert share == pytest.approx(brute)
        held = (np.abs(found[:, None] - middles[None, :]) <= width / 2 + 1e-9).any(axis=1)
        assert held.mean() == pytest.approx(share)
        assert (np.diff(middles) > 0).all()
    assert len(covers) == most or covers[-1][0] == 1


def test_tightest():
    """Two groups, 0 .. 1 and 10 .. 12, and an outlier: two intervals of width 2 hold 6 of 7."""
    found = [0, 0.5, 1, 10, 11, 12, 100]
    assert tightest_cover(found, 6 / 7, 2) == pytest.approx([0.5, 11], abs=1e-6)
    assert tightest_cover(found, 1.0, 3) == pytest.approx([0.5, 11, 100], abs=1e-6)
    assert tightest_cover(found, 1.0, 1) == pytest.approx([50])


def test_one_value():
    assert tightest_cover([3.0, 3.0], 1.0, 2) == pytest.approx([3.0])
