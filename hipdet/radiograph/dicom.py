"""DICOM films through pydicom.  Nothing but what the picture needs is read, and no value of a tag enters a message."""

from __future__ import annotations

import logging
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hipdet.errors import RadiographError
from hipdet.radiograph.dicom_grey import to_grey
from hipdet.radiograph.header import RadiographHeader, require_size
from hipdet.radiograph.kind import AGAIN

INSTALL = "pip install 'hipdet[dicom]'"
_SHAPE = ["Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "NumberOfFrames", "PhotometricInterpretation"]
_GREY = ("MONOCHROME1", "MONOCHROME2")
_DEFLATED = "1.2.840.10008.1.2.1.99"
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_PIXEL_DATA = (struct.pack("<HH", 0x7FE0, 0x0010), struct.pack(">HH", 0x7FE0, 0x0010))
_SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def read(file: BinaryIO) -> NDArray[np.uint8]:
    """The film as 8-bit grey ``[H, W]``; see :func:`hipdet.radiograph.read_radiograph`."""
    with _pydicom() as pydicom:
        dataset = pydicom.dcmread(file, force=True)
        _complete_meta(dataset)
        _require_film(dataset)
        if "PixelData" not in dataset:
            raise RadiographError("no pixel data: is it a report, or was only its header copied?")
        _require_codec(dataset)
        stored = dataset.pixel_array
        expected = (dataset.Rows, dataset.Columns)
        if stored.shape != expected:
            raise RadiographError(f"pixels are {stored.shape}, expected {expected} as its header says: {AGAIN}")
        return to_grey(dataset, stored)


def header(file: BinaryIO) -> RadiographHeader:
    """Kind and size, after making sure that all pixels are there; they are neither read nor decoded."""
    with _pydicom() as pydicom:
        dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=_SHAPE)
        _complete_meta(dataset)
        _require_film(dataset)
        _require_codec(dataset)
        if dataset.file_meta.TransferSyntaxUID != _DEFLATED:  # which would have to be unpacked
            _require_pixels(file, dataset)
        return RadiographHeader("DICOM", (int(dataset.Columns), int(dataset.Rows)))


def series_description(file: BinaryIO) -> str | None:
    """SeriesDescription, such as ``AP Pelvis``; None without one."""
    with _pydicom() as pydicom:
        dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=["SeriesDescription"])
        value = dataset.get("SeriesDescription")
        return None if value is None else str(value)


@contextmanager
def _pydicom() -> Iterator[Any]:
    """pydicom, with its warnings, which quote tags, kept back and its errors without them."""
    try:
        import pydicom
    except ImportError as error:
        raise RadiographError(f"DICOM needs pydicom: {INSTALL}") from error
    logger = logging.getLogger("pydicom")
    disabled, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield pydicom
    except (RadiographError, OSError):
        raise
    except Exception as error:  # codecs raise what they like, and the text may hold a patient's data
        raise RadiographError(f"damaged DICOM ({type(error).__name__}): {AGAIN}") from None
    finally:
        logger.disabled = disabled


def _complete_meta(dataset: Any) -> None:
    """Name the transfer syntax of an old file without meta information, which pydicom has told from its content."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _require_film(dataset: Any) -> None:
    """Raise RadiographError for anything but one grey picture."""
    sides = [dataset.get(key) for key in ("Rows", "Columns")]
    if None in sides:
        raise RadiographError("DICOM without a picture (no Rows and Columns), expected a film")
    rows, columns = (int(side) for side in sides)
    if rows < 1 or columns < 1:
        raise RadiographError(f"DICOM of {columns}x{rows} px, expected a picture")
    require_size(columns, rows)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise RadiographError(f"DICOM with {frames} frames, expected one: export each film as a file of its own")
    kind = dataset.get("PhotometricInterpretation")
    if kind not in _GREY or dataset.get("SamplesPerPixel", 1) != 1:
        shown = (
            kind if kind in ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT") else "unknown"
        )
        raise RadiographError(
            f"colour DICOM ({shown}), expected {' or '.join(_GREY)}: is it a screen capture? Export the film itself"
        )


def _require_codec(dataset: Any) -> None:
    """Raise RadiographError where no installed package decodes the transfer syntax."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax == _DEFLATED or _is_decodable(syntax):
        return
    package = "pip install python-gdcm" if syntax in _JPEG_LOSSLESS else INSTALL
    known = syntax.name if syntax.name != str(syntax) else "unknown"
    raise RadiographError(f"DICOM compressed as {known} ({syntax}), which nothing installed decodes: {package}")


def _is_decodable(syntax: Any) -> bool:
    try:
        from pydicom.pixels import get_decoder
    except ImportError:  # pydicom 2
        from pydicom import config

        handlers = config.pixel_data_handlers
        return any(each.is_available() and each.supports_transfer_syntax(syntax) for each in handlers)
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _require_pixels(file: BinaryIO, dataset: Any) -> None:
    """Raise RadiographError unless `file`, which stands at the pixels, holds them all."""
    start = file.tell()
    if file.read(4) not in _PIXEL_DATA:
        raise RadiographError("no pixel data: is it a report, or was only its header copied?")
    size = file.seek(0, os.SEEK_END)
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        file.seek(max(start, size - 4096))
        whole = _SEQUENCE_END in file.read()
        if not whole:  # something long may follow the pixels
            file.seek(start)
            whole = _SEQUENCE_END in file.read()
        found, expected = f"{size - start} bytes of pixels without an end", "an end marker"
    else:
        bits = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("BitsAllocated", 16))
        whole = size - start >= bits // 8
        found, expected = f"{size - start} bytes of pixels", f"{bits // 8}"
    if not whole:
        raise RadiographError(f"cut short ({found}, expected {expected}): {AGAIN}")
