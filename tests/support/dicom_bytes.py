"""Small DICOM films as bytes, written by PS3.5 (encoding) and PS3.10 (file), without pydicom."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, RLE, JPEG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS, JPEG_LS, JPEG_2000 = (f"1.2.840.10008.1.2.4.{number}" for number in (70, 80, 90))

# what must never appear in any output
PATIENT, NUMBER, DATE = "DOE^JANE", "PID4711", "19570313"

TAGS = {
    "SOPClassUID": (0x0008, 0x0016, "UI"),
    "StudyDate": (0x0008, 0x0020, "DA"),
    "Modality": (0x0008, 0x0060, "CS"),
    "SeriesDescription": (0x0008, 0x103E, "LO"),
    "PatientName": (0x0010, 0x0010, "PN"),
    "PatientID": (0x0010, 0x0020, "LO"),
    "BodyPartExamined": (0x0018, 0x0015, "CS"),
    "EstimatedRadiographicMagnificationFactor": (0x0018, 0x1114, "DS"),
    "ImagerPixelSpacing": (0x0018, 0x1164, "DS"),
    "NominalScannedPixelSpacing": (0x0018, 0x2010, "DS"),
    "ViewPosition": (0x0018, 0x5101, "CS"),
    "Laterality": (0x0020, 0x0060, "CS"),
    "ImageLaterality": (0x0020, 0x0062, "CS"),
    "SamplesPerPixel": (0x0028, 0x0002, "US"),
    "PhotometricInterpretation": (0x0028, 0x0004, "CS"),
    "PlanarConfiguration": (0x0028, 0x0006, "US"),
    "NumberOfFrames": (0x0028, 0x0008, "IS"),
    "Rows": (0x0028, 0x0010, "US"),
    "Columns": (0x0028, 0x0011, "US"),
    "PixelSpacing": (0x0028, 0x0030, "DS"),
    "PixelAspectRatio": (0x0028, 0x0034, "IS"),
    "PixelSpacingCalibrationType": (0x0028, 0x0A02, "CS"),
    "BitsAllocated": (0x0028, 0x0100, "US"),
    "BitsStored": (0x0028, 0x0101, "US"),
    "HighBit": (0x0028, 0x0102, "US"),
    "PixelRepresentation": (0x0028, 0x0103, "US"),
    "PixelPaddingValue": (0x0028, 0x0120, "US"),  # or SS
    "PixelPaddingRangeLimit": (0x0028, 0x0121, "US"),
    "WindowCenter": (0x0028, 0x1050, "DS"),
    "WindowWidth": (0x0028, 0x1051, "DS"),
    "RescaleIntercept": (0x0028, 0x1052, "DS"),
    "RescaleSlope": (0x0028, 0x1053, "DS"),
    "VOILUTFunction": (0x0028, 0x1056, "CS"),
    "ModalityLUTSequence": (0x0028, 0x3000, "SQ"),
    "LUTDescriptor": (0x0028, 0x3002, "US"),
    "LUTData": (0x0028, 0x3006, "OW"),
    "VOILUTSequence": (0x0028, 0x3010, "SQ"),
    "PixelData": (0x7FE0, 0x0010, "OW"),
}


def element(group, number, vr, value, order="<", implicit=False, length=None):
    """One data element; `length` overrides that of `value`."""
    if isinstance(value, str):
        value = value.encode()
    value += (b"\0" if vr in ("UI", "OB", "OW") else b" ") * (len(value) % 2)
    length = len(value) if length is None else length
    head = struct.pack(f"{order}HH", group, number)
    if implicit:
        return head + struct.pack(f"{order}I", length) + value
    if vr in ("OB", "OW", "SQ"):
        return head + vr.encode() + struct.pack(f"{order}HI", 0, length) + value
    return head + vr.encode() + struct.pack(f"{order}H", length) + value


def elements(values, order="<", implicit=False):
    """A data set without its pixels: names as in TAGS, numbers and lists of them for US, dicts for sequences of an item."""
    written = b""
    for name, value in sorted(values.items(), key=lambda item: TAGS[item[0]][:2]):
        group, number, vr = TAGS[name]
        if isinstance(value, dict):
            item = elements(value, order, implicit)
            value = struct.pack(f"{order}HHI", 0xFFFE, 0xE000, len(item)) + item
        elif isinstance(value, (int, list)):
            numbers = value if isinstance(value, list) else [value]
            vr = "SS" if vr == "US" and min(numbers) < 0 else vr
            value = struct.pack(f"{order}{len(numbers)}{'h' if vr == 'SS' else 'H'}", *numbers)
        written += element(group, number, vr, value, order, implicit)
    return written


def preamble(syntax):
    meta = element(0x0002, 0x0010, "UI", syntax)
    return bytes(128) + b"DICM" + element(0x0002, 0x0000, "UL", struct.pack("<I", len(meta))) + meta


def fragments(*parts):
    """Encapsulated pixel data of one frame: an empty offset table, fragments, the delimiter."""
    items = [struct.pack("<HHI", 0xFFFE, 0xE000, len(part) + len(part) % 2) + part + b"\0" * (len(part) % 2)
             for part in (b"", *parts)]  # fmt: skip
    return b"".join(items) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def described(pixels, **changes):
    """The elements of a film with these pixels; a value of None omits an element."""
    bits = 8 * pixels.itemsize
    values = dict(
        StudyDate=DATE, PatientName=PATIENT, PatientID=NUMBER, Modality="CR", SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2", Rows=pixels.shape[0], Columns=pixels.shape[1], BitsAllocated=bits,
        BitsStored=bits, HighBit=bits - 1, PixelRepresentation=int(pixels.dtype.kind == "i"),
    )  # fmt: skip
    values.update(changes)
    return {name: value for name, value in values.items() if value is not None}


def film(pixels, syntax=EXPLICIT, with_preamble=True, data=None, **changes):
    """A complete file; `data` replaces the bytes of the pixels, by fragments() for an encapsulated syntax."""
    order, implicit = (">" if syntax == BIG_ENDIAN else "<"), syntax == IMPLICIT
    native = syntax in (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED)
    if data is None:
        data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    written = elements(described(pixels, **changes), order, implicit)
    if data != b"":
        vr = "OW" if native else "OB"
        written += element(0x7FE0, 0x0010, vr, data, order, implicit, length=None if native else 0xFFFFFFFF)
    if syntax == DEFLATED:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        written = deflate.compress(written) + deflate.flush()
    return (preamble(syntax) if with_preamble else b"") + written


def jpeg_2000(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
    return buffer.getvalue()


def run_length(pixels):
    """PS3.5 annex G with literal runs only: the high bytes, then the low ones."""
    segments = []
    for plane in reversed(range(pixels.itemsize)):
        raw = pixels.ravel().view(np.uint8)[plane :: pixels.itemsize].tobytes()
        runs = [bytes([len(raw[at : at + 128]) - 1]) + raw[at : at + 128] for at in range(0, len(raw), 128)]
        joined = b"".join(runs)
        segments.append(joined + b"\0" * (len(joined) % 2))
    offsets = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    return struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments))) + b"".join(segments)
