import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipdet.anchors.anchor_set import arithmetic_scales
from hipdet.core.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "count", "last"),
    [
        ((0.7, 1.3, 0.3), 3, 1.3),  # experiment 1
        ((0.7, 2.2, 0.75), 3, 2.2),
        ((0.7, 2.2, 0.3), 6, 2.2),
        ((0.7, 2.2, 0.1), 16, 2.2),
        ((0.7, 2.2, 0.05), 31, 2.2),  # np.arange(0.7, 2.2, 0.05) would end at 2.15
        ((1.0, 1.0, 0.5), 1, 1.0),
    ],
)
def test_counts_of_the_paper(arguments, count, last):
    scales = arithmetic_scales(*arguments)
    assert len(scales) == count
    assert scales[-1] == last


def test_experiment_3():
    assert arithmetic_scales(0.7, 2.2, 0.3) == [0.7, 1.0, 1.3, 1.6, 1.9, 2.2]


@given(st.floats(0.1, 2), st.integers(0, 40), st.floats(0.01, 1))
def test_stop_is_included(start, steps, step):
    scales = arithmetic_scales(start, start + steps * step, step)
    assert len(scales) == steps + 1
    assert scales[-1] == pytest.approx(start + steps * step)


@pytest.mark.parametrize(
    "arguments",
    [
        (0.0, 2.2, 0.3),  # an anchor without a size
        (2.2, 0.7, 0.3),  # descending
        (0.7, 2.2, 0.0),  # endless
        (0.7, 2.2, 0.4),  # stop isn't reached
        (0.7, float("nan"), 0.3),
    ],
)
def test_bad_ranges(arguments):
    with pytest.raises(ConfigError, match="scales from start"):
        arithmetic_scales(*arguments)
