"""Random gamma: films differ most in their grey-level curve."""

from __future__ import annotations

import math

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

from hipdet.errors import ConfigError


@TRANSFORMS.register_module()
class RandomGamma(BaseTransform):
    """``out = 255 * (x / 255) ** g`` with log g uniform on [-log limit, log limit].

    Reads and writes ``img`` ``[H, W, C]`` in 0..255; the result is float32.
    """

    def __init__(self, limit: float = 1.8) -> None:
        if limit < 1:
            raise ConfigError(f"RandomGamma: limit must be at least 1, found {limit}")
        self.limit = limit

    def transform(self, results: dict) -> dict:
        """Draw g and apply it."""
        spread = math.log(self.limit)
        gamma = math.exp(np.random.uniform(-spread, spread))
        img = results["img"]
        if img.dtype == np.uint8:  # 256 powers instead of one for each pixel
            results["img"] = cv2.LUT(img, apply_gamma(np.arange(256), gamma)).reshape(img.shape)
        else:
            results["img"] = apply_gamma(img, gamma)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(limit={self.limit})"


def apply_gamma(greys: np.ndarray, gamma: float) -> np.ndarray:
    """``255 * (greys / 255) ** gamma``, float32, of `greys` in 0..255."""
    return 255 * (greys.astype(np.float32) / 255) ** np.float32(gamma)
