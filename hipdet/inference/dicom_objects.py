"""The ROIs of a DICOM film as DICOM objects: a structured report (TID 1500) and a greyscale softcopy presentation state.

highdicom makes them; here is what is put where.  An object depends on the film's header, its ROIs, the model, the settings and
the versions of hipdet and highdicom alone: its UIDs are hashes of these, its dates are those of the film, and made twice, it has
the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from tqdm import tqdm

from hipdet.core.boxes import clipped
from hipdet.core.errors import CheckpointError, ConfigError, HipdetError, RadiographError
from hipdet.core.files import replacing
from hipdet.core.records import Record, read_json
from hipdet.core.spacing import CALIBRATED, CORRECTED, DETECTOR, UNKNOWN_PLANE
from hipdet.inference.detections import DetectedRoi, FilmRois
from hipdet.inference.detector import RoiDetector
from hipdet.inference.review import FLAGS
from hipdet.radiographs.read import own_limits, read_sound_elements
from hipdet.version import __version__

KINDS = ("sr", "pr")  # report, presentation state
CODES = "codes"  # in what a card is about
SCHEME = "99HIPDET"
NOT_FOR = "Found by a program and checked by nobody. Not for diagnosis."
INCOMPLETE = {"fewer_rois", "more_rois", "candidates"}  # flags of films of which ROIs may be missing or too many
PLANES = {CALIBRATED: "in the patient, calibrated", CORRECTED: "in the patient, magnification estimated",
          DETECTOR: "at the detector, larger than in the patient", UNKNOWN_PLANE: "unknown"}  # fmt: skip
_SERIES = {"sr": (9901, "ROIs, report"), "pr": (9902, "ROIs, drawn")}  # numbers that no modality counts up to
_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_OFTEN_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
    "ReferringPhysicianName",
)  # fmt: skip
_MOMENTS = ("Content", "Acquisition", "Series", "Study")  # of a date and a time, the first that a film has
_SHOWN = ("ModalityLUTSequence", "RescaleIntercept", "RescaleSlope", "RescaleType", "VOILUTSequence", "WindowCenter",
          "WindowWidth", "VOILUTFunction")  # fmt: skip
_OTHERS = (
    "StudyDescription", "IssuerOfAccessionNumberSequence", "TimezoneOffsetFromUTC", "InstanceNumber", "Modality", "Rows",
    "Columns", "SamplesPerPixel", "PixelRepresentation", "PhotometricInterpretation", "PixelAspectRatio",
    *(f"{moment}{part}" for moment in _MOMENTS for part in ("Date", "Time")),
)  # fmt: skip

Code = tuple[str, str, str]  # value, scheme, meaning


class RoiCode(NamedTuple):
    """What a class of ROIs is, and where in the body: codes of SNOMED or of another scheme."""

    finding: Code
    site: Code


HIP = ("24136001", "SCT", "Hip joint")
KNOWN = {"hip": RoiCode(HIP, HIP)}  # the class of the bundled model


def parse_codes(
    values: object, classes: Sequence[str], where: object, error: type[HipdetError] = ConfigError
) -> dict[str, RoiCode]:
    """The code of each of `classes`: those in `values`, or else local ones, whose sites are themselves.

    Args:
        values: ``{class: {"value": "24136001", "scheme": "SCT", "meaning": "Hip joint", "site": {the same three}}}``; the
            site is that of the class itself where there is none.
        classes: Names.
        where: What errors call `values`.
        error: Class of the errors.

    Raises:
        HipdetError: another class, or what can't be a code.
    """
    given = Record.of(values, where, error, "see docs/guide/dicom.md")
    if unknown := [name for name in given.values if name not in classes]:
        raise error(f"{where}: codes of class {unknown[0]!r}, expected some of {list(classes)}")
    codes = {name: _local_codes(name) for name in classes}
    for name in given.values:
        record = given.record(name)
        finding = _code(record)
        codes[name] = RoiCode(finding, _code(record.record("site")) if "site" in record.values else finding)
    return codes


def _code(record: Record) -> Code:
    found = {key: record.text(key, longest=most) for key, most in (("value", 16), ("scheme", 16), ("meaning", 64))}
    for key, text in found.items():
        if not text.strip() or not text.isprintable() or "\\" in text or (key != "meaning" and not text.isascii()):
            record.refuse(key, "printable letters without \\, of ASCII in values and schemes")
    return found["value"], found["scheme"], found["meaning"]


def _local_codes(name: str) -> RoiCode:
    plain = re.fullmatch(r"[A-Za-z0-9_ -]{1,16}", name)
    value = name if plain else hashlib.sha256(name.encode()).hexdigest()[:16]
    code = (value, SCHEME, re.sub(r"[\x00-\x1f\x7f-\x9f\\]", " ", name)[:64])
    return KNOWN.get(name, RoiCode(code, code))


def read_source(path: Path, name: str) -> Any | None:
    """The elements of a DICOM film that its objects need, as a pydicom Dataset; None if the film isn't DICOM.

    They are the patient module and what identifies study, series and film.  Private elements and what isn't valid is left out.

    Raises:
        RadiographError: the film can't be read, or lacks what makes valid objects.
    """
    from pydicom.datadict import DicomDictionary

    patient = [tag for tag in DicomDictionary if tag >> 16 == 0x0010]
    found = read_sound_elements(path, [*patient, *_IDENTITY, *_OFTEN_EMPTY, *_SHOWN, *_OTHERS], name)
    if found is None:
        return None
    source, unsound = found
    for keyword in (*_IDENTITY, "Rows", "Columns"):
        if source.get(keyword) is None:
            raise _refused(f"{keyword} is {'not valid' if keyword in unsound else 'missing'}", name)
    if wrong := [keyword for keyword in ("PatientID", "PatientName") if keyword in unsound]:
        raise _refused(f"{wrong[0]} is not valid, or has letters that SpecificCharacterSet doesn't declare", name)
    if "ImageStorage" not in source["SOPClassUID"].value.keyword:
        raise _refused("SOPClassUID isn't that of an image", name)
    source.SamplesPerPixel = 1  # the reader of pixels refuses others
    if source.get("PatientSex") not in ("F", "M", "O"):
        source.PatientSex = ""
    for keyword in (*_OFTEN_EMPTY, "Modality"):
        if source.get(keyword) is None:
            setattr(source, keyword, "")
    _moment(source, name)
    return source


def _refused(fault: str, name: str) -> RadiographError:
    return RadiographError(f"no DICOM objects: {fault}: export the film again", name)


def _moment(source: Any, name: str = "") -> tuple[str, str]:
    """Date and time of the film's objects: those of the film."""
    times = [(source.get(f"{each}Date"), source.get(f"{each}Time")) for each in _MOMENTS]
    for date, time in sorted((each for each in times if each[0]), key=lambda each: not each[1]):
        return date, time or "000000"
    raise _refused("no date", name)


