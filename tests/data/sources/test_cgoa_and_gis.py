"""CGOA: a hospital's films with serial numbers, pairs, fractures and two annotators.

GIS: films from a web search.
"""

import json

import pytest

from film_sources import film, make_cgoa, make_gis, table, voc, write
from hipdet.core.errors import DatasetError
from hipdet.data.candidates import Rules
from hipdet.data.collect import LabelSource, default_labels
from hipdet.data.convert import Output, convert_found
from hipdet.data.copies import Copies
from hipdet.data.sources.cgoa import PHASES, find_cgoa
from hipdet.data.sources.folder import GIS_MIN_SIDE, find_gis
from hipdet.radiographs.read import read_header, read_radiograph


def convert(root, out=None, rules=None, copies=None, **finder):
    labels = LabelSource(default_labels(root, []))
    return convert_found(root, find_cgoa(root, **finder), labels, rules or Rules("cgoa"), Output(root, out, copies), {})


def test_exact_json(tmp_path):
    convert(make_cgoa(tmp_path), phases=PHASES)
    coco = json.loads((tmp_path / "annotations/cgoa.json").read_text())
    common = {"width": 90, "height": 60, "source": "cgoa"}
    assert coco["images"] == [
        {"id": 1, "file_name": "images/0001_post.jpg", **common, "patient": "P1", "group": "OA", "phase": "post",
         "label_file": "0001_post.xml"},
        {"id": 2, "file_name": "images/0001_pre.jpg", **common, "patient": "P1", "group": "OA", "phase": "pre",
         "label_file": "0001_pre.xml"},
        {"id": 3, "file_name": "images/0003.jpg", **common, "patient": "P3", "group": "OA", "label_file": "0003.xml"},
        {"id": 4, "file_name": "images/0005.jpg", **common, "patient": "P5", "group": "normal", "label_file": "0005.xml"},
    ]  # fmt: skip
    boxes = [
        # 0001_post: the right hip is the mean of RL's and SC's, 20 and 24 from the top
        (1, [10, 20, 20, 20], "left"), (1, [60, 22, 20, 20], "right"),
        (2, [10, 20, 20, 20], "left"), (2, [60, 20, 20, 20], "right"),
        (3, [12, 22, 20, 20], "left"), (3, [60, 22, 20, 20], "right"),  # drawn from right to left
        (4, [0, 20, 18, 20], "left"), (4, [60, 20, 20, 20], "right"),
    ]  # fmt: skip
    assert coco["annotations"] == [
        {"id": n, "image_id": image, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0,
         "picture_side": side, "laterality": {"left": "right", "right": "left"}[side]}
        for n, (image, box, side) in enumerate(boxes, 1)
    ]  # fmt: skip
    assert coco["categories"] == [{"id": 1, "name": "hip"}]


def test_reports(tmp_path):
    conversion = convert(make_cgoa(tmp_path), phases=PHASES)
    folder = tmp_path / "annotations"
    assert (folder / "cgoa.exclusions.csv").read_text().splitlines() == [
        "film,reason",
        "images/0002.jpg,\"number of ROIs is 1, expected 2\"",
        "images/0004_post.jpg,\"fracture, read on images/0004_pre.jpg\"",
        "images/0004_pre.jpg,fracture",
        "images/0006.jpg,not in films.csv",
    ]  # fmt: skip
    # derived in make_cgoa: 320 / 480
    assert (folder / "cgoa.agreement.csv").read_text().splitlines() == [
        "film,label,first,second,iou,first_box,second_box",
        "images/0001_post.jpg,hip,RL,SC,0.6667,60.00 20.00 80.00 40.00,60.00 24.00 80.00 44.00",
        "images/0001_post.jpg,hip,RL,SC,1.0000,10.00 20.00 30.00 40.00,10.00 20.00 30.00 40.00",
    ]
    record = json.loads((folder / "cgoa.provenance.json").read_text())
    assert record["agreement"] == {"rois": 2, "mean_iou": 0.8333, "min_iou": 0.6667}
    assert record["long_side"] == {"max": 90, "min": 90, "median": 90, "mean": 90, "sd": 0}
    assert [(entry["annotator"], entry["path"], entry["files"]) for entry in record["labels"]] == [
        ("RL", "labels/RL", 7), ("SC", "labels/SC", 2)
    ]  # fmt: skip
    assert record["excluded"] == {"fracture": 2, "not in films.csv": 1, "number of ROIs is 1": 1}
    assert conversion.warnings == ()  # the size of the rotated film shows its frame


