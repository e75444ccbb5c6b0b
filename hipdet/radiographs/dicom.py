"""DICOM films, read with pydicom."""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, BinaryIO, cast

from numpy.typing import NDArray

from hipdet.core.errors import RadiographError
from hipdet.core.records import finite
from hipdet.core.spacing import CALIBRATED, CORRECTED, DETECTOR, UNKNOWN_PLANE, Pair, Spacing, as_mm
from hipdet.radiographs.dicom_pixels import (
    INSTALL,
    UNDEFINED,
    PixelElement,
    grey,
    other_remedy,
    require_decoder,
    require_sound_code,
    syntax_name,
    whole_length,
)
from hipdet.radiographs.grey import RadiographHeader, ReducedFilm, enough_memory, require_size
from hipdet.radiographs.sniff import AGAIN

_NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation")
# no other tag is read with a film: no name, number or date
_TAGS = (
    *_NEEDED, "Modality", "HighBit", "SamplesPerPixel", "NumberOfFrames", "ModalityLUTSequence", "RescaleSlope",
    "RescaleIntercept", "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "PixelData", "ImageLaterality", "Laterality", "PixelSpacing", "PixelSpacingCalibrationType",
    "ImagerPixelSpacing", "NominalScannedPixelSpacing", "EstimatedRadiographicMagnificationFactor",
)  # fmt: skip
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")  # the last of digitised films
_LARGEST_MAGNIFICATION = 5.0  # mammographic spot views have about 2; 1 is the default of machines that don't know it
_PIXELS = 0x7FE00010  # PixelData
_MOST_TAGS = 1 << 26  # bytes that are inflated to find the pixels
_PIECE = 1 << 20
_GROUPS = (0x08, 0x10, 0x12, 0x20, 0x28, 0x32, 0x38, 0x40)  # of patient, study, series, film and how it is shown
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffd]")  # the last stands for what can't be decoded
_SLICES = ("CT", "MR", "PT", "NM", "US")  # modalities whose images aren't projections
_COLOURS = ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")


def read_dicom(file: BinaryIO, depth: int = 8) -> ReducedFilm:
    """The whole film as 8-bit or 16-bit grey, with the patient's side and the spacing that its tags name."""
    with _pydicom_errors():
        file, dataset, element, length = _checked_film(file)
        file.seek(element.start)
        dataset.add_new("PixelData", element.representation or "OW", file.read(length))
        dataset["PixelData"].is_undefined_length = element.length == UNDEFINED
        pixels = _decoded(dataset)
        del dataset.PixelData
        return ReducedFilm.whole(grey(dataset, pixels, depth), _patient_side(dataset), _spacing(dataset))


def _patient_side(dataset: Any) -> str | None:
    """``left`` or ``right`` of the patient; None if the tags name no side, both sides, or contradict each other."""
    keywords = "ImageLaterality", "Laterality"  # the film's side, the series' side
    said = {text for keyword in keywords if (text := str(_value(dataset, keyword) or "").strip())}
    return {"L": "left", "R": "right"}.get(said.pop()) if len(said) == 1 else None


def _spacing(dataset: Any) -> Spacing | None:
    """The spacing of the film by PS3.3 10.7; None if it has none.  A value that can't be one counts as absent.

    PixelSpacing is in the patient, if that is how the film was calibrated; otherwise it shall equal the spacing at the
    detector.  Pixels are read as they are stored: neither rotated nor, if they aren't square, stretched.
    """
    pixel, detector, scanner = (_pair(dataset, keyword) for keyword in _SPACINGS)
    detector = detector or scanner
    if pixel and _value(dataset, "PixelSpacingCalibrationType") in ("GEOMETRY", "FIDUCIAL"):
        return Spacing(pixel, CALIBRATED)
    same = pixel and detector and all(math.isclose(*both, rel_tol=1e-3) for both in zip(pixel, detector))
    if pixel and not same:  # more than at the detector: the film was shrunk, and the other tag left as it was
        return Spacing(pixel, CALIBRATED if detector and max(pixel) < max(detector) else UNKNOWN_PLANE)
    if not detector:
        return None
    factor = finite(_value(dataset, "EstimatedRadiographicMagnificationFactor")) or 1.0
    if 1 < factor <= _LARGEST_MAGNIFICATION and (corrected := as_mm([each / factor for each in detector])):
        return Spacing(corrected, CORRECTED)
    return Spacing(detector, DETECTOR)