@dataclass(frozen=True)
class ObjectMaker:
    """Makes the objects of films for one model and its settings.

    Attributes:
        model: Name of the model's config.
        fingerprint: Of the model.
        settings: All that detections depend on, see ``RoiDetector.settings``.
        codes: Code of each class.
    """

    model: str
    fingerprint: str
    settings: str
    codes: Mapping[str, RoiCode]

    @classmethod
    def of(cls, detector: RoiDetector, codes: Path | None = None) -> ObjectMaker:
        """The maker for a detector, with the codes in the file `codes`, or those of the model's card.

        Raises:
            ConfigError: what is in the file can't be codes of the model's classes.
            CheckpointError: nor can what is in its card.
        """
        card = detector.model.card
        if codes is not None:
            found = parse_codes(read_json(codes, "codes by class", ConfigError), card.classes, codes)
        else:
            found = parse_codes(card.about.get(CODES, {}), card.classes, "the model's codes", CheckpointError)
        return cls(card.config, detector.model.fingerprint, detector.settings, found)

    def uid(self, *parts: str) -> str:
        """A UID, by PS3.5 B.2, of a hash of `parts` and of all that objects of this maker depend on."""
        from highdicom import __version__ as library

        made_by = (__version__, library, self.model, self.fingerprint, self.settings, sorted(self.codes.items()), parts)
        digest = hashlib.sha256(json.dumps(made_by).encode()).digest()
        return f"2.25.{UUID(bytes=digest[:16], version=5).int}"

    def make(self, kind: str, source: Any, film: FilmRois) -> bytes:
        """The file of an object: ``sr``, the report, or ``pr``, the presentation state.

        Args:
            kind: One of `KINDS`.
            source: See :func:`read_source`.
            film: The film's record; one that can't be read has a report, too, which says so.

        Raises:
            RadiographError: there can be no such object of this film.
        """
        if film.error is None and (film.width, film.height) != (source.Columns, source.Rows):
            raise RadiographError("no DICOM objects: the film has changed: predict it again", film.name)
        try:
            with own_limits():  # no library logs the patient's name
                made = self._report(source, film) if kind == "sr" else self._drawn(source, film)
                date, time = _moment(source)
                made.InstanceCreationDate, made.InstanceCreationTime = date, time
                if zone := source.get("TimezoneOffsetFromUTC"):
                    made.TimezoneOffsetFromUTC = zone
                for each in made.ContributingEquipmentSequence:
                    each.ContributionDateTime = date + time
                content = io.BytesIO()
                made.save_as(content, enforce_file_format=True)
                return content.getvalue()
        except Exception as error:  # the text may have the patient's name
            raise _refused(f"its header can't be used ({type(error).__name__})", film.name) from None

    def _shared(self, kind: str, source: Any) -> dict[str, Any]:
        """Arguments of both kinds of objects."""
        number = source.get("InstanceNumber")
        return dict(
            series_instance_uid=self.uid(kind, "series", source.StudyInstanceUID, source.SeriesInstanceUID),
            sop_instance_uid=self.uid(kind, source.SOPInstanceUID),
            series_number=_SERIES[kind][0],
            series_description=f"hipdet: {_SERIES[kind][1]}",
            instance_number=int(number) if number and int(number) > 0 else 1,
            manufacturer="hipdet",
            manufacturer_model_name=self.model[:64],
            software_versions=(__version__, self.fingerprint[:64]),
            specific_character_set="ISO_IR 192",
        )

    def _report(self, source: Any, film: FilmRois) -> Any:
        import highdicom.sr as sr
        from highdicom.coding_schemes import CodingSchemeIdentificationItem
        from pydicom.sr.codedict import codes

        device = sr.DeviceObserverIdentifyingAttributes(
            self.uid("device"), name="hipdet", manufacturer_name="hipdet", model_name=self.model[:64]
        )
        report = sr.MeasurementReport(
            sr.ObservationContext(sr.ObserverContext(codes.DCM.Device, device)),
            procedure_reported=codes.SCT.PlainRadiography,
            imaging_measurements=[
                self._film_group(source, film),
                *(self._roi_group(source, film, number, roi) for number, roi in enumerate(film.rois, 1)),
            ],
        )
        said = sr.ContainerContentItem(
            sr.CodedConcept("C0034375", "UMLS", "Qualitative Evaluations"), relationship_type="CONTAINS"
        )
        said.ContentSequence = sr.ContentSequence(
            sr.TextContentItem(name, text, relationship_type="CONTAINS") for name, text in _remarks(film)
        )
        report[0].ContentSequence.append(said)
        date, time = _moment(source)
        return sr.ComprehensiveSR(
            [source],
            report[0],
            is_complete=film.error is None and not INCOMPLETE & {*film.flags},
            coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="hipdet", responsible_organization="hipdet")],
            content_date=date,
            content_time=time,
            **self._shared("sr", source),
        )

    def _group(self, source: Any, part: str) -> dict[str, Any]:
        """Arguments of all measurement groups; `part` tells the group from the others of this film."""
        import highdicom.sr as sr

        settings = hashlib.sha256(self.settings.encode()).hexdigest()
        return dict(
            tracking_identifier=sr.TrackingIdentifier(self.uid("part", source.SOPInstanceUID, part), part),
            algorithm_id=sr.AlgorithmIdentification(
                "hipdet", __version__, [f"model {self.model} {self.fingerprint}", f"settings {settings}"]
            ),
        )

    def _film_group(self, source: Any, film: FilmRois) -> Any:
        """The group of the whole film, which is there if nothing is found, too."""
        import highdicom.sr as sr
        from pydicom.sr.codedict import codes

        return sr.MeasurementsAndQualitativeEvaluations(
            **self._group(source, "film"),
            measurements=[sr.Measurement(_local("rois", "Number of ROIs found"), len(film.rois), codes.UCUM.NoUnits)],
            source_images=[sr.SourceImageForMeasurementGroup.from_source_image(source)],
        )

    def _roi_group(self, source: Any, film: FilmRois, number: int, roi: DetectedRoi) -> Any:
        import highdicom.sr as sr
        from pydicom.sr.codedict import codes

        finding, site = (sr.CodedConcept(*code) for code in self.codes[roi.label])
        side = {"left": codes.SCT.Left, "right": codes.SCT.Right}.get(roi.patient_side)
        measured = [
            sr.Measurement(_local("score", "Score of the model, 0 to 1"), round(roi.score, 6), codes.UCUM.NoUnits)
        ]
        plane = []
        if size := film.size_mm(roi):
            names = codes.SCT.Width, codes.DCM.Height
            measured += [sr.Measurement(name, mm, codes.UCUM.Millimeter) for name, mm in zip(names, size)]
            known = film.spacing_plane or UNKNOWN_PLANE
            plane = [
                sr.QualitativeEvaluation(_local("plane", "Plane of the millimetres"), _local(known, PLANES[known]))
            ]
        region = sr.ImageRegion("POLYLINE", _outline(film, roi), sr.SourceImageForRegion.from_source_image(source))
        return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **self._group(source, f"ROI {number}"),
            referenced_region=region,
            finding_category=codes.SCT.AnatomicalStructure,
            finding_type=finding,
            finding_sites=[sr.FindingSite(site, side)],
            measurements=measured,
            qualitative_evaluations=plane,
            geometric_purpose=codes.SCT.BoundedBy,
        )

    def _drawn(self, source: Any, film: FilmRois) -> Any:
        import highdicom.pr as pr
        from highdicom import PresentationLUTTransformation
        from pydicom.dataset import Dataset

        image = Dataset({element.tag: element for element in source if element.keyword not in _SHOWN})  # see below
        layer = pr.GraphicLayer("ROIS", 1, "ROIs found by hipdet")
        lines = [pr.GraphicObject("POLYLINE", _outline(film, roi), "PIXEL") for roi in film.rois]
        labels = [pr.TextObject(f"{roi.label} {roi.patient_side} {roi.score:.2f}".replace("  ", " "), "PIXEL",
                                _label_box(film, roi), text_justification="LEFT") for roi in film.rois]  # fmt: skip
        flags = f", for review: {', '.join(film.flags)}" if film.flags else ""
        said = f"Not for diagnosis. hipdet {__version__}: {len(film.rois)} ROIs{flags}"
        labels.append(pr.TextObject(said, "DISPLAY", (0.01, 0.96, 0.99, 0.99), text_justification="LEFT"))
        inverse = source.get("PhotometricInterpretation") == "MONOCHROME1"  # P-values are dark to bright
        state = pr.GrayscaleSoftcopyPresentationState(
            [image],
            device_serial_number=None,
            content_label="ROIS",
            content_description="ROIs found by hipdet, not for diagnosis",
            graphic_layers=[layer],
            graphic_annotations=[pr.GraphicAnnotation([image], layer, graphic_objects=lines, text_objects=labels)],
            presentation_lut_transformation=PresentationLUTTransformation("INVERSE" if inverse else "IDENTITY"),
            **self._shared("pr", source),
        )
        state.PresentationCreationDate, state.PresentationCreationTime = _moment(source)
        state.Laterality = ""  # of the series, whose ROIs may have both
        _show_as_stored(state, source, film)
        return state


