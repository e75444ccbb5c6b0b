"""DICOM films with a patient, a study and UIDs, as pydicom writes them, their ROIs, and the programs that check objects."""

import io
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from hipdet.inference.detections import DetectedRoi, FilmRois
from hipdet.inference.dicom_objects import ObjectMaker

UIDS = dict(StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", SOPInstanceUID="1.2.3.4.5")
CR = "1.2.840.10008.5.1.4.1.1.1"
PIXELS = np.arange(300 * 400, dtype=np.uint16).reshape(300, 400) % 4096  # 400 wide
CLASSES = ("hip", "left lung", "髋关节 ou hanche, très longue")
RIGHT = DetectedRoi((10.25, 20.5, 110.125, 140.75), 0.91234567, "hip", "left")  # of the picture
LEFT = DetectedRoi((200.0, 21.0, 301.5, 141.0), 0.5, "hip", "right")
FILM = FilmRois("film.dcm", None, 400, 300, (RIGHT, LEFT))


def maker_of(settings="results 1, rois 2", fingerprint="f" * 64, **codes):
    """The maker of objects for a model of `CLASSES` with such settings and codes."""
    card = SimpleNamespace(config="chest", classes=CLASSES, about=dict(codes=codes))
    model = SimpleNamespace(card=card, fingerprint=fingerprint)
    return ObjectMaker(SimpleNamespace(model=model, settings=settings))


MAKER = maker_of()


def dicom_film(pixels=PIXELS, raw=(), syntax="1.2.840.10008.1.2.1", **tags):
    """The bytes of a film; a tag that is None is missing.

    Args:
        pixels: ``[H, W]``.
        raw: Elements ``(tag, representation, value)`` that pydicom writes as they are, whatever the standard says.
        syntax: Transfer syntax.
        tags: By keyword; they replace the usual ones.
    """
    pydicom = pytest.importorskip("pydicom")
    usual = dict(
        UIDS, SOPClassUID=CR, PatientID="PID4711", PatientName="DOE^JANE", PatientBirthDate="19570313", PatientSex="F",
        StudyDate="20260102", StudyTime="101112", StudyID="7", AccessionNumber="A1", ReferringPhysicianName="",
        Modality="CR", InstanceNumber=3, Rows=pixels.shape[0], Columns=pixels.shape[1], SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=12, HighBit=11, PixelRepresentation=0,
        PixelData=pixels.astype("<u2").tobytes(),
    )  # fmt: skip
    data = pydicom.Dataset()
    for keyword, value in {**usual, **tags}.items():
        if value is not None:
            setattr(data, keyword, value)
    for tag, representation, value in raw:
        data[tag] = pydicom.dataelem.RawDataElement(
            pydicom.tag.Tag(tag), representation, len(value), value, 0, False, True
        )
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = CR, "1.2.3.4.5"
    written = io.BytesIO()
    data.save_as(written, enforce_file_format=True)
    return written.getvalue()


def require_valid(path, name="ASCII"):
    """Check an object with the programs of dcmtk and dicom3tools; skip the test where they are missing.

    dcmpschk can't check a patient's `name` in UTF-8, and wants one, which the standard doesn't.
    """
    report = path.name.endswith(".sr.dcm")
    programs = ["dciodvfy", "dsrdump" if report else "dcmpschk"]
    if missing := [name for name in programs if not shutil.which(name)]:
        pytest.skip(f"{' and '.join(missing)} missing: apt-get install dcmtk dicom3tools")
    found = {
        name: subprocess.run([name, str(path)], capture_output=True, text=True, errors="replace") for name in programs
    }
    said = {name: done.stdout + done.stderr for name, done in found.items()}
    kind = "ComprehensiveSR" if report else "GrayscaleSoftcopyPresentationState"
    checked, seen = said.values()
    assert kind in checked
    assert "Error" not in checked, checked
    if not report and not (name and name.isascii()):
        return seen
    assert ("Comprehensive SR Document" if report else "Test passed") in seen, seen
    assert not [line for line in seen.split("\n") if line.startswith("E: ")], seen
    return seen
