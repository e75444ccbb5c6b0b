"""The ROIs of a DICOM film as DICOM objects: a structured report (TID 1500) and a greyscale softcopy presentation state.

highdicom makes them; here is what is put where.  An object depends only on the film's header and ROIs, the model, settings
and versions of hipdet and highdicom: UIDs are hashes of these, dates the film's, so it has the same bytes each time.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hipdet.core.boxes import clipped
from hipdet.core.errors import ConfigError, RadiographError
from hipdet.core.files import write_synced
from hipdet.core.records import Record, read_json
from hipdet.inference.detections import DetectedRoi, FilmRois
from hipdet.inference.detector import RoiDetector
from hipdet.inference.review import FLAGS
from hipdet.radiographs.read import own_limits, read_sound_elements
from hipdet.version import __version__

Code = tuple[str, str, str]  # value, scheme, meaning
CODES = "codes"  # in what a model's card is about
SCHEME = "99HIPDET"
HIP: Code = ("24136001", "SCT", "Hip joint")  # the class of the bundled model
NOT_FOR = "Found by a program and checked by nobody. Not for diagnosis."
INCOMPLETE = {"fewer_rois", "more_rois", "candidates"}  # flags of films that may have ROIs more, or fewer
_ALLOWED = dict(value=r"[!-\[\]-~]{1,16}", scheme="[A-Z0-9_]{1,16}", meaning=r"[^\\\x00-\x1f\x7f-\x9f]{1,64}")
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Rows", "Columns")
_PATIENT = ("PatientID", "PatientName")  # may be empty, but not wrong
# may be empty, and are where a film lacks them
_EMPTY = ["PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime", "Modality"]
_MOMENTS = [(f"{each}Date", f"{each}Time") for each in ("Content", "Acquisition", "Series", "Study")]
# how a film is shown: by the first of these of which it has the first two
_VALUES = (("ModalityLUTSequence",), ("RescaleSlope", "RescaleIntercept", "RescaleType"))
_GREYS = (("VOILUTSequence",), ("WindowCenter", "WindowWidth", "VOILUTFunction"))


def parse_codes(values: object, classes: Sequence[str], where: object) -> dict[str, list[Code]]:
    """Finding and site of each class, by codes in `values`, or by local ones: see docs/guide/dicom.md; errors name `where`.

    Raises:
        ConfigError: `values` names another class, or what can't be a code.
    """
    given = Record.of(values, where, ConfigError, "see docs/guide/dicom.md")
    if unknown := [name for name in given.values if name not in classes]:
        raise ConfigError(f"{where}: codes of class {unknown[0]!r}, expected some of {list(classes)}")
    codes = {name: [HIP if name == "hip" else _local(name)] * 2 for name in classes}
    for name in given.values:
        record = given.record(name)
        codes[name] = [_code(record), _code(record.record("site") if "site" in record.values else record)]
    return codes


def _code(record: Record) -> Code:
    for key, allowed in _ALLOWED.items():
        if not re.fullmatch(allowed, record.text(key)):
            record.refuse(key, "a DICOM code: value and scheme of at most 16 letters, meaning of at most 64")
    return record.values["value"], record.values["scheme"], record.values["meaning"]


def _local(name: str, meaning: str = "") -> Code:
    value = name if re.fullmatch(r"[\w-]{1,16}", name, re.ASCII) else hashlib.sha256(name.encode()).hexdigest()[:16]
    return value, SCHEME, re.sub(r"[\\\x00-\x1f\x7f-\x9f]", " ", meaning or name)[:64]


def read_source(path: Path, name: str) -> Any | None:
    """The valid elements of a DICOM film that its objects need, as a pydicom Dataset; None if the film isn't DICOM.

    Raises:
        RadiographError: the film `name` can't be read, or lacks what makes valid objects.
    """
    found = read_sound_elements(path, name)
    if found is None:
        return None
    source, unsound = found
    if wrong := [keyword for keyword in (*_NEEDED, *_PATIENT) if keyword in unsound]:  # anything else may be left out
        raise _refused(f"{wrong[0]} is not valid, or has letters that SpecificCharacterSet doesn't declare", name)
    if missing := [keyword for keyword in _NEEDED if keyword not in source]:
        raise _refused(f"{missing[0]} is missing", name)
    if "ImageStorage" not in source["SOPClassUID"].value.keyword:
        raise _refused("SOPClassUID isn't that of an image", name)
    if not any(date in source for date, _ in _MOMENTS):
        raise _refused("no date", name)
    if source.get("PatientSex") not in ("F", "M", "O"):
        source.PatientSex = ""
    for keyword in (*_PATIENT, *_EMPTY):
        source.setdefault(keyword, "")
    source.SamplesPerPixel = 1  # films of more can't be read
    return source


def _refused(fault: str, name: str) -> RadiographError:
    return RadiographError(f"no DICOM objects: {fault}: export the film again", name)


def _moment(source: Any) -> tuple[str, str]:
    """Date and time of the film, the first that has both; midnight if none has."""
    known = [(source.get(date), source.get(time) or "") for date, time in _MOMENTS if source.get(date)]
    return next((each for each in known if each[1]), (known[0][0], "000000"))


class ObjectMaker:
    """Makes the objects of films for one model and its settings.

    Args:
        detector: Has the model and the settings.
        file: JSON file of codes by class, see :func:`parse_codes`; by default those of the model's card.

    Raises:
        ConfigError: these aren't codes of the model's classes.
    """

    def __init__(self, detector: RoiDetector, file: Path | None = None) -> None:
        card = detector.model.card
        values = card.about.get(CODES, {}) if file is None else read_json(file, "codes by class", ConfigError)
        self.codes = parse_codes(values, card.classes, file or "the model's codes")
        self.model, self.fingerprint, self.settings = card.config, detector.model.fingerprint, detector.settings

    def uid(self, *parts: str) -> str:
        """A UID by PS3.5 B.2, a hash of `parts` and of all that objects of this maker depend on."""
        from highdicom import __version__ as library

        made_by = (__version__, library, self.model, self.fingerprint, self.settings, sorted(self.codes.items()), parts)
        digest = hashlib.sha256(json.dumps(made_by).encode()).digest()
        return f"2.25.{UUID(bytes=digest[:16], version=5).int}"

    def make(self, kind: str, source: Any, film: FilmRois) -> bytes:
        """The file of an object: ``sr``, a report (also of a film that can't be read), or ``pr``, a presentation state.

        Raises:
            RadiographError: what :func:`read_source` found can't be used for it.
        """
        if film.error is None and (film.width, film.height) != (source.Columns, source.Rows):
            raise RadiographError("no DICOM objects: the film has changed: predict it again", film.name)
        date, time = _moment(source)
        try:
            with own_limits():  # no library logs the patient's name
                made = self._report(source, film) if kind == "sr" else self._drawn(source, film)
                made.InstanceCreationDate, made.InstanceCreationTime = date, time
                if source.get("TimezoneOffsetFromUTC"):
                    made.TimezoneOffsetFromUTC = source.TimezoneOffsetFromUTC
                for each in made.ContributingEquipmentSequence:
                    each.ContributionDateTime = date + time
                made.save_as(content := io.BytesIO(), enforce_file_format=True)
                return content.getvalue()
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # of any type; its text may have the patient's name
            raise _refused(f"its header can't be used ({type(error).__name__})", film.name) from None

    def _shared(self, kind: str, number: int, source: Any, film: FilmRois) -> dict[str, Any]:
        """Arguments of both kinds of objects; `number` is that of the series."""
        return dict(
            series_instance_uid=self.uid(kind, "series", source.StudyInstanceUID, source.SeriesInstanceUID),
            series_number=number,
            series_description="ROIs by hipdet, not for diagnosis",
            # a report that says why there are no ROIs isn't that of a later call, which finds some
            sop_instance_uid=self.uid(kind, source.SOPInstanceUID, *([film.error] if film.error else [])),
            instance_number=max(1, int(source.get("InstanceNumber") or 1)),
            manufacturer="hipdet",
            manufacturer_model_name=self.model[:64],
            software_versions=[__version__, self.fingerprint[:64]],
            specific_character_set="ISO_IR 192",
        )

    def _report(self, source: Any, film: FilmRois) -> Any:
        import highdicom.sr as sr
        from pydicom.sr.codedict import codes

        device = sr.DeviceObserverIdentifyingAttributes(self.uid("device"), "hipdet", "hipdet", self.model[:64])
        image = sr.SourceImageForMeasurementGroup.from_source_image(source)
        count = sr.Measurement(sr.CodedConcept(*_local("rois", "Number of ROIs")), len(film.rois), codes.UCUM.NoUnits)
        group = self._group(source, "film")
        whole = sr.MeasurementsAndQualitativeEvaluations(**group, measurements=[count], source_images=[image])
        rois = [self._roi(source, film, number, roi) for number, roi in enumerate(film.rois, 1)]
        context = sr.ObservationContext(sr.ObserverContext(codes.DCM.Device, device))
        report = sr.MeasurementReport(context, codes.SCT.PlainRadiography, [whole, *rois])[0]
        title = sr.CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
        said = sr.ContainerContentItem(title, relationship_type="CONTAINS")
        texts = [sr.TextContentItem(sr.CodedConcept(*code), text, "CONTAINS") for code, text in _remarks(film)]
        said.ContentSequence = sr.ContentSequence(texts)
        report.ContentSequence.append(said)
        date, time = _moment(source)
        complete = film.error is None and not INCOMPLETE & {*film.flags}
        shared = dict(self._shared("sr", 9901, source, film), content_date=date, content_time=time)
        return sr.ComprehensiveSR([source], report, is_complete=complete, **shared)

    def _group(self, source: Any, part: str) -> dict[str, Any]:
        """Arguments of all measurement groups; `part` tells the group from the film's others."""
        import highdicom.sr as sr

        settings = hashlib.sha256(self.settings.encode()).hexdigest()
        parameters = [f"model {self.model} {self.fingerprint}", f"settings {settings}"]
        return dict(
            tracking_identifier=sr.TrackingIdentifier(self.uid("part", source.SOPInstanceUID, part), part),
            algorithm_id=sr.AlgorithmIdentification("hipdet", __version__, parameters),
        )

    def _roi(self, source: Any, film: FilmRois, number: int, roi: DetectedRoi) -> Any:
        import highdicom.sr as sr
        from pydicom.sr.codedict import codes

        image = sr.SourceImageForRegion.from_source_image(source)
        finding, site = (sr.CodedConcept(*code) for code in self.codes[roi.label])
        side = {"left": codes.SCT.Left, "right": codes.SCT.Right}.get(roi.patient_side)
        score = sr.CodedConcept(*_local("score", "Score of the model, 0 to 1"))
        return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **self._group(source, f"ROI {number}"),
            referenced_region=sr.ImageRegion("POLYLINE", _outline(film, roi), image),
            finding_category=codes.SCT.AnatomicalStructure,
            finding_type=finding,
            finding_sites=[sr.FindingSite(site, side)],
            measurements=[sr.Measurement(score, round(roi.score, 6), codes.UCUM.NoUnits)],
            geometric_purpose=codes.SCT.BoundedBy,
        )

    def _drawn(self, source: Any, film: FilmRois) -> Any:
        import highdicom as hd
        from pydicom.dataset import Dataset

        image = Dataset({each.tag: each for each in source if each.keyword not in chain(*_VALUES, *_GREYS)})
        # classes that can have several frames: highdicom looks for how these are shown
        image.SharedFunctionalGroupsSequence, image.PerFrameFunctionalGroupsSequence = [Dataset()], []
        layer = hd.pr.GraphicLayer("ROIS", 1, "ROIs found by hipdet")
        lines = [hd.pr.GraphicObject("POLYLINE", _outline(film, roi), "PIXEL") for roi in film.rois]
        names = [" ".join(filter(None, (roi.label, roi.patient_side, f"{roi.score:.2f}"))) for roi in film.rois]
        labels = [hd.pr.TextObject(name, "PIXEL", None, line.graphic_data[0]) for name, line in zip(names, lines)]
        flags = f", for review: {', '.join(film.flags)}" if film.flags else ""
        said = f"Not for diagnosis. hipdet {__version__}: {len(film.rois)} ROIs{flags}"
        labels.append(hd.pr.TextObject(said, "DISPLAY", (0.01, 0.96, 0.99, 0.99), text_justification="LEFT"))
        dark = source.get("PhotometricInterpretation") == "MONOCHROME1"
        state = hd.pr.GrayscaleSoftcopyPresentationState(
            [image],
            content_label="ROIS",
            graphic_layers=[layer],
            graphic_annotations=[hd.pr.GraphicAnnotation([image], layer, graphic_objects=lines, text_objects=labels)],
            presentation_lut_transformation=hd.PresentationLUTTransformation("INVERSE" if dark else "IDENTITY"),
            **self._shared("pr", 9902, source, film) | dict(device_serial_number=None),
        )
        state.PresentationCreationDate, state.PresentationCreationTime = _moment(source)
        state.Laterality = ""
        state.update(_look(source, _VALUES))
        if "RescaleSlope" in state:
            state.setdefault("RescaleType", "US")  # unspecified
        window = _look(source, _GREYS)
        if window and window.get("WindowWidth", 1) >= 1:
            state.SoftcopyVOILUTSequence = [window]
        # not as millimetres: viewers would measure in them, whatever their plane
        x, y = film.spacing_mm or (1e-6, 1e-6)
        ratio = source.get("PixelAspectRatio") or [round(1e6 * y), round(1e6 * x)]
        state.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio = ratio
        return state


