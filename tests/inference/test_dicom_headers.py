"""DICOM objects of films whose headers lack elements, or have others than the standard allows: valid, or refused."""

import pytest

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

from dicom_objects import UIDS, require_valid

from hipdet.core.errors import RadiographError

MISSING = ["PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "StudyTime",
           "ReferringPhysicianName", "Modality", "InstanceNumber", "PhotometricInterpretation"]  # fmt: skip


def item(**tags):
    """A sequence of one item."""
    data = pydicom.Dataset()
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    return [data]


def code(value, scheme, meaning):
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


SOUND = [
    *(({name: None}, ()) for name in MISSING),
    *(({name: ""}, ()) for name in MISSING[:9]),
    (dict.fromkeys(MISSING), ()),
    ({}, [(0x00100030, "DA", b"13.3.57 ")]),
    ({}, [(0x00100030, "DA", b"19570231")]),
    ({}, [(0x00100030, "DA", b"19570101-19580101 ")]),
    ({}, [(0x00100040, "CS", b"X ")]),
    ({}, [(0x00100040, "CS", b"female")]),
    ({}, [(0x00101010, "AS", b"68")]),
    ({}, [(0x00101030, "DS", b"heavy ")]),
    ({}, [(0x00200013, "IS", b"x ")]),
    ({}, [(0x00200013, "IS", b"-4")]),
    ({}, [(0x00080030, "TM", b"25:61 ")]),
    ({}, [(0x00080050, "SH", b"A" * 40)]),
    ({}, [(0x00080050, "SH", b"A\\B ")]),
    ({}, [(0x00081030, "LO", b"H\xfcfte\xfc")]),  # letters of no character set
    ({}, [(0x00281050, "DS", b"wide")]),
    ({}, [(0x00281050, "DS", b"10")]),  # without width
    (dict(WindowCenter="100", WindowWidth="0"), ()),
    ({}, [(0x00281053, "DS", b"1 ")]),  # without intercept
    ({}, [(0x00280034, "IS", b"x\\y ")]),
    ({}, [(0x00090010, "LO", b"PRIVATE MAKER "), (0x00091001, "UN", bytes(10))]),
    ({}, [(0x00101000, "LO", b"a\\b\\c ")]),
    (dict(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg"), ()),
    (dict(SpecificCharacterSet="ISO_IR 192", PatientName="Παπαδόπουλος^Γ"), ()),
    (dict(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎"), ()),
    (dict(SpecificCharacterSet="GB18030", PatientName="王^小东"), ()),
    ({}, [(0x00080005, "CS", b"KLINGON ")]),  # but all letters are ASCII
    (dict(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), ()),  # secondary capture
    (dict(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1", Modality="DX"), ()),
    (dict(SOPClassUID="1.2.840.10008.5.1.4.1.1.12.2", Modality="RF", NumberOfFrames=1), ()),
    (dict(ContentDate="20260102", StudyDate=None, StudyTime=None), ()),
    # as archives of de-identified films have it: by a code alone
    (dict(PatientIdentityRemoved="YES", DeidentificationMethodCodeSequence=code("113100", "DCM", "Basic Profile")), ()),
    (dict(OtherPatientIDsSequence=item(PatientID="ü" * 70, TypeOfPatientID="TEXT"), SpecificCharacterSet="ISO_IR 100"), ()),
    (dict(Manufacturer="MAKER", InstitutionName="Spital Köln", StationName="R1", SpecificCharacterSet="ISO_IR 100"), ()),
    (dict(Manufacturer="MAKER", SoftwareVersions=["1", "2"], AcquisitionDate="20260102", AcquisitionTime="1011"), ()),
]  # fmt: skip


@pytest.mark.parametrize(("tags", "raw"), SOUND, ids=str)
def test_films_with_missing_or_invalid_elements_have_valid_objects(made, tags, raw):
    for kind in ("sr", "pr"):
        path = made(kind, raw=raw, **tags)
        require_valid(path, tags.get("PatientName", "DOE^JANE"))
        found = pydicom.dcmread(path)
        assert found.PatientID == (tags.get("PatientID", "PID4711") or "")
        assert found.PatientName == (tags.get("PatientName", "DOE^JANE") or "")
        assert all(element.tag.group % 2 == 0 for element in found)


def test_the_patients_and_the_studys_modules_are_copied(made):
    tags = dict(
        SpecificCharacterSet="ISO_IR 100", IssuerOfPatientID="A", PatientComments="Ä", AdmissionID="12", PatientAge="068Y",
        OtherPatientIDsSequence=item(PatientID="Ü1", TypeOfPatientID="TEXT"), ReferringPhysicianName="Köhler^K",
        IssuerOfAccessionNumberSequence=item(LocalNamespaceEntityID="RIS"),
        ProcedureCodeSequence=code("XRPELV", "99X", "Becken übersicht"),
        PatientIdentityRemoved="NO", RequestingService="Orthopädie",
    )  # fmt: skip
    for kind in ("sr", "pr"):
        path = made(kind, **tags)
        require_valid(path, "Ü")
        found = pydicom.dcmread(path)
        assert found.SpecificCharacterSet == "ISO_IR 192"
        assert {key: found.get(key) for key in tags if "Seq" not in key and key != "SpecificCharacterSet"} == {
            key: value for key, value in tags.items() if "Seq" not in key and key != "SpecificCharacterSet"
        }
        assert found.OtherPatientIDsSequence[0].PatientID == "Ü1"
        assert found.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "RIS"
        assert found.ProcedureCodeSequence[0].CodeMeaning == "Becken übersicht"
    wrong = [pydicom.Dataset(), *item(PatientID="B" * 70, TypeOfPatientID="TEXT")]
    assert "OtherPatientIDsSequence" not in pydicom.dcmread(made(OtherPatientIDsSequence=wrong))


REFUSED = [
    *(({name: None}, (), f"{name} is missing") for name in (*UIDS, "SOPClassUID")),
    *(({}, [(tag, "UI", b"1.2.x.4 ")], f"{name} is not valid") for tag, name in
      ((0x0020000D, "StudyInstanceUID"), (0x0020000E, "SeriesInstanceUID"), (0x00080018, "SOPInstanceUID"))),
    ({}, [(0x0020000D, "UI", b"1." + b"2" * 70)], "StudyInstanceUID is not valid"),
    ({}, [(0x0020000D, "UI", b"1.2\\1.3 ")], "StudyInstanceUID is not valid"),
    (dict(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33"), (), "SOPClassUID isn't that of an image"),
    (dict(SOPClassUID="1.2.3.4"), (), "SOPClassUID isn't that of an image"),
    (dict(StudyDate=None), (), "no date"),
    ({}, [(0x00080020, "DA", b"yesterday ")], "no date"),
    ({}, [(0x00100020, "LO", b"P" * 70)], "PatientID is not valid"),
    ({}, [(0x00100020, "LO", b"P1\\P2 ")], "PatientID is not valid"),
    ({}, [(0x00100020, "LO", b"P\x001 ")], "PatientID is not valid"),
    ({}, [(0x00100010, "PN", b"M\xfcller")], "PatientName is not valid"),
    ({}, [(0x00080005, "CS", b"ISO_IR 6"), (0x00100010, "PN", b"M\xfcller")], "PatientName is not valid"),
    ({}, [(0x00080005, "CS", b"KLINGON "), (0x00100010, "PN", b"M\xfcller")], "PatientName is not valid"),
    ({}, [(0x00080005, "CS", b"ISO_IR 192"), (0x00100010, "PN", b"M\xfcller")], "PatientName is not valid"),
    (dict(Columns=401), (), "the film has changed"),
]  # fmt: skip


@pytest.mark.parametrize(("tags", "raw", "said"), REFUSED, ids=str)
def test_films_that_cannot_have_valid_objects(made, tags, raw, said, capfd):
    with pytest.raises(RadiographError, match="no DICOM objects") as error:
        made(raw=raw, **tags)
    assert said in error.value.reason
    assert error.value.film == "film.dcm"
    written = str(error.value) + "".join(capfd.readouterr())
    assert not [word for word in ("DOE", "PID4711", "1957", "ller") if word in written]
