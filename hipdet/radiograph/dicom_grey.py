"""Stored values of a DICOM film to 8-bit grey, in the order of the standard (PS3.4 N.2.1): modality, VOI, presentation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.errors import RadiographError
from hipdet.radiograph.window import windowed

INSIDE = 0.01  # a window that leaves fewer pixels than this part between black and white shows no film
_BEYOND = 1e9  # more than any stored value


def to_grey(dataset: Any, stored: NDArray[Any]) -> NDArray[np.uint8]:
    """`stored` values ``[H, W]`` as a viewer would show them, white bone on black.

    Rescaled, then by VOI LUT or the first window; without either, or with one that shows next to nothing, from the 0.5 to
    the 99.5 percentile.  MONOCHROME1 is inverted and padding is black.

    Raises:
        RadiographError: rescaling makes no numbers of the values.
    """
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    padding = _padding(dataset, stored)
    values = _rescaled(dataset, stored)
    grey = _by_voi(dataset, values, inverted, padding)
    if grey is None:
        grey = windowed(np.where(padding, np.nan, values) if padding.any() else values, inverted)
    grey[padding] = 0
    return grey


def _rescaled(dataset: Any, stored: NDArray[Any]) -> NDArray[Any]:
    values: NDArray[Any] = _processing().apply_modality_lut(stored, dataset)
    if not np.isfinite(values).all():
        raise RadiographError("rescale slope or intercept is no number: export the film again")
    whole = np.rint(values).astype(np.int64)
    return whole if (whole == values).all() else values  # a VOI LUT takes whole numbers


def _by_voi(dataset: Any, values: NDArray[Any], inverted: bool, padding: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """By VOI LUT or window; None without either, where they are unusable, and where they show next to nothing."""
    if not dataset.get("VOILUTSequence") and None in (dataset.get("WindowCenter"), dataset.get("WindowWidth")):
        return None
    apply = _processing().apply_voi_lut
    try:
        ends = _lut_ends(dataset) or (-_BEYOND, _BEYOND)
        # what black and white become: these, and not the range of the values, are the ends of the grey scale
        low, high = (float(end) for end in apply(np.array(ends, dtype=values.dtype), dataset))
        shown = (apply(values, dataset).astype(np.float64) - low) / (high - low)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, ZeroDivisionError):
        return None
    if not np.isfinite(shown).all():
        return None
    grey = np.rint(255 * np.clip(1 - shown if inverted else shown, 0, 1)).astype(np.uint8)
    film = grey[~padding]
    inside = np.count_nonzero((film > 0) & (film < 255))
    return grey if inside >= INSIDE * film.size else None


def _lut_ends(dataset: Any) -> tuple[int, int] | None:
    """First and last value that the VOI LUT maps; None where there is none and a window counts."""
    if not dataset.get("VOILUTSequence"):
        return None
    item = dataset.VOILUTSequence[0]
    entries, first, bits = item.LUTDescriptor
    if bits == 8 and entries > 256:  # pydicom would look entries up by 8-bit numbers
        item.LUTDescriptor = [entries, first, 16]
    return int(first), int(first) + (int(entries) or 1 << 16) - 1


def _padding(dataset: Any, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Where the film is filled up around what was exposed."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if limit is None else limit)))
    padding = (stored >= low) & (stored <= high)
    return padding if not padding.all() else np.zeros(stored.shape, bool)


def _processing() -> Any:
    """The module of pydicom that has the steps: it moved in pydicom 3."""
    try:
        from pydicom.pixels import processing
    except ImportError:
        from pydicom.pixel_data_handlers import util as processing  # type: ignore[no-redef]
    return processing
