"""Films for the timing: phantoms as JPEG in the sizes of Table 1, one as 12-bit DICOM, and a data root to train on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hipdet.core.files import replacing
from hipdet.phantoms.write import make_film
from speed.results import say

SIDES = (454, 1080, 2688, 4280)  # px: FracAtlas, the largest of OAIH, the median and the largest of CGOA
TRAINING = ("cgoa=120", "oaih=80", "gis=20", "--max-side", "512")


def phantom(side: int, number: int = 0) -> NDArray[np.uint8]:
    """A phantom with a long side of `side` pixels ``[H, W]``."""
    film = make_film("cgoa", number, seed=3, max_side=side).pixels
    scale = side / max(film.shape)
    size = round(film.shape[1] * scale), round(film.shape[0] * scale)
    return film if size == film.shape[::-1] else cv2.resize(film, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def jpeg(folder: Path, side: int, number: int = 0) -> Path:
    """The phantom as a JPEG file, which is made unless it exists."""
    path = folder / f"phantom_{side}_{number}.jpg"
    if not path.is_file():
        with replacing(path) as temporary:
            Image.fromarray(phantom(side, number)).save(temporary, quality=90)
    return path


def dicom(folder: Path, side: int) -> Path | None:
    """The phantom as an uncompressed 12-bit DICOM file; None without pydicom."""
    try:
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
    except ImportError:
        return None
    path = folder / f"phantom_{side}.dcm"
    if path.is_file():
        return path
    grey = phantom(side).astype(np.uint16) * 16
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["hipdet benchmark"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    film.SOPClassUID, film.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    film.Modality, film.PhotometricInterpretation, film.SamplesPerPixel = "DX", "MONOCHROME2", 1
    film.Rows, film.Columns = grey.shape
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
    film.WindowCenter, film.WindowWidth = 2048, 4096
    film.PixelData = grey.tobytes()
    with replacing(path) as temporary:
        film.save_as(temporary)
    return path


def training_films(work: Path) -> Path:
    """A data root of phantoms, which hipdet makes unless it exists."""
    data = work / "phantoms"
    if not (data / "annotations/cgoa_oaih_train.json").is_file():
        say("making films to train on")
        for command in (["phantoms", str(data), "--films", *TRAINING], ["convert", "phantom", str(data)]):
            subprocess.run([sys.executable, "-m", "hipdet", *command], check=True, stdout=subprocess.DEVNULL)
    return data