def test_same_input_same_bytes_and_no_path_of_the_machine(tmp_path):
    for place in ("one", "other"):
        convert(make_cgoa(tmp_path / place), phases=PHASES)
    files = sorted((tmp_path / "one/annotations").iterdir())
    assert len(files) == 4
    for path in files:
        content = path.read_bytes()
        assert content == (tmp_path / "other/annotations" / path.name).read_bytes()
        assert b"Users" not in content
        assert str(tmp_path).encode() not in content


def test_one_film_of_each_pair_as_in_the_paper(tmp_path):
    """2,660 patients, 2,660 films: the film before the operation if there is one, otherwise the one after it."""
    root = make_cgoa(tmp_path)
    write(root / "images/0007_post.jpg", film(90, 60, "JPEG", None, 9))
    write(root / "labels/RL/0007_post.xml", voc("0007_post.jpg", 90, 60, (10, 20, 30, 40), (60, 20, 80, 40)))
    write(root / "films.csv", (root / "films.csv").read_text() + "0007_post.jpg,P7,OA,0\n")
    conversion = convert(root)
    assert [film.file_name for film in conversion.films] == [
        "images/0001_pre.jpg",
        "images/0003.jpg",
        "images/0005.jpg",
        "images/0007_post.jpg",
    ]
    assert len({film.patient for film in conversion.films}) == 4
    assert ("images/0001_post.jpg", "post film of a pair") in [(e.name, e.reason) for e in conversion.exclusions]


def test_one_phase(tmp_path):
    conversion = convert(make_cgoa(tmp_path), phases=["post"])
    assert [film.file_name for film in conversion.films] == [
        "images/0001_post.jpg",
        "images/0003.jpg",
        "images/0005.jpg",
    ]
    assert ("images/0001_pre.jpg", "pre film of a pair") in [(e.name, e.reason) for e in conversion.exclusions]


def test_strips_are_cut_off_in_copies(tmp_path):
    root = make_cgoa(tmp_path)
    with pytest.raises(DatasetError, match="can be cropped only in copies: add --copies"):
        convert(root, crop=(10, 5))
    conversion = convert(root, crop=(10, 5), copies=Copies(root, workers=1))
    turned = next(film for film in conversion.films if film.file_name == "cgoa_upright/images/0003.png")
    assert (turned.width, turned.height) == (90, 45)
    assert [roi.box for roi in turned.rois] == [(12, 12, 32, 32), (60, 12, 80, 32)]  # 10 rows higher
    pixels = read_radiograph(root / turned.file_name)
    assert (pixels == read_radiograph(root / "images/0003.jpg")[10:55]).all()
    assert read_header(root / turned.file_name).orientation == 1
    assert turned.extra["original"] == "images/0003.jpg"


def test_a_crop_through_an_roi_is_a_fault(tmp_path):
    root = make_cgoa(tmp_path)
    with pytest.raises(
        DatasetError, match=r"0001_post\.jpg: box \[10, -8, 30, 12\] reaches 8 px out of the film of 90x32"
    ):
        convert(root, phases=PHASES, crop=(28, 0), copies=Copies(root))
    assert not (root / "annotations").exists()


GOOD = "film,patient,group,fracture"