def _look(source: Any, choices: Sequence[Sequence[str]]) -> Any:
    """The first look-up table or window of `source`, as a Dataset, which is empty if there is none."""
    from pydicom.dataset import Dataset

    keywords = next((each for each in choices if all(keyword in source for keyword in each[:2])), ())
    look = Dataset({source[each].tag: deepcopy(source[each]) for each in keywords if each in source})
    for element in look:
        if element.VR == "SQ" or element.VM > 1:
            element.value = element.value[:1]
    return look


def _remarks(film: FilmRois) -> list[tuple[Code, str]]:
    """What the report says in words."""
    unknown = sum(not roi.patient_side for roi in film.rois)
    said = {
        NOT_FOR: True,
        f"Not predicted: {film.error}": film.error,
        "No ROI was found.": film.error is None and not film.rois,
        f"The patient's side isn't known of {unknown} of {len(film.rois)} ROIs.": unknown,
        f"Left out: {len(film.candidates)} candidates, which may be ROIs but score less than the limit.": film.candidates,
    }
    flags = [(_local("flag", "Reason to review the film"), f"{flag}: {FLAGS.get(flag, flag)}") for flag in film.flags]
    return [*((("121106", "DCM", "Comment"), text) for text, true in said.items() if true), *flags]


def _outline(film: FilmRois, roi: DetectedRoi) -> NDArray[np.float64]:
    """The box as a closed polyline ``[5, 2]`` of columns and rows: continuous edges from 0, in DICOM as in hipdet."""
    x0, y0, x1, y1 = clipped(roi.box, film.width, film.height)
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])


