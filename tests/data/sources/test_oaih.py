"""The OAI archive as folders and as zips."""

import json
import zipfile

import pytest

import dicom_bytes
from film_sources import OAI_HEADER, dicom_film, film, make_oai_tree, make_oai_zips, oai_labels, table, write
from hipdet.core.errors import DatasetError
from hipdet.data.candidates import Rules
from hipdet.data.collect import LabelSource
from hipdet.data.convert import Output, convert_found
from hipdet.data.copies import Copies
from hipdet.data.sources.oaih import find_oaih
from hipdet.radiographs.read import read_radiograph

LABELLED = ("00100002", "00100004", "00100005")


@pytest.fixture(params=[make_oai_tree, make_oai_zips], ids=["tree", "zips"])
def oai(request, tmp_path):
    pytest.importorskip("pydicom")
    return request.param(tmp_path / "OAI", dicom_film)


def convert(root, labels, out, route="dicom", copies=None, **finder):
    source = LabelSource({"": labels})
    rules = Rules("oaih", scaled_labels=route == "dicom")
    return convert_found(root, find_oaih(root, route=route, **finder), source, rules, Output(out, None, copies), {})


def test_exact_json_of_copies(oai, tmp_path):
    labels = oai_labels(tmp_path / "hips.json", *LABELLED, "00100001")
    convert(oai, labels, tmp_path / "data", copies=Copies(tmp_path / "data", 90, 1))
    coco = json.loads((tmp_path / "data/annotations/oaih.json").read_text())
    assert coco["images"] == [
        {"id": n, "file_name": f"oaih_90/{patient}_{visit}_{series}.png", "width": 90, "height": 60, "source": "oaih",
         "patient": patient, "visit": visit, "original": f"{visit}/{patient}/{series}", "label_file": "hips.json",
         "original_width": 180, "original_height": 120}
        for n, (visit, patient, series) in enumerate(
            [("12m", "9000001", "00100002"), ("12m", "9000002", "00100004"), ("96m", "9000002", "00100005")], 1
        )
    ]  # fmt: skip
    # labelled on previews of 90x60, so twice as large in the film of 180x120, and half that in the copy
    assert coco["annotations"] == [
        {"id": n, "image_id": (n + 1) // 2, "category_id": 1, "bbox": box, "area": 400, "iscrowd": 0, "picture_side": side,
         "laterality": {"left": "right", "right": "left"}[side]}
        for n, (box, side) in enumerate([([10, 20, 20, 20], "left"), ([60, 20, 20, 20], "right")] * 3, 1)
    ]  # fmt: skip
    pixels = read_radiograph(tmp_path / "data" / coco["images"][0]["file_name"])
    assert pixels.shape == (60, 90)
    assert pixels.std() > 10


def test_reports(oai, tmp_path):
    labels = oai_labels(tmp_path / "hips.json", *LABELLED[:2], "00100001", "00109999")
    conversion = convert(oai, labels, tmp_path, copies=Copies(tmp_path, workers=1))
    assert [(each.name, each.reason) for each in conversion.exclusions] == [
        ("00100001_1x1.jpg", "labelled but without a film of this name"),  # of a visit that isn't selected
        ("00109999_1x1.jpg", "labelled but without a film of this name"),
        ("96m/9000002/00100005", "not labelled"),
        ("96m/9000003/00100006", "in contents.csv, but not in the archive"),
    ]
    assert conversion.notes == (
        "series that aren't AP Pelvis: 1 x Bilateral PA Fixed Flexion Knee",
        "visits that weren't selected: 00m",
    )


