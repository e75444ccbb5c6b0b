"""The time of ``hipdet fit``: ten measured steps say how many steps each training gets, and one bar shows what is left."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hipdet.core.errors import ConfigError
from hipdet.core.records import read_json
from hipdet.workflows.process import STEP

FEWEST_STEPS = 500
LONGEST = 150  # minutes of one training: nothing may need more unbroken
SPARE = 45.0  # seconds for export, metrics, crops and report


@dataclass(frozen=True)
class Speed:
    """What was measured with all jobs at work: seconds of a step, and of a training around its steps."""

    step: float
    around: float


@dataclass(frozen=True)
class Budget:
    """How the time is divided.

    Attributes:
        folds: Number of folds.
        half: Whether there is a training on half of the films.
        steps: Steps of each training.
        minutes: Minutes that everything will take.
        speed: What this follows from.
        jobs: Trainings in parallel.
        notes: Sentences about what was left out.
    """

    folds: int
    half: bool
    steps: int
    minutes: float
    speed: Speed
    jobs: int
    notes: tuple[str, ...] = ()

    @property
    def trainings(self) -> int:
        """Number of trainings: the folds, the final one, and perhaps one on half of the films."""
        return self.folds + 1 + self.half

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> Budget:
        """The budget whose plain values are in the file `path`.

        Raises:
            ConfigError: the file doesn't hold a budget.
        """
        expected = "the budget of hipdet fit: remove the file to measure again"
        values = read_json(path, expected, ConfigError)
        try:
            speed = Speed(**{key: float(value) for key, value in values["speed"].items()})
            return cls(**{**values, "speed": speed, "notes": tuple(map(str, values["notes"]))})
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ConfigError(f"{path}: can't be read ({error!r}), expected {expected}") from error

    def __str__(self) -> str:
        half = ", one on half of them" if self.half else ""
        return (
            f"{self.folds} folds, a final training on all films{half}: {self.trainings} trainings of {self.steps} steps of "
            f"{self.speed.step:.2f} s, {self.jobs} at a time: about {self.minutes:.0f} minutes"
        )


@dataclass(frozen=True)
class Limits:
    """What the budget must keep to.

    Attributes:
        minutes: Minutes for everything.
        jobs: Trainings in parallel.
        most_steps: Steps that the data are worth.
        fewest_steps: Fewest steps of a training.
        over: Whether more minutes than given may be taken.
        spent: Seconds that were needed so far.
    """

    minutes: float
    jobs: int
    most_steps: int
    fewest_steps: int = FEWEST_STEPS
    over: bool = False
    spent: float = 0.0

    def divide(self, speed: Speed, folds: tuple[int, ...], half: bool) -> Budget:
        """Divide the minutes among the trainings: the most folds that fit; the half of the films is dropped before that.

        Args:
            speed: What was measured.
            folds: Numbers of folds to choose from, the preferred one first.
            half: Whether half of the films can be trained on.

        Raises:
            ConfigError: not even the fewest trainings fit, and `over` is False.
        """
        fewest = min(self.fewest_steps, self.most_steps)
        options = [(count, True) for count in folds if half] + [(folds[-1], False)]
        for count, with_half in options:
            steps = self._steps(speed, count + 1 + with_half)
            if steps >= fewest:
                steps = min(steps, self.most_steps)
                return self._budget(speed, count, with_half, steps, half)
        count, with_half = options[-1]
        budget = self._budget(speed, count, with_half, fewest, half)
        if not self.over:
            raise ConfigError(
                f"--minutes {self.minutes:g}: {count} folds and a final training, each of {fewest} steps of "
                f"{speed.step:.2f} s, take {budget.minutes:.0f} minutes with --jobs {self.jobs}, expected fewer: give "
                f"--minutes {budget.minutes + 1:.0f}, or --over-budget"
            )
        return budget

    def _rounds(self, trainings: int) -> int:
        return -(-trainings // self.jobs)

    def _steps(self, speed: Speed, trainings: int) -> int:
        seconds = (self.minutes * 60 - self.spent - SPARE) / self._rounds(trainings) - speed.around
        return int(min(seconds, LONGEST * 60) / speed.step)

    def _budget(self, speed: Speed, folds: int, half: bool, steps: int, could_half: bool) -> Budget:
        seconds = self._rounds(folds + 1 + half) * (speed.around + steps * speed.step) + self.spent + SPARE
        notes = ["no training on half of the films: it doesn't fit into the minutes"] if could_half and not half else []
        if steps < self.most_steps:
            notes.append(
                f"{steps} steps a training fit into the minutes, of the {self.most_steps} that the films are worth: with "
                f"more --minutes the model would probably be better"
            )
        if seconds > self.minutes * 60:
            notes.append(f"over the budget of {self.minutes:g} minutes, as asked for")
        return Budget(folds, half, steps, seconds / 60, speed, self.jobs, tuple(notes))


def evenly(count: int, films: int) -> list[int]:
    """The numbers of at most `count` of `films` films, spread over them: the first ones may all be of one kind."""
    count = min(count, films)
    return [number * films // count for number in range(count)]


class Bar:
    """One progress bar over all trainings and tests.

    Args:
        total: Steps of all trainings.
        done: Steps that earlier runs made.
    """

    def __init__(self, total: int, done: int) -> None:
        self._bar = tqdm(
            total=total, initial=done, desc="hipdet fit", unit="step", smoothing=0.02, dynamic_ncols=True, disable=None
        )
        self._lock = threading.Lock()
        self._now: list[str] = []  # what is being done beside the steps

    def follow(self, done: int, steps: int, then: str = "") -> Callable[[str], None]:
        """What follows the lines of one training of `steps` steps, of which `done` are counted already.

        `then`, such as ``fold1: testing``, is shown after the last step, until :meth:`end` takes it away.
        """
        counted = done
        if done >= steps:
            self._show(then)

        def line(text: str) -> None:
            nonlocal counted
            step = STEP.search(text)
            if step is None or "Epoch(train)" not in text:
                return
            epoch, inner, length = (int(value or 1) for value in step.groups())
            now = min((epoch - 1) * length + inner, steps)
            with self._lock:
                self._bar.update(now - counted)
            if counted < now == steps:
                self._show(then)
            counted = now

        return line

    def end(self, then: str) -> None:
        """Show `then` no longer."""
        self._show(then, False)

    def _show(self, then: str, on: bool = True) -> None:
        with self._lock:
            self._now = [each for each in self._now if each != then] + [then] * on
            self._bar.set_postfix_str(", ".join(filter(None, self._now)))

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        with self._lock:
            self._bar.write(text)
            sys.stdout.flush()

    def close(self) -> None:
        """End the line."""
        self._bar.close()


class Stopwatch:
    """Measures the steps after the first epoch of a training that logs each epoch."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.ends: list[tuple[int, float]] = []  # steps so far, and when

    def __call__(self, text: str) -> None:
        """Take a line of the training's output."""
        step = STEP.search(text)
        if step is not None and "Epoch(train)" in text:
            epoch, inner, length = (int(value or 1) for value in step.groups())
            self.ends.append(((epoch - 1) * length + inner, time.perf_counter()))

    def speed(self) -> Speed:
        """What was measured; the training has ended.

        Raises:
            ConfigError: the training logged too little.
        """
        if len(self.ends) < 2:
            raise ConfigError("the measured training logged fewer than two epochs: its log is in trainings/measured0")
        (first, begun), (last, ended) = self.ends[0], self.ends[-1]
        step = (ended - begun) / (last - first)
        around = time.perf_counter() - self.started - last * step
        return Speed(step, 2 * max(around, 0.0))  # a test starts like a training
