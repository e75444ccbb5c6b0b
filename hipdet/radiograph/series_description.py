"""What a DICOM film says it shows."""

from __future__ import annotations

import io
from pathlib import Path

from hipdet.errors import RadiographError


def read_series_description(source: Path | bytes, name: str) -> str | None:
    """SeriesDescription of a DICOM file, such as ``AP Pelvis``; None where it has none.  No other tag is read.

    Raises:
        RadiographError: pydicom is missing, or the file is no DICOM.
    """
    try:
        import pydicom
    except ImportError as error:
        raise RadiographError("DICOM needs pydicom: pip install 'hipdet[dicom]'", name) from error
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else str(source)
        dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SeriesDescription"])
    except (OSError, EOFError, ValueError, KeyError, AttributeError, pydicom.errors.InvalidDicomError) as error:
        raise RadiographError(f"not a readable DICOM file ({type(error).__name__}): download it again", name) from error
    value = dataset.get("SeriesDescription")
    return None if value is None else str(value)