def _pair(dataset: Any, keyword: str) -> Pair | None:
    """A tag of two spacings, which is ``row spacing\\column spacing``, as ``(x, y)``."""
    value = _value(dataset, keyword)
    return as_mm(list(value)[::-1], (dataset.Columns, dataset.Rows)) if isinstance(value, Sequence) else None


def _value(dataset: Any, keyword: str) -> Any:
    """The value of a tag; None if there is none, or it can't be read."""
    try:
        return dataset.get(keyword)
    except Exception:  # such as letters in place of a number
        return None


def dicom_header(file: BinaryIO) -> RadiographHeader:
    """Kind, size and spacing of the film.  Pixel data are skipped, so a film of any size takes only a few small reads."""
    with _pydicom_errors():
        dataset = _checked_film(file)[1]
        return RadiographHeader("DICOM", (int(dataset.Columns), int(dataset.Rows)), spacing=_spacing(dataset))


def header_texts(file: BinaryIO, keywords: Sequence[str]) -> dict[str, list[str]]:
    """The values that aren't empty of each of the tags `keywords` of texts, which stand before the pixels.

    Nothing behind the last of them is read, so a film of any size takes a few kilobytes.
    """
    with _pydicom_errors():
        from pydicom.tag import Tag

        last = max(map(Tag, keywords))
        dataset = _parsed(_inflated(file), lambda tag, *_: tag > last, keywords)
        found = {key: dataset.get(key) or [] for key in keywords}
        several = {key: [value] if isinstance(value, str) else value for key, value in found.items()}
        return {key: [text for each in values if (text := str(each).strip())] for key, values in several.items()}


def sound_elements(file: BinaryIO) -> tuple[Any, set[str]]:
    """The valid standard elements before the pixels, as a pydicom Dataset, and the keywords of the others.

    Texts are decoded, so that they can be written in another character set.
    """
    with _pydicom_errors():
        from pydicom.charset import python_encoding
        from pydicom.datadict import DicomDictionary, keyword_for_tag
        from pydicom.dataset import Dataset

        tags = [tag for tag in DicomDictionary if tag >> 16 in _GROUPS]
        dataset = _parsed(_inflated(file), lambda tag, *_: tag >= _PIXELS, tags)
        said = _value(dataset, "SpecificCharacterSet") or "ISO_IR 6"  # ASCII
        sets = {said} if isinstance(said, str) else {*said}
        ascii_only = sets == {"ISO_IR 6"} or not sets <= python_encoding.keys()
        kept, unsound = Dataset(), set()
        for tag in dataset.keys():  # noqa: SIM118  iterating over the dataset itself gives elements
            try:
                _require_valid(dataset[tag], ascii_only)
                if not dataset[tag].is_empty:
                    kept.add(dataset[tag])
            except Exception:  # pydicom can raise any type
                unsound.add(keyword_for_tag(tag))
        return kept, unsound