@pytest.mark.parametrize(
    ("films", "text", "message"),
    [
        (["0001.jpg"], None, r"films\.csv: can't be read: No such file"),
        (["0001.jpg"], "film,patient,group\n0001.jpg,P1,OA\n", "columns fracture are missing"),
        (["0001.jpg"], GOOD + "\n", "no rows below the header"),
        (["0001.jpg"], table(GOOD, ["0002.jpg", "P1", "OA", "0"]), "line 2: '0002.jpg': no such film"),
        (["0001.jpg"], table(GOOD, ["", "P1", "OA", "0"]), "line 2: column film is empty"),
        (["0001.jpg"], table(GOOD, *[["0001.jpg", "P1", "OA", "0"]] * 2), "line 3: '0001.jpg' is in line 2 too"),
        (["a/0001.jpg", "b/0001.jpg"], table(GOOD, ["0001.jpg", "P1", "OA", "0"]), "2 films of this name"),
        (["0001.jpg"], table(GOOD, ["0001.jpg", "", "OA", "0"]), r"0001\.jpg\): column patient is empty"),
        (["0001.jpg"], table(GOOD, ["0001.jpg", "P1", "RA", "0"]), "column group is 'RA', expected OA or normal"),
        (["0001.jpg"], table(GOOD, ["0001.jpg", "P1", "OA", "yes"]), "column fracture is 'yes', expected 0 or 1"),
        (
            ["0001_pre.jpg", "0001_post.jpg"],
            table(GOOD, ["0001_pre.jpg", "P1", "OA", "0"], ["0001_post.jpg", "P2", "OA", "0"]),
            "are films of number 0001, found 2 patients, expected one",
        ),
        (["Smith_John.jpg"], GOOD, "expected a serial number such as 0001, 0001_pre or 0001_post"),
        ([], GOOD, "no films, expected JPEG, PNG, TIFF, BMP, GIF, WEBP or DICOM"),
        (["0001.jpg"], b"PK\x03\x04\xff", "not UTF-8"),
        (["0001.jpg"], "<xml/>", "is XML, expected a CSV table"),
    ],
)
def test_bad_input(tmp_path, films, text, message):
    for name in films:
        write(tmp_path / name, film(90, 60))
    write(tmp_path / "labels/a.xml", voc("0001.jpg", 90, 60, (1, 1, 9, 9)))
    if text is not None:
        write(tmp_path / "films.csv", text)
    with pytest.raises(DatasetError, match=message):
        find_cgoa(tmp_path)


def test_negative_crop(tmp_path):
    with pytest.raises(DatasetError, match="crop is -1 0, expected pixel rows from 0 up"):
        find_cgoa(make_cgoa(tmp_path), crop=(-1, 0))


def convert_gis(root, copies=None, skip_faulty=False, **finder):
    rules = Rules("gis", min_side=GIS_MIN_SIDE)
    output = Output(root, copies=copies, skip_faulty=skip_faulty, near_duplicates=True)
    return convert_found(root, find_gis(root, **finder), LabelSource({"": root / "labels.csv"}), rules, output, {})


def test_gis_exact_json(tmp_path):
    convert_gis(make_gis(tmp_path))
    coco = json.loads((tmp_path / "annotations/gis.json").read_text())
    files = [("a again.jpg", 450, 360, "a again"), ("a.jpg", 300, 240, "a again"), ("b.png", 256, 300, "b")]
    assert coco["images"] == [
        {"id": n, "file_name": name, "width": width, "height": height, "source": "gis", "patient": patient,
         "label_file": "labels.csv"}
        for n, (name, width, height, patient) in enumerate(files, 1)
    ]  # fmt: skip
    assert [annotation["bbox"] for annotation in coco["annotations"]] == [[20, 20, 50, 50], [120, 20, 50, 50]] * 3


def test_exclusions_and_near_duplicates(tmp_path):
    conversion = convert_gis(make_gis(tmp_path))
    assert [(each.name, each.reason) for each in conversion.exclusions] == [
        ("child.jpg", "age 3"),
        ("one.jpg", "number of ROIs is 1, expected 2"),
        ("tiny.jpg", "long side 200 px, expected at least 225"),
        ("unread.jpg", "not labelled"),
    ]
    (pair,) = conversion.duplicates
    assert (pair.first, pair.second) == ("a again.jpg", "a.jpg")
    assert (
        (tmp_path / "annotations/gis.near_duplicates.csv")
        .read_text()
        .startswith("first,second,distance\na again.jpg,a.jpg,0.0")
    )


def test_compact_copies_train_as_the_films_do(tmp_path):
    conversion = convert_gis(make_gis(tmp_path), Copies(tmp_path, 150, workers=2))
    by_name = {film.file_name: film for film in conversion.films}
    assert set(by_name) == {"gis_150/a again.png", "gis_150/a.png", "gis_150/b.png"}
    turned = by_name["gis_150/b.png"]  # 256x300 becomes 128x150
    assert (turned.width, turned.height) == (128, 150)
    assert [roi.box for roi in turned.rois] == [(10, 10, 35, 35), (60, 10, 85, 35)]
    assert {key: turned.extra[key] for key in ("original", "original_width", "original_height")} == {
        "original": "b.png", "original_width": 256, "original_height": 300
    }  # fmt: skip
    # Table 1 is of the films, not of their copies
    assert (conversion.summary.long_side.maximum, conversion.summary.long_side.median) == (450, 300)
    # a second search doesn't find the copies
    assert len(convert_gis(tmp_path).films) == 3


