"""fastai's random lighting."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomLighting(BaseTransform):
    """Change contrast about the picture's mean, then brightness (recipe, "Augmentation").

    ``out = (x - mean) * f + mean + b`` on values in [0, 1], clipped, with ``f = 1 + c`` for c >= 0 and ``1 / (1 - c)``
    below; c ~ U(-contrast, contrast) and b ~ U(-balance, balance).  Reads and writes ``img`` ``[H, W, C]`` in 0..255;
    the result is float32.
    """

    def __init__(self, balance: float = 0.5, contrast: float = 0.5) -> None:
        self.balance = balance
        self.contrast = contrast

    def transform(self, results: dict) -> dict:
        """Draw b and c and apply them."""
        b = np.random.uniform(-self.balance, self.balance)
        c = np.random.uniform(-self.contrast, self.contrast)
        results["img"] = lighting(results["img"], b, c)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(balance={self.balance}, contrast={self.contrast})"


def lighting(img: np.ndarray, b: float, c: float) -> np.ndarray:
    """Apply brightness `b` and contrast `c` to `img` ``[H, W, C]`` in 0..255; float32."""
    pixels = img.astype(np.float32, copy=False)
    mean = pixels.mean()
    factor = 1 + c if c >= 0 else 1 / (1 - c)
    pixels = pixels - mean
    pixels *= np.float32(factor)
    pixels += mean + np.float32(255 * b)
    return np.clip(pixels, 0, 255, out=pixels)
