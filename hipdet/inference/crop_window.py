"""Square windows around ROIs, cut out of films at their own resolution.  Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipdet.boxes import as_boxes


@dataclass(frozen=True)
class CropWindow:
    """A square of whole pixels, which may reach over the edges of its film.

    Attributes:
        x0: Left edge in pixels of the film.
        y0: Top edge.
        side: Pixels.
    """

    x0: int
    y0: int
    side: int

    @classmethod
    def around(cls, box: ArrayLike, margin: float) -> CropWindow:
        """The window about `box` ``(x0, y0, x1, y1)`` with `margin` of its longer side added at every side."""
        x0, y0, x1, y1 = as_boxes(box)[0].tolist()
        side = max(1, round(max(x1 - x0, y1 - y0) * (1 + 2 * margin)))
        return cls(round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side)

    def cut(self, film: NDArray[Any]) -> NDArray[Any]:
        """What `film` ``[H, W]`` shows in the window, ``[side, side]``; black beyond its edges."""
        height, width = film.shape
        crop = np.zeros((self.side, self.side), film.dtype)
        left, top = max(self.x0, 0), max(self.y0, 0)
        right, bottom = min(self.x0 + self.side, width), min(self.y0 + self.side, height)
        if left < right and top < bottom:
            crop[top - self.y0 : bottom - self.y0, left - self.x0 : right - self.x0] = film[top:bottom, left:right]
        return crop
