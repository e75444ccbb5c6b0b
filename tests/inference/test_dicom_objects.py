"""DICOM objects of synthetic DICOM films, read back by highdicom and checked by dcmtk and dicom3tools."""

import io
import json
import uuid
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

from dicom_objects import CLASSES, FILM, LEFT, MAKER, RIGHT, UIDS, dicom_film, maker_of, require_valid
from highdicom.sr import srread
from pydicom.sr.codedict import codes as known

from hipdet.core.errors import ConfigError
from hipdet.inference.detections import DetectedRoi, FilmRois
from hipdet.inference.dicom_objects import parse_codes, write_objects
from hipdet.version import __version__

LUNG = DetectedRoi((0.0, 0.0, 400.0, 300.0), 1.0, CLASSES[1], "")


def groups(path):
    return srread(path).content.get_planar_roi_measurement_groups()


def texts(path):
    """Names and texts of what the report says in words."""
    said = pydicom.dcmread(path).ContentSequence[-1]
    assert said.ConceptNameCodeSequence[0].CodeMeaning == "Qualitative Evaluations"
    return [(each.ConceptNameCodeSequence[0].CodeMeaning, each.TextValue) for each in said.ContentSequence]


def test_report(made):
    path = made(film=replace(FILM, spacing_mm=(0.5, 0.8), spacing_plane="detector"))
    said = require_valid(path)
    assert "UNVERIFIED" in said
    assert "COMPLETE" in said
    assert "Not for diag" in said.replace("...", "") + texts(path)[0][1]
    first, second = groups(path)
    # PS3.3 C.10.5.1.2: columns and rows, 0 is the edge of the first pixel: as in hipdet
    np.testing.assert_array_equal(
        first.roi.value, [(10.25, 20.5), (110.125, 20.5), (110.125, 140.75), (10.25, 140.75), (10.25, 20.5)]
    )
    np.testing.assert_array_equal(second.roi.value[[0, 2]], [(200, 21), (301.5, 141)])
    assert {group.roi.graphic_type.value for group in (first, second)} == {"POLYLINE"}
    assert first.finding_type == known.SCT.HipJoint
    assert first.finding_category == known.SCT.AnatomicalStructure
    sites = [group.finding_sites[0] for group in (first, second)]
    assert [site.value for site in sites] == [known.SCT.HipJoint] * 2
    assert [site.laterality for site in sites] == [known.SCT.Right, known.SCT.Left]
    measured = {each.name.meaning: (each.value, each.unit.value) for each in first.get_measurements()}
    assert measured == {
        "Score of the model, 0 to 1": (0.912346, "1")
    }  # no mm: those of the detector aren't the patient's
    algorithm = {each.ConceptNameCodeSequence[0].CodeValue: each.TextValue for each in first[0].ContentSequence
                 if each.ValueType == "TEXT"}  # fmt: skip
    assert (algorithm["111001"], algorithm["111003"]) == ("hipdet", __version__)  # PS3.16 TID 4019
    parameters = [each.TextValue for each in first[0].ContentSequence
                  if each.ConceptNameCodeSequence[0].CodeValue == "111002"]  # fmt: skip
    assert parameters == [f"model chest {'f' * 64}", f"settings {sha256(b'results 1, rois 2').hexdigest()}"]
    assert all(name == "Comment" for name, _ in texts(path))
    assert len(texts(path)) == 1


def test_same_patient_and_study_another_series(made):
    zone = dict(TimezoneOffsetFromUTC="+0100", ContentDate="20260103", ContentTime="", StudyDescription="Pelvis")
    for kind in ("sr", "pr"):
        found = pydicom.dcmread(made(kind, **zone))
        same = "PatientID PatientName PatientBirthDate PatientSex StudyInstanceUID StudyID AccessionNumber StudyDescription"
        source = pydicom.dcmread(io.BytesIO(dicom_film(**zone)))
        assert [found[name].value for name in same.split()] == [source[name].value for name in same.split()]
        assert found.SeriesInstanceUID not in UIDS.values()
        assert found.SOPInstanceUID not in UIDS.values()
        assert found.InstanceCreationDate + found.InstanceCreationTime == "20260102101112"  # the first with both
        assert found.TimezoneOffsetFromUTC == "+0100"
    reference = pydicom.dcmread(made()).CurrentRequestedProcedureEvidenceSequence[0]
    assert reference.ReferencedSeriesSequence[0].SeriesInstanceUID == UIDS["SeriesInstanceUID"]
    uid = reference.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert uid == UIDS["SOPInstanceUID"]


