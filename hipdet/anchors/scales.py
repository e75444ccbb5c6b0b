"""Scales of anchors: their sides in cells of the feature map."""

from __future__ import annotations

import math

from hipdet.errors import ConfigError


def arithmetic_scales(start: float, stop: float, step: float) -> list[float]:
    """The paper's ``range(start, stop, step)``: equal steps, `stop` included (paper, Table 2).

    The scales are counted first and then computed, as accumulating the step would gain or lose the last one by rounding:
    ``arithmetic_scales(0.7, 2.2, 0.3) == [0.7, 1.0, 1.3, 1.6, 1.9, 2.2]``.

    Raises:
        ConfigError: numbers that are not positive and ascending, or a span that isn't a whole number of steps.
    """
    found = f"scales from start={start}, stop={stop}, step={step}"
    if not (all(map(math.isfinite, (start, stop, step))) and 0 < start <= stop and step > 0):
        raise ConfigError(f"{found}: expected 0 < start <= stop and step > 0")
    count = round((stop - start) / step)
    if abs(start + count * step - stop) > 1e-6 * stop:
        raise ConfigError(f"{found}: stop must be a whole number of steps from start")
    return [round(start + i * step, 10) for i in range(count + 1)]