def write_objects(
    maker: ObjectMaker, kinds: Sequence[str], folder: Path, films: Iterable[FilmRois], new: Collection[str],
    faults: dict[str, str],
) -> Counter[str]:  # fmt: skip
    """Write the missing objects of `films` into `folder`, called after their UIDs; remove those of other films.

    Args:
        maker: Makes the objects.
        kinds: Which: ``sr``, ``pr``.
        folder: Their folder.
        films: The films; those that can't be read are passed over.
        new: Names of films whose objects are written even if they are there.
        faults: Gets why films have none, by name.

    Returns:
        The numbers of ``objects``, and of ``others``, which are films that aren't DICOM.
    """
    owners: dict[str, str] = {}
    count = Counter(others=0)
    for film in tqdm(films, unit="film", desc="DICOM", disable=None):
        if film.error is not None or film.path is None:
            continue
        try:
            source: Any = read_source(film.path, film.name)
            count["others"] += source is None
            for kind in kinds if source is not None else ():
                place = folder / f"{maker.uid(kind, source.SOPInstanceUID)}.{kind}.dcm"
                if twin := owners.get(place.name):
                    raise RadiographError(f"no DICOM objects: {twin} has the same SOPInstanceUID: leave one out")
                if film.name in new or not place.is_file():
                    write_synced(place, maker.make(kind, source, film))
                owners[place.name] = film.name
        except RadiographError as error:
            faults[film.name] = error.reason
    for path in folder.glob("2.25.*.dcm"):
        if path.name not in owners and path.suffixes[-2][1:] in kinds:
            path.unlink()
    count["objects"] = len(owners)
    return count