def test_uids_are_hashes_and_objects_the_same_bytes(made):
    import highdicom

    codes = sorted([name, [list(code) for code in pair]] for name, pair in parse_codes({}, CLASSES, "").items())
    parts = [__version__, highdicom.__version__, "chest", "f" * 64, "results 1, rois 2", codes, ["sr", "1.2.3.4.5"]]
    digest = sha256(json.dumps(parts).encode()).digest()
    expected = f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"  # PS3.5 B.2
    assert pydicom.dcmread(made()).SOPInstanceUID == expected == MAKER.uid("sr", "1.2.3.4.5")
    others = [
        maker_of(settings="rois 1"),
        maker_of(fingerprint="e" * 64),
        maker_of(hip=dict(value="1", scheme="X", meaning="x")),
    ]
    for kind in ("sr", "pr"):
        first, second = made(kind).read_bytes(), made(kind).read_bytes()
        assert first == second
        uids = {maker.uid(kind, "1.2.3.4.5") for maker in (MAKER, *others)} | {MAKER.uid(kind, "1.2.3.4.6")}
        assert len(uids) == 5
        series = {pydicom.dcmread(made(kind, maker=maker)).SeriesInstanceUID for maker in (MAKER, *others)}
        assert len(series) == 4
    ones = {pydicom.dcmread(made(SOPInstanceUID=uid)).SeriesInstanceUID for uid in ("1.2.3.4.5", "1.2.3.4.6")}
    assert len(ones) == 1  # reports of a series are one series


@pytest.mark.parametrize("flag", ["fewer_rois", "more_rois", "candidates", "odd_position", "turned", "low_score"])
def test_flags_are_said(made, flag):
    from hipdet.inference.review import FLAGS

    path = made(film=replace(FILM, flags=(flag,)))
    assert ("Reason to review the film", f"{flag}: {FLAGS[flag]}") in texts(path)
    complete = flag not in ("fewer_rois", "more_rois", "candidates")
    assert pydicom.dcmread(path).CompletionFlag == ("COMPLETE" if complete else "PARTIAL")
    require_valid(path)


def test_nothing_found(made):
    path = made(film=replace(FILM, rois=(), flags=("fewer_rois",)))
    require_valid(path)
    assert groups(path) == []
    assert ("Comment", "No ROI was found.") in texts(path)
    whole = srread(path).content.get_image_measurement_groups()[0]
    assert [each.value for each in whole.get_measurements()] == [0]
    assert whole.source_images[0].referenced_sop_instance_uid == UIDS["SOPInstanceUID"]
    state = made("pr", film=replace(FILM, rois=(), flags=("fewer_rois",)))
    require_valid(state)
    annotation = pydicom.dcmread(state).GraphicAnnotationSequence[0]
    assert "GraphicObjectSequence" not in annotation
    assert "0 ROIs, for review: fewer_rois" in annotation.TextObjectSequence[0].UnformattedTextValue


def test_candidates_are_left_out_and_counted(made):
    low = replace(LEFT, candidate=True, picture_side="", score=0.1)
    path = made(film=replace(FILM, rois=(RIGHT,), candidates=(low, low), flags=("candidates",)))
    assert len(groups(path)) == 1
    assert any("Left out: 2 candidates" in text for _, text in texts(path))
    assert len(pydicom.dcmread(made("pr", film=replace(FILM, rois=(RIGHT,), candidates=(low,)))).GraphicAnnotationSequence[0]
               .GraphicObjectSequence) == 1  # fmt: skip


def test_a_film_that_cannot_be_read(made):
    path = made(film=FilmRois("film.dcm", None, error="pixels can't be decoded"))
    require_valid(path)
    assert ("Comment", "Not predicted: pixels can't be decoded") in texts(path)
    assert pydicom.dcmread(path).CompletionFlag == "PARTIAL"


def test_a_film_that_could_not_be_read_and_then_can_has_another_report(made):
    failed, later = (replace(FILM, error=why, rois=()) for why in ("no result in 60 s", "the file is damaged"))
    uids = [pydicom.dcmread(made(film=film)).SOPInstanceUID for film in (FILM, failed, later, failed)]
    assert len({*uids}) == 3
    assert uids[0] == MAKER.uid("sr", "1.2.3.4.5")
    assert uids[1] == uids[3]


