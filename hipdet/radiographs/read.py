"""Reads radiographs of every kind: ``grey`` decodes what Pillow can, including EXIF; ``dicom`` decodes DICOM."""

from __future__ import annotations

import io
import logging
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hipdet.core.errors import RadiographError
from hipdet.core.records import MAX_SIDE
from hipdet.core.stored_files import special_kind
from hipdet.radiographs.grey import SHORT, TOO_LARGE, RadiographHeader, ReducedFilm, picture_header, read_picture
from hipdet.radiographs.sniff import AGAIN, HEAD, MAX_BYTES, checked_kind, sniff_kind

Source = str | os.PathLike[str] | bytes

# what decoders raise on damaged files
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError,
    ZeroDivisionError, struct.error, zlib.error, NotImplementedError,
)  # fmt: skip


_QUOTING = ("PIL", "pydicom", "pynetdicom", "pylibjpeg", "openjpeg", "highdicom")
_lock = threading.Lock()
_readers = 0
_undo = ExitStack()


@contextmanager
def own_limits() -> Iterator[None]:
    """Silence warnings and loggers, which quote tags of the film, and raise Pillow's limit to 20,000 px a side.

    All of these are global, so the last of several threads restores them.
    """
    global _readers
    with _lock:
        if _readers == 0:
            _undo.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for logger in map(logging.getLogger, _QUOTING):
                _undo.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.CRITICAL + 1)
            _undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            Image.MAX_IMAGE_PIXELS = MAX_SIDE**2
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                _undo.close()


def read_radiograph(source: Source, name: str | None = None) -> NDArray[np.uint8]:
    """The film as upright 8-bit grey ``[H, W]``.

    EXIF orientation is applied, colour becomes luminance, and transparent parts become black.  Deeper films (16-bit,
    32-bit, float) are windowed from their 0.5 to their 99.5 percentile onto 0..255: keeping only the high byte, as many
    readers do, would leave a 12-bit film nearly black.  DICOM is recognised with or without preamble, whatever the file's
    name.  It is rescaled, shown by its VOI LUT or first window (by percentiles if that leaves nothing visible), and
    inverted if MONOCHROME1; padding becomes black.

    Args:
        source: Path of the film, or its bytes.
        name: What errors call the film; by default its path.

    Raises:
        RadiographError: the film is missing, cut short, damaged, larger than 20,000 px a side or 2 GiB, or not a picture; it
            has several pages or is animated; there is too little memory; or a DICOM file has no pixels, colour, several
            frames or a slice (CT, MR, ...), or needs a decoder that isn't installed.
    """
    return _decoded(source, name).pixels


def read_deep(source: Source, name: str | None = None) -> NDArray[np.uint16]:
    """As :func:`read_radiograph`, but 16-bit grey ``[H, W]``: windows map onto 0..65535, 8-bit films times 257."""
    return _decoded(source, name, depth=16).pixels


def read_reduced(source: Source, at_least: int | None = None, name: str | None = None) -> ReducedFilm:
    """As :func:`read_radiograph`, but a JPEG is decoded at 1/2, 1/4 or 1/8 if its long side keeps `at_least` pixels.

    This skips work whose result a later area mean would discard.  The result also has the side and the spacing that DICOM
    tags name.

    Args:
        source: Path of the film, or its bytes.
        at_least: Pixels of the long side; at least twice the size that is needed, which avoids aliasing.  None for the
            whole film.
        name: What errors call the film; by default its path.

    Raises:
        RadiographError: as :func:`read_radiograph`.
    """
    return _decoded(source, name, at_least=at_least)


def read_header(source: Source, name: str | None = None) -> RadiographHeader:
    """Kind, size, orientation and spacing of the film, after a check that its file is complete.

    JPEG, PNG and DICOM are cheap: the header must be valid, and the file must reach its end marker or hold as many pixels as
    the header says, so damage in the middle isn't found.  TIFF and BMP have no end marker and are decoded.

    Args:
        source: Path of the film, or its bytes.
        name: What errors call the film; by default its path.

    Raises:
        RadiographError: as :func:`read_radiograph`, as far as the header and the end of the file show.
    """
    with _opened(source, name) as file:
        kind = checked_kind(file)
        return _dicom().dicom_header(file) if kind == "DICOM" else picture_header(file, kind)


def read_dicom_tags(source: Source, keywords: Sequence[str], name: str | None = None) -> dict[str, list[str]] | None:
    """The values of the tags `keywords` of a DICOM film, none where one is missing or empty; None if the film isn't DICOM.

    No other tag and no pixel is read.

    Raises:
        RadiographError: the film is missing, or its header is damaged.
    """
    with _opened(source, name) as file:
        return _dicom().header_texts(file, keywords) if _is_dicom(file) else None


def read_dicom_text(source: Source, keyword: str, name: str | None = None) -> str | None:
    """The value of the tag `keyword`, several joined by backslashes; None if there is none, or the film isn't DICOM.

    Raises:
        RadiographError: the film is missing, damaged, or no film.
    """
    with _opened(source, name) as file:
        texts = _dicom().header_texts(file, [keyword])[keyword] if checked_kind(file) == "DICOM" else []
        return "\\".join(texts) or None


def read_sound_elements(source: Source, name: str | None = None) -> tuple[Any, set[str]] | None:
    """See :func:`hipdet.radiographs.dicom.sound_elements`; None if the film isn't DICOM.

    Raises:
        RadiographError: the film is missing, or its header is damaged.
    """
    with _opened(source, name) as file:
        return _dicom().sound_elements(file) if _is_dicom(file) else None


def _is_dicom(file: BinaryIO) -> bool:
    file.seek(0)
    return sniff_kind(file.read(HEAD)) == "DICOM"


def _decoded(source: Source, name: str | None, depth: int = 8, at_least: int | None = None) -> ReducedFilm:
    with _opened(source, name) as file:
        kind = checked_kind(file)
        return _dicom().read_dicom(file, depth) if kind == "DICOM" else read_picture(file, kind, depth, at_least)


def _dicom() -> ModuleType:
    """The DICOM reader, imported when the first DICOM film is read."""
    from hipdet.radiographs import dicom

    return dicom


@contextmanager
def _opened(source: Source, name: str | None) -> Iterator[BinaryIO]:
    """Open `source`; any error while it is decoded becomes a RadiographError that names the film."""
    name = name or ("radiograph in memory" if isinstance(source, bytes) else os.fspath(source))
    try:
        if not isinstance(source, bytes) and (kind := special_kind(source)):
            raise RadiographError(f"{kind}, expected a file")
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file, own_limits():
            if file.seek(0, os.SEEK_END) > MAX_BYTES:
                raise RadiographError(f"{file.tell()} bytes, expected at most {MAX_BYTES}: crop or compress it")
            yield file
    except RadiographError as fault:
        raise RadiographError(fault.reason, name) from fault
    except FileNotFoundError as error:
        raise RadiographError("no such file: check the path", name) from error
    except UnidentifiedImageError as error:
        raise RadiographError(f"header is damaged: {AGAIN}", name) from error
    except Image.DecompressionBombError as error:
        raise RadiographError(TOO_LARGE, name) from error
    except MemoryError as error:
        raise RadiographError(SHORT, name) from error
    except _DECODER_ERRORS as error:
        if isinstance(error, OSError) and error.errno:
            raise RadiographError(f"can't be read: {error.strerror}", name) from error
        raise RadiographError(f"damaged ({error or type(error).__name__}): {AGAIN}", name) from error