def test_damaged_pixels_are_a_fault_or_with_skip_faulty_an_exclusion(tmp_path):
    root = make_gis(tmp_path)
    content = (root / "b.png").read_bytes()
    at = content.index(b"IDAT") + 4  # the header of the compressed stream; all chunks remain
    write(root / "b.png", content[:at] + bytes(9) + content[at + 9 :])
    with pytest.raises(DatasetError, match=r"(?s)leave these films out with --skip-faulty\): 1 fault.*b\.png: damaged"):
        convert_gis(root)
    assert not (root / "annotations").exists()
    conversion = convert_gis(root, skip_faulty=True)
    assert len(conversion.films) == 2
    (reason,) = [each.reason for each in conversion.exclusions if each.name == "b.png"]
    assert reason.startswith("damaged")


def test_patients_of_a_table(tmp_path):
    root = make_gis(tmp_path)
    write(root / "patients.csv", table("film,patient", ["a.jpg", "P1"], ["b.png", "P1"], ["a again.jpg", "P1"]))
    assert {film.patient for film in convert_gis(root, table=root / "patients.csv").films} == {"P1"}


def test_groups_of_a_table(tmp_path):
    """It is a guess that they are of one patient, unless a film has none."""
    root = make_gis(tmp_path)
    names = sorted(path.name for path in root.iterdir() if path.suffix != ".csv")
    rows = [[name, f"G{name[0]}"] for name in names]
    write(root / "groups.csv", table("image,set,group,fold", *([name, "s", group, 0] for name, group in rows)))
    assert find_gis(root, table=root / "groups.csv").mark == "guessed"
    write(root / "groups.csv", table("image,group", *rows[:-1]))
    assert find_gis(root, table=root / "groups.csv").mark == "unknown"
    write(root / "groups.csv", table("image,fold", ["a.jpg", 0]))
    with pytest.raises(DatasetError, match="columns patient are missing"):
        find_gis(root, table=root / "groups.csv")


def test_near_duplicates_join_all_films_of_their_patients(tmp_path):
    """a.jpg nearly equals a again.jpg, which is of patient P2, as b.png is: all three stay together."""
    root = make_gis(tmp_path)
    write(root / "patients.csv", table("film,patient", ["a.jpg", "P1"], ["b.png", "P2"], ["a again.jpg", "P2"]))
    films = {film.file_name: film.patient for film in convert_gis(root, table=root / "patients.csv").films}
    assert films == {"a again.jpg": "P2", "a.jpg": "P2", "b.png": "P2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("film,why\na.jpg,x\n", "columns reason are missing, found"),
        ("film,reason\na.jpg,\n", "line 2: column reason is empty, expected a reason"),
        ("film,reason\nz.jpg,blurred\n", "line 2: 'z.jpg': no such film"),
        ("film;reason\na.jpg;x;y\n", "line 2: 3 fields, expected 2"),
        ('film,reason\n"a.jpg,x\n', "not CSV"),
        ("\0\0", "not text"),
    ],
)
def test_bad_list_of_exclusions(tmp_path, text, message):
    root = make_gis(tmp_path)
    with pytest.raises(DatasetError, match=message):
        find_gis(root, write(root / "mine.csv", text))


def test_nothing_left(tmp_path):
    write(tmp_path / "a.jpg", film(100, 80))
    write(tmp_path / "labels.csv", "image,x,y,side\na.jpg,1,1,9\n")
    with pytest.raises(DatasetError, match="no film is left to convert, expected at least one: 1 x long side 100 px"):
        convert_gis(tmp_path)


def test_a_list_of_exclusions_may_be_empty(tmp_path):
    (tmp_path / "none.csv").write_text("film,reason\n")
    found = find_gis(make_gis(tmp_path), exclude=tmp_path / "none.csv")
    assert found.exclusions == ()
    assert "child.jpg" in {candidate.name for candidate in found.candidates}