def _local(value: str, meaning: str) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(value, SCHEME, meaning)


def _remarks(film: FilmRois) -> list[tuple[Any, str]]:
    """What the report says in words: name and text."""
    from pydicom.sr.codedict import codes

    texts = [NOT_FOR]
    if film.error is not None:
        texts.append(f"The film can't be read: {film.error}")
    elif not film.rois:
        texts.append("No ROI was found.")
    if unknown := sum(not roi.patient_side for roi in film.rois):
        texts.append(f"Side of the patient: unknown for {unknown} of {len(film.rois)} ROIs.")
    if film.rois and film.spacing_mm is None:
        texts.append("Sizes in mm: unknown, as the film doesn't say its spacing.")
    if film.candidates:
        texts.append(f"Left out: {len(film.candidates)} candidates, which may be ROIs but score less than the limit.")
    flags = [(_local("flag", "Reason to review the film"), f"{flag}: {FLAGS.get(flag, flag)}") for flag in film.flags]
    return [*((codes.DCM.Comment, text) for text in texts), *flags]


def _outline(film: FilmRois, roi: DetectedRoi) -> Any:
    """The box as a closed polyline ``[5, 2]`` of columns and rows: continuous edges from 0, as DICOM's and hipdet's are."""
    import numpy as np

    x0, y0, x1, y1 = clipped(roi.box, film.width, film.height)
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])


