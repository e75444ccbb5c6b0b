import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipdet.core.errors import ConfigError
from hipdet.engine.schedule import Stage, learning_rate_factor, stage_starts, triangle


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        (0, 0.05),  # 1 / 20
        (50, 0.525),  # half way up: (0.05 + 1) / 2
        (100, 1.0),  # the first tenth
        (550, 0.525),  # half way down
        (999, 1 / 20 + 19 / 20 / 900),  # one step before 1 / 20
    ],
)
def test_triangle_of_1000(iteration, expected):
    assert triangle(iteration, 1000) == pytest.approx(expected)


@given(st.integers(1, 2000))
def test_triangle_stays_within_its_bounds_and_has_one_peak(length):
    factors = [triangle(i, length) for i in range(length)]
    assert all(0.05 <= factor <= 1 for factor in factors)
    assert factors.index(max(factors)) == length // 10
    assert max(factors) == 1


def test_stages_of_the_paper():
    stages = [Stage(1), Stage(2, 0.25), Stage(3, 0.25)]
    assert stage_starts(stages, 120) == [0, 40, 80, 120]
    assert stage_starts(stages, 3) == [0, 1, 2, 3]
    assert stage_starts([Stage(1, portion=3), Stage(2)], 8) == [0, 6, 8]


@pytest.mark.parametrize("epochs", [1, 2])
def test_too_few_epochs(epochs):
    with pytest.raises(ConfigError, match="without an epoch"):
        stage_starts([Stage(1), Stage(2), Stage(3)], epochs)


def test_forty_one_epoch_cycles():
    # the option of the reference: 40 triangles of one epoch each
    stage = Stage(1, lr_mult=0.25, cycles=40)
    assert learning_rate_factor(stage, 0, 4000) == pytest.approx(0.25 * 0.05)
    assert learning_rate_factor(stage, 100, 4000) == pytest.approx(0.25 * 0.05)
    assert learning_rate_factor(stage, 110, 4000) == pytest.approx(0.25)


@given(st.integers(1, 300), st.integers(1, 400), st.integers(1, 400), st.floats(1, 100))
def test_every_iteration_of_every_stage_has_a_rate(length, cycles, cut_div, div):
    """However short the stage is, and the last of its cycles."""
    stage = Stage(1, lr_mult=0.25, cycles=cycles)
    factors = [learning_rate_factor(stage, i, length, div, cut_div) for i in range(length)]
    assert all(0.25 / div - 1e-9 <= factor <= 0.25 + 1e-9 for factor in factors)
