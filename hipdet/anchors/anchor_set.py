"""A set of anchors in units of the padded square, with scales in cells of a feature map (paper, Table 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hipdet.core.boxes import Boxes
from hipdet.core.errors import ConfigError


def arithmetic_scales(start: float, stop: float, step: float) -> list[float]:
    """The paper's ``range(start, stop, step)``: equal steps, `stop` included (paper, Table 2).

    The number of scales is computed first, as repeated addition could gain or lose the last one by rounding:
    ``arithmetic_scales(0.7, 2.2, 0.3) == [0.7, 1.0, 1.3, 1.6, 1.9, 2.2]``.

    Raises:
        ConfigError: the numbers aren't positive and ascending, or the span isn't a whole number of steps.
    """
    found = f"scales from start={start}, stop={stop}, step={step}"
    if not (all(map(math.isfinite, (start, stop, step))) and 0 < start <= stop and step > 0):
        raise ConfigError(f"{found}: expected 0 < start <= stop and step > 0")
    count = round((stop - start) / step)
    if abs(start + count * step - stop) > 1e-6 * stop:
        raise ConfigError(f"{found}: stop must be a whole number of steps from start")
    return [round(start + i * step, 10) for i in range(count + 1)]


@dataclass(frozen=True)
class AnchorSet:
    """Anchors centred on the cells of one or several grids: one per cell, scale and aspect on every grid.

    Attributes:
        grids: Cells along a side of the padded square, the finest grid first; ``(7,)`` is the paper's Layer[7].
        scales: Sides in cells, ascending; for aspects other than 1, the side of the square of equal area.
        aspects: Height / width.
    """

    grids: tuple[int, ...]
    scales: tuple[float, ...]
    aspects: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for name, values in (("grids", self.grids), ("scales", self.scales), ("aspects", self.aspects)):
            if not values or not all(math.isfinite(value) and value > 0 for value in values):
                raise ConfigError(f"anchors: {name} must be positive numbers, at least one, found {list(values)}")
        if any(grid != int(grid) for grid in self.grids) or sorted(self.grids, reverse=True) != list(self.grids):
            raise ConfigError(f"anchors: grids must be whole numbers, the finest first, found {list(self.grids)}")

    @classmethod
    def equal_steps(cls, grids: tuple[int, ...], start: float, stop: float, step: float) -> AnchorSet:
        """Square anchors with the paper's ``range(start, stop, step)`` of scales, `stop` included."""
        return cls(grids, tuple(arithmetic_scales(start, stop, step)))

    @property
    def per_image(self) -> int:
        """Number of anchors on an image."""
        return sum(grid * grid for grid in self.grids) * len(self.scales) * len(self.aspects)

    @property
    def steps(self) -> tuple[float, float, float] | None:
        """``(start, stop, step)`` if three or more scales have equal steps, else None."""
        start, stop, count = self.scales[0], self.scales[-1], len(self.scales)
        step = round((stop - start) / max(count - 1, 1), 10)
        equal = np.allclose(self.scales, start + step * np.arange(count), rtol=0, atol=1e-9)
        return (start, stop, step) if count > 2 and equal and step > 0 else None

    @property
    def ratio_range(self) -> tuple[float, float]:
        """Sides of the smallest and the largest anchor / side of the image: what the paper calls coverage."""
        return min(self.scales) / max(self.grids), max(self.scales) / min(self.grids)

    @property
    def worst_fit(self) -> float:
        """Best IoU of the worst square between two neighbouring anchor sizes, if concentric; 1 if there is one size."""
        sizes = sorted(scale / grid for grid in self.grids for scale in self.scales)
        return min((small / large for small, large in pairwise(sizes)), default=1.0)

    def shapes(self) -> Iterator[tuple[int, float, float]]:
        """Grid, width and height of each kind of anchor, in units of the image."""
        for grid in self.grids:
            for scale in self.scales:
                for aspect in self.aspects:
                    yield grid, scale / grid / math.sqrt(aspect), scale / grid * math.sqrt(aspect)

    def boxes(self) -> Boxes:
        """All anchors ``[per_image, 4]``, xyxy in units of the image, ordered by grid, row, column, scale, aspect."""
        per_grid = []
        for grid in self.grids:
            sides = np.array([(w, h) for g, w, h in self.shapes() if g == grid])  # [K, 2]
            centre = (np.arange(grid) + 0.5) / grid
            y, x = np.meshgrid(centre, centre, indexing="ij")
            centres = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
            per_grid.append(np.concatenate([centres - sides / 2, centres + sides / 2], axis=-1).reshape(-1, 4))
        return np.concatenate(per_grid)

    def __str__(self) -> str:
        scales, steps = self.scales, self.steps
        words = " ".join(map(str, scales))
        if len(scales) > 6 and steps is not None:
            words = f"{scales[0]} .. {scales[-1]} by {steps[2]}"
        text = f"grid {','.join(map(str, self.grids))}, {len(scales)} scale{'s' if len(scales) > 1 else ''} {words}"
        if self.aspects != (1.0,):
            text += f", aspects {' '.join(f'{aspect:g}' for aspect in self.aspects)}"
        return f"{text}, {self.per_image} anchors"
