"""From the stored values of a DICOM film to greys of 8 or 16 bits, by pydicom's own tables and windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.errors import RadiographError
from hipdet.radiograph.window import DTYPES, windowed

_TABLE = 1 << 16
_SAMPLE = 200_000  # pixels
_LEAST_GREYS = 16  # of 256, between the 0.5 and the 99.5 percentile


def grey(dataset: Any, pixels: NDArray[Any], depth: int = 8) -> NDArray[Any]:
    """Modality LUT or rescale, VOI LUT or first window or percentiles, inversion of MONOCHROME1; padding becomes black.

    Args:
        dataset: The film's elements, a pydicom Dataset.
        pixels: ``[H, W]`` stored values, any integer type.
        depth: Bits of the result, 8 or 16.

    Returns:
        ``[H, W]``, bone bright.

    Raises:
        RadiographError: a rescale that leaves nothing of the film.
    """
    stored, place = _levels(pixels)
    blank = _padding(dataset, stored)
    values = _modality(dataset, stored)
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    shades = _voi(dataset, values)
    if shades is not None:
        greys = np.rint((2**depth - 1) * (1 - shades if inverted else shades)).astype(DTYPES[depth])
        greys[blank] = 0
        film = greys[place]
        if _shows((film[~blank[place]] if blank.any() else film) >> (depth - 8)):
            return film
    return windowed((np.where(blank, np.nan, values) if blank.any() else values)[place], inverted, depth)


def _processing() -> Any:
    try:
        from pydicom import pixels
    except ImportError:  # pydicom 2.4
        from pydicom import pixel_data_handlers as pixels  # type: ignore[no-redef]
    return pixels


def _levels(pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Ascending stored values, and for each pixel its place among them: all steps work on this short list."""
    low, high = int(pixels.min()), int(pixels.max())
    if pixels.dtype.kind == "u" and high < _TABLE:
        return np.arange(high + 1), pixels
    if high - low < _TABLE:
        return np.arange(low, high + 1), np.subtract(pixels, low, dtype=np.int64).astype(np.uint16)
    stored, place = np.unique(pixels, return_inverse=True)
    return stored.astype(np.int64), place.reshape(pixels.shape)


def _padding(dataset: Any, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Which stored values stand for "no film here"."""
    value, limit = dataset.get("PixelPaddingValue"), dataset.get("PixelPaddingRangeLimit")
    if value is None:
        return np.zeros(stored.shape, np.bool_)
    ends = [int(value), int(value if limit is None else limit)]
    if dataset.PixelRepresentation == 1:  # often written as unsigned nevertheless
        ends = [end - (1 << dataset.BitsAllocated if end >> (dataset.BitsAllocated - 1) == 1 else 0) for end in ends]
    return (stored >= min(ends)) & (stored <= max(ends))


def _modality(dataset: Any, stored: NDArray[Any]) -> NDArray[Any]:
    values: NDArray[Any] = _processing().apply_modality_lut(stored, dataset)
    slope = dataset.get("RescaleSlope")
    rescaled = not dataset.get("ModalityLUTSequence") and slope is not None
    if not np.isfinite(values).all() or (rescaled and slope == 0):
        raise RadiographError("rescale slope or intercept is 0 or not a number: export the film again")
    return values


def _voi(dataset: Any, values: NDArray[Any]) -> NDArray[np.float64] | None:
    """Shades 0 to 1 by the VOI LUT or the first window; None where there is none, or none that the standard allows."""
    try:
        if dataset.get("VOILUTSequence"):
            shades = _voi_table(dataset, values)
        elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
            shades = _voi_window(dataset, values)
        else:
            return None
    except Exception:  # such as a width of 0, or a table without data: percentiles serve
        return None
    return shades if np.isfinite(shades).all() else None


def _voi_window(dataset: Any, values: NDArray[Any]) -> NDArray[np.float64]:
    # the range of the result depends on depth, rescale and tables: what lies beyond the window shows it
    apply_windowing = _processing().apply_windowing
    dark, bright = apply_windowing(np.array([-np.inf, np.inf]), dataset)
    shades: NDArray[np.float64] = np.clip((apply_windowing(values, dataset) - dark) / (bright - dark), 0, 1)
    return shades


def _voi_table(dataset: Any, values: NDArray[Any]) -> NDArray[np.float64]:
    table = dataset.VOILUTSequence[0]
    entries, first, depth = table.LUTDescriptor
    if depth == 8:
        table.LUTDescriptor = [entries, first, 16]  # pydicom would count more than 256 entries in 8 bits
    inside = np.clip(np.rint(values), first, first + (entries or 1 << 16) - 1).astype(np.int64)
    shades: NDArray[np.float64] = _processing().apply_voi(inside, dataset) / (2.0**depth - 1)
    return np.clip(shades, 0, 1)


def _shows(film: NDArray[Any]) -> bool:
    """Whether the film is visible: a window of other units or a placeholder leaves it uniform, or black and white."""
    sample = film.ravel()[:: max(1, film.size // _SAMPLE)]
    if not sample.size:
        return True
    low, high = np.percentile(sample, (0.5, 99.5))
    return bool(high - low >= _LEAST_GREYS and np.mean((sample > 0) & (sample < 255)) >= 0.01)