def test_no_tag_and_no_date_in_any_output(oai, tmp_path):
    convert(
        oai, oai_labels(tmp_path / "l/hips.json", *LABELLED), tmp_path / "d", copies=Copies(tmp_path / "d", workers=1)
    )
    patient = [text.encode() for text in (dicom_bytes.PATIENT, dicom_bytes.NUMBER, dicom_bytes.DATE)]
    secrets = (*patient, b"2005", b"2012", b"01660000", str(tmp_path).encode())
    outputs = [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
    assert len(outputs) == 7  # 3 films with the mark of their folder, annotations, exclusions, provenance
    for path in outputs:
        content = path.read_bytes() + str(path.relative_to(tmp_path)).encode()
        for secret in secrets:
            assert secret not in content, path


def test_without_copies_films_are_used_in_place(tmp_path):
    pytest.importorskip("pydicom")
    root = make_oai_tree(tmp_path / "OAI", dicom_film)
    conversion = convert(root, oai_labels(tmp_path / "hips.json", *LABELLED), tmp_path)
    assert conversion.films[0].file_name == "OAI/12m/0.C.2/9000001/20050101/00100002/001"
    assert [roi.box for roi in conversion.films[0].rois] == [(20, 40, 60, 80), (120, 40, 160, 80)]


def test_films_in_zips_need_copies(tmp_path):
    pytest.importorskip("pydicom")
    root = make_oai_zips(tmp_path / "OAI", dicom_film)
    with pytest.raises(
        DatasetError,
        match=r"00100002 and 2 more films are inside zips.*add --copies upright",
    ):
        convert(root, oai_labels(tmp_path / "hips.json", *LABELLED), tmp_path)
    assert not (tmp_path / "annotations").exists()


def test_previews_as_in_the_paper(oai, tmp_path):
    labels = oai_labels(tmp_path / "hips.json", *LABELLED)
    conversion = convert(oai, labels, tmp_path, "preview", Copies(tmp_path, workers=1))
    assert [(film.width, film.height) for film in conversion.films] == [(90, 60)] * 3
    assert [roi.box for roi in conversion.films[0].rois] == [(10, 20, 30, 40), (60, 20, 80, 40)]


@pytest.mark.parametrize("visits", [["12m"], ["96m"], ["00m", "12m", "96m"]])
def test_visits(oai, visits):
    found = find_oaih(oai, visits)
    films = [("00m", "00100001"), ("12m", "00100002"), ("12m", "00100004"), ("96m", "00100005")]
    expected = [(visit, series) for visit, series in films if visit in visits]
    assert sorted((each.extra["visit"], each.short_name[-8:]) for each in found.candidates) == expected


def test_root_is_a_visit_or_a_zip(tmp_path):
    pytest.importorskip("pydicom")
    tree, zips = make_oai_tree(tmp_path / "tree", dicom_film), make_oai_zips(tmp_path / "zips", dicom_film)
    for root in (tree / "12m", zips / "12m.zip"):
        assert sorted(each.short_name for each in find_oaih(root, ["12m"]).candidates) == [
            "9000001_12m_00100002", "9000002_12m_00100004"
        ]  # fmt: skip


def test_description_from_dicom_if_there_is_no_table(tmp_path):
    pytest.importorskip("pydicom")
    for series, description in (("00200001", "AP Pelvis "), ("00200002", "PA Bilateral Hand"), ("00200003", None)):
        write(tmp_path / f"12m/0.C.2/9000001/20050101/{series}/001", dicom_film(90, 60, 0, description))
    found = find_oaih(tmp_path)
    assert [each.short_name for each in found.candidates] == ["9000001_12m_00200001"]
    assert [(each.name, each.reason) for each in found.exclusions] == [
        ("12m/9000001/00200003", "no description in contents.csv or DICOM")
    ]
    assert found.notes == ("series that aren't AP Pelvis: 1 x PA Bilateral Hand",)


def test_previews_without_any_description_are_candidates(tmp_path):
    write(tmp_path / "12m/0.C.2/9000001/20050101/00200001_1x1.jpg", film(90, 60))
    assert len(find_oaih(tmp_path, route="preview").candidates) == 1


FOLDER = "0.C.2/9000001/20050101/00100002"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Folder,ParticipantID\n", "columns seriesdescription are missing"),
        (
            table(OAI_HEADER, ["9000001", "", "", "", "", "AP Pelvis"]),
            r"Folder is '9000001', expected \.\.\./participant",
        ),
        (
            table(OAI_HEADER, [FOLDER, "9000009", "", "", "", "AP Pelvis"]),
            "ParticipantID is '9000009', expected '9000001' as in",
        ),
        (table(OAI_HEADER, [FOLDER, "9000001"]), "2 fields, expected 6"),
        (b"\xff\xff", "not UTF-8"),
    ],
)
def test_bad_table_of_contents(tmp_path, text, message):
    write(tmp_path / f"12m/{FOLDER}_1x1.jpg", film(90, 60))
    write(tmp_path / "12m/contents.csv", text)
    with pytest.raises(DatasetError, match=message):
        find_oaih(tmp_path, route="preview")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(visits=["13m"]), "visits are 13m, expected some of 00m, 12m"),
        (dict(visits=[]), "visits are none, expected some of"),
        (dict(route="jpeg"), "route is 'jpeg', expected one of dicom, preview"),
        (
            dict(),
            "no AP Pelvis film by route dicom, found 1 X-ray series; 1 series have a preview: add --route preview",
        ),
        (dict(visits=["96m"]), "no AP Pelvis film by route dicom, found visits that weren't selected: 12m"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    write(tmp_path / f"12m/{FOLDER}_1x1.jpg", film(90, 60))
    with pytest.raises(DatasetError, match=message):
        find_oaih(tmp_path, **arguments)


def test_no_such_folder_and_no_zip(tmp_path):
    with pytest.raises(DatasetError, match="none: no such folder"):
        find_oaih(tmp_path / "none")
    with pytest.raises(DatasetError, match=r"a\.zip: not a readable zip"):
        find_oaih(write(tmp_path / "a.zip", b"PK, but no more"))


def test_a_damaged_film_in_a_zip_is_named(tmp_path):
    path = tmp_path / "12m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"12m/{FOLDER}_1x1.jpg", film(90, 60))
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"12m\.zip: 12m/0\.C\.2/.*can't be unpacked \(Bad CRC-32"):
        convert(tmp_path, oai_labels(tmp_path / "hips.json", "00100002"), tmp_path, "preview", Copies(tmp_path))
