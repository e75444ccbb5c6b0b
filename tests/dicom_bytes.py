"""Small DICOM films as bytes, written with pydicom's plain data set writer."""

import io

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

SECRETS = ("Doe^Jane", "19420815", "secret-id", "secret series")


def dicom_dataset(stored, syntax=ExplicitVRLittleEndian, bits=None, **tags):
    """A film of the integers `stored` ``[H, W]`` with a patient's tags; None removes a tag."""
    stored = np.asarray(stored)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = syntax
    encoding = dict(is_implicit_VR=syntax.is_implicit_VR, is_little_endian=syntax.is_little_endian)
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128, **encoding)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    dataset.PatientName, dataset.PatientBirthDate, dataset.PatientID = SECRETS[:3]
    dataset.StudyDescription = SECRETS[3]
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 8 * stored.dtype.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    order = "<" if syntax.is_little_endian else ">"
    dataset.PixelData = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    if syntax.is_encapsulated:  # as if it had been encoded
        dataset.PixelData = encapsulate([dataset.PixelData])
    dataset["PixelData"].VR = "OW" if stored.dtype.itemsize > 1 else "OB"
    for name, value in tags.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def saved(dataset):
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def dicom(stored, *arguments, **tags):
    return saved(dicom_dataset(stored, *arguments, **tags))


def lut(entries, first=0, bits=16):
    """A VOI or modality LUT."""
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = list(entries)
    for name in ("LUTDescriptor", "LUTData"):
        item[name].VR = "US"
    return Sequence([item])