def test_unknown_side_and_several_classes(made):
    long = replace(LUNG, label=CLASSES[2], picture_side="left")
    path = made(film=replace(FILM, rois=(RIGHT, LUNG, long)))
    require_valid(path)
    found = groups(path)
    assert [group.finding_sites[0].laterality for group in found] == [known.SCT.Right, None, known.SCT.Right]
    types = [(each.value, each.scheme_designator, each.meaning) for each in (group.finding_type for group in found)]
    value = sha256(CLASSES[2].encode()).hexdigest()[:16]
    space = sha256(CLASSES[1].encode()).hexdigest()[:16]
    assert types == [("24136001", "SCT", "Hip joint"), (space, "99HIPDET", CLASSES[1]), (value, "99HIPDET", CLASSES[2])]
    assert ("Comment", "The patient's side isn't known of 1 of 3 ROIs.") in texts(path)


def test_codes_with_a_site(made):
    heart = dict(value="80891009", scheme="SCT", meaning="Heart")
    site = dict(value="43799004", scheme="SCT", meaning="Thoracic cavity")
    maker = maker_of(hip={**heart, "site": site})
    group = groups(made(maker=maker))[0]
    assert group.finding_type == known.SCT.Heart
    assert group.finding_sites[0].value.value == "43799004"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "found [], expected an object"),
        ({"knee": {}}, "codes of class 'knee', expected some of"),
        ({"hip": []}, "hip is [], expected an object"),
        ({"hip": dict(value="1", scheme="SCT")}, "no meaning"),
        ({"hip": dict(value="1" * 17, scheme="SCT", meaning="x")}, "expected a DICOM code"),
        ({"hip": dict(value="1\\2", scheme="SCT", meaning="x")}, "expected a DICOM code"),
        ({"hip": dict(value="1", scheme="sct", meaning="x")}, "expected a DICOM code"),
        ({"hip": dict(value="1", scheme="SCT", meaning="x" * 65)}, "expected a DICOM code"),
        ({"hip": dict(value="1", scheme="SCT", meaning="a\nb")}, "expected a DICOM code"),
        ({"hip": dict(value="1", scheme="SCT", meaning="x", site={})}, "no value"),
        ({"hip": dict(value=1, scheme="SCT", meaning="x")}, "value is 1"),
    ],
    ids=str,
)
def test_what_are_no_codes(values, said):
    with pytest.raises(ConfigError) as error:
        parse_codes(values, CLASSES, "codes.json")
    assert str(error.value).startswith("codes.json")
    assert said in str(error.value)


def test_boxes_over_the_edge_are_cut(made):
    over = replace(RIGHT, box=(-5.0, -7.5, 50.0, 310.0))
    for kind in ("sr", "pr"):
        path = made(kind, film=replace(FILM, rois=(over, replace(LEFT, box=(380.0, 250.0, 420.0, 330.0)))))
        require_valid(path)
    np.testing.assert_array_equal(
        groups(made(film=replace(FILM, rois=(over,))))[0].roi.value[[0, 2]], [(0, 0), (50, 300)]
    )


def test_presentation_state(made):
    path = made("pr", film=replace(FILM, flags=("odd_ratio",)), PhotometricInterpretation="MONOCHROME1",
                WindowCenter=["2000", "1"], WindowWidth=["4000", "2"], RescaleSlope="1", RescaleIntercept="0")  # fmt: skip
    require_valid(path)
    state = pydicom.dcmread(path)
    annotation = state.GraphicAnnotationSequence[0]
    boxes = [np.reshape(each.GraphicData, (-1, 2))[[0, 2]].ravel() for each in annotation.GraphicObjectSequence]
    np.testing.assert_array_equal(boxes, [RIGHT.box, LEFT.box])
    assert {each.GraphicAnnotationUnits for each in annotation.GraphicObjectSequence} == {"PIXEL"}
    labels = [each.UnformattedTextValue for each in annotation.TextObjectSequence]
    assert labels[:2] == ["hip right 0.91", "hip left 0.50"]
    assert labels[2] == f"Not for diagnosis. hipdet {__version__}: 2 ROIs, for review: odd_ratio"
    assert (
        state.ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID == UIDS["SOPInstanceUID"]
    )
    assert state.PresentationLUTShape == "INVERSE"  # P-values are dark to bright
    look = state.SoftcopyVOILUTSequence[0]
    assert (look.WindowCenter, look.WindowWidth) == (2000, 4000)  # the first one
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (1, 0, "US")
    # where an annotation has no place but the box, viewers put the text beside this corner
    assert [[*each.AnchorPoint] for each in annotation.TextObjectSequence if "AnchorPoint" in each] == [
        [10.25, 20.5],
        [200, 21],
    ]


