"""Contestants timed in turns, so that what else the machine does meets them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WARM = 2  # turns that don't count


@dataclass(frozen=True)
class Spread:
    """Median and the middle 90%."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Spread:
        """Of ``[N]`` values."""
        return cls(*(float(each) for each in np.quantile(values, [0.5, 0.05, 0.95])))

    def text(self, factor: float = 1.0, digits: int = 1) -> str:
        """Such as ``3.2 (3.1 .. 3.5)``."""
        median, low, high = (f"{each * factor:.{digits}f}" for each in (self.median, self.low, self.high))
        return f"{median} ({low} .. {high})"


def in_turns(contestants: Mapping[str, Callable[[], object]], turns: int) -> dict[str, NDArray[np.float64]]:
    """Seconds ``[turns]`` of each contestant; in a turn each has one go."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(WARM + turns):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if turn >= WARM:
                seconds[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def against(seconds: Mapping[str, NDArray[np.float64]], names: Sequence[str], base: str) -> dict[str, Spread]:
    """How many times as fast as `base` each contestant is: the ratios of its turns."""
    return {name: Spread.of(seconds[base] / seconds[name]) for name in names}