def _label_box(film: FilmRois, roi: DetectedRoi) -> tuple[float, float, float, float]:
    """Where the label of `roi` is: on its box, or in it at the film's upper edge."""
    x0, y0, x1, _ = clipped(roi.box, film.width, film.height)
    height, left = film.height / 40, min(x0, film.width * 0.8)
    top = y0 - height if y0 >= height else y0
    return left, top, min(max(x1, left + film.width * 0.2), float(film.width)), min(top + height, float(film.height))


def _show_as_stored(state: Any, source: Any, film: FilmRois) -> None:
    """Add how the film is shown: its own look-up tables or window, and the shape of its pixels."""
    state.update(_part(source, ["ModalityLUTSequence"]) or _part(source, ["RescaleSlope", "RescaleIntercept"]))
    if "RescaleSlope" in state:
        state.RescaleType = source.get("RescaleType") or "US"  # unspecified
    if look := _part(source, ["VOILUTSequence"]) or _part(source, ["WindowCenter", "WindowWidth"]):
        state.SoftcopyVOILUTSequence = [look]
    area = state.DisplayedAreaSelectionSequence[0]
    if film.spacing_mm is not None:
        area.PresentationPixelSpacing = [*film.spacing_mm[::-1]]
        del area.PresentationPixelAspectRatio
    elif shape := source.get("PixelAspectRatio"):
        area.PresentationPixelAspectRatio = shape