@pytest.mark.parametrize("function", ["SIGMOID", "LINEAR_EXACT", None])
def test_windows_are_of_the_films_function(made, function):
    # PS3.3 C.11.2.1.3: another curve of greys; without the tag it is linear
    path = made("pr", WindowCenter="2000", WindowWidth="4000", VOILUTFunction=function, RescaleType="OD")
    require_valid(path)
    state = pydicom.dcmread(path)
    assert state.SoftcopyVOILUTSequence[0].get("VOILUTFunction") == function
    assert "RescaleType" not in state  # as there is no slope


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
def test_presentation_state_with_look_up_tables_and_oblong_pixels(made, syntax):
    table, other = pydicom.Dataset(), pydicom.Dataset()
    for each, values in ((table, bytes(range(256))), (other, bytes(256))):
        each.LUTDescriptor = [256, 0, 8]
        each.add_new("LUTData", "OW", values)
    film = replace(FILM, spacing_mm=(0.5, 0.8), spacing_plane="calibrated")
    path = made("pr", film=film, syntax=syntax, VOILUTSequence=[table, other], WindowCenter="1", WindowWidth="2")
    require_valid(path)
    state = pydicom.dcmread(path)
    assert "WindowCenter" not in state.SoftcopyVOILUTSequence[0]
    (shown,) = state.SoftcopyVOILUTSequence[0].VOILUTSequence  # the first one
    assert shown.LUTData == bytes(range(256))
    area = state.DisplayedAreaSelectionSequence[0]
    assert area.PresentationPixelAspectRatio == [800_000, 500_000]  # rows, columns
    assert "PresentationPixelSpacing" not in area  # which viewers would measure in
    square = pydicom.dcmread(made("pr", film=replace(FILM, spacing_mm=(0.143, 0.143)))).DisplayedAreaSelectionSequence[
        0
    ]
    assert square.PresentationPixelAspectRatio == [143_000, 143_000]
    assert pydicom.dcmread(made("pr")).DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio == [1, 1]
    oblong = pydicom.dcmread(made("pr", PixelAspectRatio=[2, 1])).DisplayedAreaSelectionSequence[0]
    assert oblong.PresentationPixelAspectRatio == [2, 1]


def test_folder(tmp_path):
    (tmp_path / "a.dcm").write_bytes(dicom_film())
    (tmp_path / "b.dcm").write_bytes(dicom_film(SOPInstanceUID="1.2.3.4.6"))
    (tmp_path / "again.dcm").write_bytes(dicom_film())
    (tmp_path / "bad.dcm").write_bytes(dicom_film(StudyDate=None))
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    films = [
        replace(FILM, name=name, path=tmp_path / name) for name in ("a.dcm", "b.dcm", "again.dcm", "bad.dcm", "c.png")
    ]
    films.append(FilmRois("gone.dcm", tmp_path / "gone.dcm", error="no such file"))

    def write(films, new=(), kinds=("sr", "pr"), maker=MAKER):
        faults = {}
        count = write_objects(maker, kinds, tmp_path / "dicom", films, new, faults)
        return count, faults, {path.name: path.read_bytes() for path in (tmp_path / "dicom").iterdir()}

    count, faults, first = write(films)
    assert (dict(count), set(faults)) == (dict(objects=4, others=1), {"again.dcm", "bad.dcm"})
    assert "a.dcm has the same SOPInstanceUID" in faults["again.dcm"]
    assert "no date" in faults["bad.dcm"]
    assert sorted(name.split(".", 3)[-1] for name in first) == ["pr.dcm"] * 2 + ["sr.dcm"] * 2
    assert all(str(pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID) == name[:-7] for name, data in first.items())
    # what is missing is written again, what is there is left alone, and new detections are written
    name = min(first)
    (tmp_path / "dicom" / name).unlink()
    (tmp_path / "dicom" / max(first)).write_bytes(b"left alone")
    assert write(films)[2] == {**first, max(first): b"left alone"}
    assert write(films, {"a.dcm", "b.dcm"})[2] == first
    # objects of films that aren't there any more go, others' files stay
    (tmp_path / "dicom/2.25.notes.txt").write_bytes(b"mine")
    *_, left = write(films[:1], kinds=("sr",))
    assert sorted(name.split(".", 3)[-1] for name in left) == ["pr.dcm", "pr.dcm", "sr.dcm", "txt"]
    *_, other = write(films[:1], maker=maker_of(settings="others"))
    assert len(other) == 3
    assert not set(other) & set(first)