def _require_valid(element: Any, ascii_only: bool) -> None:
    """ValueError, or an error of pydicom, unless the value of a pydicom DataElement is valid; in sequences, those of all."""
    from pydicom.config import RAISE
    from pydicom.datadict import dictionary_VM, dictionary_VR
    from pydicom.valuerep import DA, STR_VR, TM, validate_value

    kind, several = str(element.VR), element.VM > 1
    values = element.value if several or kind == "SQ" else [element.value]
    texts = [*map(str, values)] if kind in STR_VR else []
    wrong = any(_UNPRINTED.search(text) or (ascii_only and not text.isascii()) for text in texts)
    if wrong or kind not in dictionary_VR(element.tag) or (several and dictionary_VM(element.tag) == "1"):
        raise ValueError
    for text in texts:
        validate_value(kind, text, RAISE)
        {"DA": DA, "TM": TM}.get(kind, str)(text)  # raises an error for a day or time that there is not
    for each in chain(*values) if kind == "SQ" else ():
        _require_valid(each, ascii_only)


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
        yield
    except (RadiographError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise RadiographError(f"damaged DICOM ({type(error).__name__}): {AGAIN}") from None


def _parsed(file: BinaryIO, stop_when: Any, keywords: Sequence[str | int] = _TAGS) -> Any:
    """The elements `keywords`, or tags, as a pydicom Dataset."""
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    file.seek(0)
    return read_partial(file, stop_when, force=True, specific_tags=[Tag(keyword) for keyword in keywords])


class _Deflated(Exception):
    """The elements of the file are deflated."""


class _DeflateFinder:
    """A file that can't be read as a whole: pydicom does that to inflate, without any limit, and at no other time."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size: int | None = None) -> bytes:
        if size is None:
            raise _Deflated
        return self._read(size)


class _Inflated(io.BytesIO):
    """A deflated film as an explicit VR film, which is inflated only as far as it is needed."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        super().__init__()
        self.write(bytes(128) + b"DICM" + b"\2\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0")
        file.seek(start)
        self._deflated, self._inflater = file, zlib.decompressobj(-zlib.MAX_WBITS)

    def grow(self, size: int) -> None:
        """Inflate until there are `size` bytes, or all."""
        at = self.seek(0, io.SEEK_END)
        while at < size and not self._inflater.eof:
            data = self._inflater.unconsumed_tail or self._deflated.read(_PIECE)
            if not data:
                return
            at += self.write(self._inflater.decompress(data, min(_PIECE, size - at)))


def _inflated(file: BinaryIO) -> BinaryIO:
    """The film, with the elements before its pixels inflated if they are deflated."""
    finder = _DeflateFinder(file)
    try:
        _parsed(cast(BinaryIO, finder), lambda *_: True, ())
    except _Deflated:
        inflated = _Inflated(file, finder.tell())
        inflated.grow(_MOST_TAGS)
        return inflated
    return file


def _checked_film(file: BinaryIO) -> tuple[BinaryIO, Any, PixelElement, int]:
    """The inflated film, its tags, where its pixels are, and their length in bytes; RadiographError if any are missing."""
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    found: list[PixelElement] = []

    def at_pixels(tag: int, representation: str | None, length: int) -> bool:
        if tag != _PIXELS:
            return False
        found[:] = [PixelElement(file.tell(), length, representation)]
        return True

    file = _inflated(file)
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
    if isinstance(file, _Inflated):
        file.grow(found[0].start + expected)
    return file, dataset, found[0], whole_length(file, found[0], uid, expected)


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
    require_size(dataset.Columns, dataset.Rows)
    allocated, stored = dataset.BitsAllocated, dataset.BitsStored
    if allocated not in (8, 16, 32):
        raise RadiographError(f"BitsAllocated is {allocated}, expected 8, 16 or 32: export the film again")
    if not 1 <= stored <= allocated:
        raise RadiographError(f"BitsStored is {stored}, expected 1 to {allocated}: export the film again")


def _decoded(dataset: Any) -> NDArray[Any]:
    """The decoded stored values ``[H, W]``."""
    uid, shape = dataset.file_meta.TransferSyntaxUID, (dataset.Rows, dataset.Columns)
    require_sound_code(dataset)
    try:
        with enough_memory(dataset.Columns, dataset.Rows):
            pixels: NDArray[Any] = dataset.pixel_array
    except RadiographError:
        raise
    except Exception:
        raise RadiographError(f"pixels can't be decoded as {syntax_name(uid)}: {AGAIN}{other_remedy(uid)}") from None
    if pixels.shape != shape:
        raise RadiographError(f"pixels have shape {pixels.shape}, expected {shape} from the header: {AGAIN}")
    return pixels