def _part(source: Any, keywords: Sequence[str]) -> Any:
    """The elements `keywords` of `source`; none if one is missing."""
    from pydicom.dataset import Dataset

    whole = all(source.get(keyword) is not None for keyword in keywords)
    return Dataset({source[keyword].tag: source[keyword] for keyword in keywords} if whole else {})


@dataclass
class ObjectFolder:
    """A folder of objects, which are called after their UIDs.

    Attributes:
        maker: Makes them.
        kinds: Those of `KINDS` that are wanted.
        folder: Where they are.
        faults: Why films have none, by name.
        others: How many films aren't DICOM.
        count: Of how many films there are objects.
    """

    maker: ObjectMaker
    kinds: Sequence[str]
    folder: Path
    faults: dict[str, str] = field(default_factory=dict)
    others: int = 0
    count: int = 0

    def write(self, films: Iterable[FilmRois], new: Collection[str]) -> None:
        """Write the objects of `films` that are missing, and those of the films called `new`; then remove other films'."""
        names: dict[str, str] = {}
        for film in tqdm(films, unit="film", desc="DICOM", disable=None):
            if film.error is None and film.path is not None:
                try:
                    self._write(film, film.name in new, names)
                except RadiographError as error:
                    self.faults[film.name] = error.reason
        for path in self.folder.glob("2.25.*.dcm"):
            if path.name not in names and path.name.split(".")[-2] in self.kinds:
                path.unlink()

    def _write(self, film: FilmRois, again: bool, names: dict[str, str]) -> None:
        source = read_source(film.path, film.name)  # type: ignore[arg-type]
        if source is None:
            self.others += 1
            return
        for kind in self.kinds:
            name = f"{self.maker.uid(kind, source.SOPInstanceUID)}.{kind}.dcm"
            if (first := names.setdefault(name, film.name)) != film.name:
                raise RadiographError(f"no DICOM objects: its SOPInstanceUID is that of {first}: leave one out")
            if again or not (self.folder / name).is_file():
                with replacing(self.folder / name) as temporary:
                    temporary.write_bytes(self.maker.make(kind, source, film))
        self.count += 1
