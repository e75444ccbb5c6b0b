"""How the minutes of hipdet fit are divided, what is measured, how many epochs that makes, and what the bar shows."""

import io

import pytest

from hipdet.core.errors import ConfigError
from hipdet.core.files import write_json
from hipdet.workflows.budget import FEWEST_STEPS, LONGEST, Bar, Budget, Limits, Speed, Stopwatch, evenly
from hipdet.workflows.fit_plan import LEAST_STEPS, MOST_STEPS, STEPS, epochs_for, plan_steps

FIVE = (5, 3)


@pytest.mark.parametrize(
    ("minutes", "jobs", "step", "expected"),
    [
        (30, 2, 0.1, (5, True, 1650)),  # all that the films are worth
        (30, 2, 0.5, (5, True, 837)),  # (1800 - 45) / 4 rounds of 2 of 7 trainings, 20 s around each
        (30, 2, 0.9, (3, True, 627)),  # 3 rounds of 5 trainings
        (30, 2, 1.5, (3, False, 571)),  # 2 rounds of 4 trainings
        (30, 1, 0.4, (5, True, 576)),
        (30, 1, 0.5, (3, True, 662)),
    ],
)
def test_most_folds_then_three_then_without_the_half(tmp_path, minutes, jobs, step, expected):
    budget = Limits(minutes, jobs, STEPS).divide(Speed(step, 20.0), FIVE, half=True)
    assert (budget.folds, budget.half, budget.steps) == expected
    assert budget.minutes <= minutes
    assert budget.steps >= FEWEST_STEPS
    short = [note for note in budget.notes if "with more --minutes the model would probably be better" in note]
    assert len(short) == (budget.steps < STEPS)
    write_json(tmp_path / "budget.json", budget.to_json())
    assert Budget.read(tmp_path / "budget.json") == budget


def test_it_says_how_many_minutes_are_needed():
    limits = Limits(30, 2, STEPS)
    with pytest.raises(
        ConfigError, match=r"3 folds and a final training, each of 500 steps of 4\.00 s, take 68 minutes"
    ):
        limits.divide(Speed(4.0, 20.0), FIVE, half=True)
    enough = Limits(69, 2, STEPS).divide(Speed(4.0, 20.0), FIVE, half=True)
    assert (enough.folds, enough.half) == (3, False)
    over = Limits(30, 2, STEPS, over=True).divide(Speed(4.0, 20.0), FIVE, half=True)
    assert (over.folds, over.half, over.steps, round(over.minutes)) == (3, False, 500, 68)
    assert "over the budget of 30 minutes, as asked for" in over.notes


@pytest.mark.parametrize("content", [[], {}, {"speed": 3}, {"speed": {"step": "x"}, "notes": []}])
def test_a_budget_that_was_edited(tmp_path, content):
    write_json(tmp_path / "budget.json", content)
    with pytest.raises(ConfigError, match=r"budget\.json: can't be read .*remove the file to measure again"):
        Budget.read(tmp_path / "budget.json")


def test_given_folds_are_kept():
    budget = Limits(30, 2, STEPS).divide(Speed(0.6, 20.0), (4,), half=True)
    assert (budget.folds, budget.half, budget.trainings) == (4, True, 6)
    budget = Limits(60, 2, STEPS).divide(Speed(0.6, 20.0), (10,), half=False)
    assert (budget.folds, budget.half) == (10, False)
    assert not any("half" in note for note in budget.notes)


def test_no_training_needs_more_than_150_minutes():
    budget = Limits(100_000, 1, 10**6).divide(Speed(1.0, 20.0), FIVE, half=True)
    assert budget.steps == LONGEST * 60


def test_steps_follow_from_the_number_of_films():
    assert plan_steps(88)[0] == STEPS
    assert plan_steps(4 * 88)[0] == 2 * STEPS
    assert [plan_steps(count)[0] for count in (10, 10**6)] == [LEAST_STEPS, MOST_STEPS]


@pytest.mark.parametrize(
    ("steps", "films", "expected"),
    [
        (1000, 80, (100, 10, False)),
        (1000, 81, (100, 10, True)),  # one film is no batch for BatchNorm
        (1000, 84, (91, 11, False)),
        (1000, 5, (1000, 1, False)),
    ],
)
def test_epochs_of_the_steps(steps, films, expected):
    assert epochs_for(steps, films) == expected


def test_what_was_measured(monkeypatch):
    now = iter([0.0, 30.0, 34.0, 42.0, 45.0])
    monkeypatch.setattr("hipdet.workflows.budget.time.perf_counter", lambda: next(now))
    watch = Stopwatch()
    for epoch in (1, 3, 7):
        watch(f"Epoch(train)  [{epoch}][2/2]  lr: 1  loss: 3.2")
    watch("Epoch(test)  [2/2]")
    speed = watch.speed()
    assert speed.step == 1.0  # 12 steps in 12 seconds
    assert speed.around == 2 * (45 - 14)


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def last(self):
        return self.getvalue().split("\r")[-1].rstrip()


@pytest.mark.parametrize(
    ("count", "films", "expected"), [(4, 8, [0, 2, 4, 6]), (16, 3, [0, 1, 2]), (4, 210, [0, 52, 105, 157])]
)
def test_measured_films_are_spread_over_all(count, films, expected):
    """A data set whose films without ROI come last was measured on films with ROIs alone, .89 s a step for .76."""
    assert evenly(count, films) == expected


def test_the_bar_says_what_is_tested(monkeypatch):
    """While steps of another training are counted, and from the start where an earlier run made all steps."""
    monkeypatch.setattr("sys.stderr", shown := Terminal())
    bar = Bar(12, 4)
    first, second = bar.follow(0, 4, "fold0: testing"), bar.follow(0, 4, "fold1: testing")
    first("Epoch(train)  [1][2/2]  loss: 3.2")
    assert "testing" not in shown.getvalue()
    first("Epoch(train)  [2][2/2]  loss: 3.2")
    second("Epoch(train)  [1][2/2]  loss: 3.2")
    first("Epoch(test)  [2/2]")
    assert shown.last().endswith("fold0: testing]")
    second("Epoch(train)  [2][2/2]  loss: 3.2")
    assert shown.last().endswith("fold0: testing, fold1: testing]")
    bar.end("fold0: testing")
    assert shown.last().endswith(", fold1: testing]")
    assert "fold0" not in shown.last()
    bar.end("fold1: testing")
    bar.follow(4, 4, "fold2: testing")
    assert shown.last().endswith("fold2: testing]")
    assert "12/12" in shown.last()
    bar.close()
