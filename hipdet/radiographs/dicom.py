"""DICOM films, read with pydicom, whose warnings and log lines are silenced: they quote tags, which can name the patient."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

from numpy.typing import NDArray

from hipdet.core.errors import RadiographError
from hipdet.radiographs.dicom_pixels import (
    DEFLATED,
    INSTALL,
    UNDEFINED,
    PixelElement,
    grey,
    other_remedy,
    require_decoder,
    syntax_name,
    whole_length,
)
from hipdet.radiographs.grey import RadiographHeader, ReducedFilm, require_size
from hipdet.radiographs.sniff import AGAIN

_lock = threading.Lock()
_readers = 0
_undo = ExitStack()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and pydicom's loggers.  Both are global, so the last of several threads restores them."""
    global _readers
    with _lock:
        if _readers == 0:
            _undo.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for logger in map(logging.getLogger, ("pydicom", "pylibjpeg", "openjpeg")):
                _undo.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.CRITICAL + 1)
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                _undo.close()


_NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation")
# no other tag is read with a film: no name, number or date
_TAGS = (
    *_NEEDED, "Modality", "HighBit", "SamplesPerPixel", "NumberOfFrames", "ModalityLUTSequence", "RescaleSlope",
    "RescaleIntercept", "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "PixelData", "ImageLaterality", "Laterality",
)  # fmt: skip
_SLICES = ("CT", "MR", "PT", "NM", "US")  # modalities whose images aren't projections
_COLOURS = ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")


def read_dicom(file: BinaryIO, depth: int = 8) -> ReducedFilm:
    """The whole film as 8-bit or 16-bit grey, with the side of the patient that its tags name."""
    with _pydicom_errors():
        dataset, element, length = _checked_film(file)
        if dataset.file_meta.TransferSyntaxUID == DEFLATED:  # only pydicom knows their offset in the inflated stream
            dataset.PixelData = _parsed(file).PixelData
        else:
            file.seek(element.start)
            dataset.add_new("PixelData", element.representation or "OW", file.read(length))
            dataset["PixelData"].is_undefined_length = element.length == UNDEFINED
        return ReducedFilm.whole(grey(dataset, _decoded(dataset), depth), _patient_side(dataset))


def _patient_side(dataset: Any) -> str | None:
    """``left`` or ``right`` of the patient; None if the tags name no side, both sides, or contradict each other."""
    try:
        keywords = "ImageLaterality", "Laterality"  # the film's side, the series' side
        said = {text for keyword in keywords if (text := str(dataset.get(keyword) or "").strip())}
    except Exception:  # an element that isn't text names no side
        return None
    return {"L": "left", "R": "right"}.get(said.pop()) if len(said) == 1 else None


def dicom_header(file: BinaryIO) -> RadiographHeader:
    """Kind and size of the film.  Pixel data are skipped, so a film of any size takes only a few small reads."""
    with _pydicom_errors():
        dataset, _, _ = _checked_film(file)
        return RadiographHeader("DICOM", (int(dataset.Columns), int(dataset.Rows)))


def series_description(file: BinaryIO) -> str | None:
    """The tag SeriesDescription, such as ``AP Pelvis``; None if there is none."""
    with _pydicom_errors():
        import pydicom

        dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=["SeriesDescription"])
        value = dataset.get("SeriesDescription")
        return None if value is None else str(value)


def patient_id(file: BinaryIO) -> str | None:
    """The tag PatientID; None if it is missing or empty.  Only for telling patients apart: callers don't store it."""
    with _pydicom_errors():
        import pydicom

        dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=["PatientID"])
        return str(dataset.get("PatientID") or "").strip() or None


@contextmanager
def _pydicom_errors() -> Iterator[None]:
    """Turn errors into RadiographError.  pydicom can raise any type, with tags in the text: only the type is passed on."""
    try:
        import pydicom.pixels  # noqa: F401  new in pydicom 3
    except Exception as error:  # a broken plug-in raises other errors than ImportError
        raise RadiographError(
            f"DICOM needs pydicom 3.0 or newer, which is missing, older or broken: {INSTALL}"
        ) from error
    try:
        with quiet():
            yield
    except RadiographError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise RadiographError(f"damaged DICOM ({type(error).__name__}): {AGAIN}") from None


def _parsed(file: BinaryIO, stop_when: Any = None) -> Any:
    """The elements in `_TAGS` as a pydicom Dataset."""
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    file.seek(0)
    return read_partial(file, stop_when, force=True, specific_tags=[Tag(keyword) for keyword in _TAGS])


def _checked_film(file: BinaryIO) -> tuple[Any, PixelElement, int]:
    """The film without its pixels, where these are, and their length in bytes; RadiographError if any are missing."""
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    found: list[PixelElement] = []

    def at_pixels(tag: int, representation: str | None, length: int) -> bool:
        if tag != 0x7FE00010:
            return False
        found[:] = [PixelElement(file.tell(), length, representation)]
        return True

    dataset = _parsed(file, at_pixels)
    if not found:
        raise RadiographError(
            "DICOM without pixel data: a report, a presentation state, a DICOMDIR or a damaged file, not a film"
        )
    missing = [keyword for keyword in _NEEDED if dataset.get(keyword) in (None, "")]
    if missing:
        raise RadiographError(f"DICOM without {' and '.join(missing)}: export the film again")
    _require_film(dataset)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit = found[0].representation is None
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    uid = dataset.file_meta.TransferSyntaxUID
    require_decoder(uid)
    expected = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    return dataset, found[0], whole_length(file, found[0], uid, expected)


def _require_film(dataset: Any) -> None:
    """Raise RadiographError unless the data set is a single grey frame of a film's size."""
    frames, colour = dataset.get("NumberOfFrames"), dataset.PhotometricInterpretation
    if (modality := dataset.get("Modality")) in _SLICES:
        raise RadiographError(f"modality {modality}, expected a radiograph: leave this file out")
    if frames is not None and frames > 1:
        raise RadiographError(f"{int(frames)} frames, expected one: save each film as its own file")
    if colour not in ("MONOCHROME1", "MONOCHROME2") or (dataset.get("SamplesPerPixel") or 1) != 1:
        name = f"colour ({colour})" if colour in _COLOURS else "not MONOCHROME1 or MONOCHROME2"
        raise RadiographError(f"{name}, as in a screenshot or secondary capture, expected grey: export the film itself")
    if min(dataset.Rows, dataset.Columns) < 1:
        raise RadiographError(f"{dataset.Columns}x{dataset.Rows} px, expected at least 1x1: {AGAIN}")
    require_size(dataset.Columns, dataset.Rows)
    allocated, stored = dataset.BitsAllocated, dataset.BitsStored
    if allocated not in (8, 16, 32):
        raise RadiographError(f"BitsAllocated is {allocated}, expected 8, 16 or 32: export the film again")
    if not 1 <= stored <= allocated:
        raise RadiographError(f"BitsStored is {stored}, expected 1 to {allocated}: export the film again")


def _decoded(dataset: Any) -> NDArray[Any]:
    """The decoded stored values ``[H, W]``."""
    uid, shape = dataset.file_meta.TransferSyntaxUID, (dataset.Rows, dataset.Columns)
    try:
        pixels: NDArray[Any] = dataset.pixel_array
    except Exception:
        raise RadiographError(f"pixels can't be decoded as {syntax_name(uid)}: {AGAIN}{other_remedy(uid)}") from None
    if pixels.shape != shape:
        raise RadiographError(f"pixels have shape {pixels.shape}, expected {shape} from the header: {AGAIN}")
    return pixels
