import json
import shutil

import pytest

from hipdet.core.errors import DatasetError
from hipdet.data.sources.fracatlas import convert_fracatlas
from hipdet.data.sources.phantoms import convert_phantoms
from hipdet.data.validate.check import require_valid

HEADER = "image,x,y,side,picture_side,implant\n"


@pytest.fixture
def root(tmp_path, make_film):
    """A small release: 12 films in the released folders; numbers 10, 12 and 14 are chained."""
    rows = []
    for place, number in enumerate([10, 12, 14, 20, 30, 40, 50, 60, 70, 80, 90, 100]):
        name = f"IMG{number:07d}.jpg"
        make_film(tmp_path / ("images/Fractured", "images/Non_fractured", "images")[place % 3] / name)
        rows += [f"{name},10,20,30,left,0\n", f"{name},60,20,30,right,1\n"]
    (tmp_path / "hips.csv").write_text(HEADER + "".join(rows))
    return tmp_path


def test_files(root):
    written = convert_fracatlas(root, folds=3)
    assert [path.name for path in written] == [
        "hips.json", "fold0_train.json", "fold0_test.json", "fold1_train.json", "fold1_test.json", "fold2_train.json",
        "fold2_test.json",
    ]  # fmt: skip
    for path, films in written.items():
        assert path.parent == root / "annotations"
        coco = require_valid(path, root, ("hip",))
        assert [image["file_name"] for image in coco["images"]] == [film.file_name for film in films]
    coco = json.loads((root / "annotations/hips.json").read_text())
    assert [image["file_name"] for image in coco["images"][:3]] == [
        "images/Fractured/IMG0000010.jpg", "images/Non_fractured/IMG0000012.jpg", "images/IMG0000014.jpg"
    ]  # fmt: skip
    assert [image["patient"] for image in coco["images"][:4]] == ["IMG0000010"] * 3 + ["IMG0000020"]
    assert coco["info"]["patients"] == "guessed"
    first = {key: coco["annotations"][0][key] for key in ("bbox", "picture_side", "implant")}
    assert first == {"bbox": [10, 20, 30, 30], "picture_side": "left", "implant": False}


def test_every_film_is_tested_once_and_never_trained_on_then(root):
    convert_fracatlas(root, folds=3)
    tested = []
    for fold in range(3):
        train, test = (
            json.loads((root / f"annotations/fold{fold}_{part}.json").read_text())["images"]
            for part in ("train", "test")
        )
        assert {image["fold"] for image in test} == {fold}
        assert fold not in {image["fold"] for image in train}
        assert len(train) + len(test) == 12
        assert not {image["patient"] for image in train} & {image["patient"] for image in test}
        tested += [image["file_name"] for image in test]
    assert len(set(tested)) == len(tested) == 12


def test_same_input_same_bytes(root, tmp_path):
    for out in ("a", "b"):
        convert_fracatlas(root, out=tmp_path / out, folds=2)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_seed_changes_the_folds(root):
    one, other = (convert_fracatlas(root, folds=3, seed=seed) for seed in (0, 1))
    assert list(one.values()) != list(other.values())


def test_missing_films_are_listed(root):
    (root / "images/Fractured/IMG0000010.jpg").unlink()
    (root / "images/Non_fractured/IMG0000012.jpg").unlink()
    with pytest.raises(DatasetError, match=r"(?s)2 faults.*IMG0000010\.jpg is not in.*IMG0000012\.jpg is not in"):
        convert_fracatlas(root)
    assert not (root / "annotations").exists()


def test_film_in_two_folders(root, make_film):
    make_film(root / "images/Fractured/IMG0000012.jpg")
    with pytest.raises(
        DatasetError, match=r"IMG0000012\.jpg is images/Fractured/.* and images/Non_fractured/.*expected one"
    ):
        convert_fracatlas(root)


def test_name_that_is_not_of_fracatlas(root):
    (root / "hips.csv").write_text(HEADER + "scan1.jpg,1,2,3,left,0\n")
    with pytest.raises(DatasetError, match=r"line 2: column image is 'scan1\.jpg', expected a name such as"):
        convert_fracatlas(root)


def test_the_real_set(shared, tmp_path):
    root = shared / "data/fracatlas_hips"
    written = convert_fracatlas(root, out=tmp_path)
    films = written[tmp_path / "hips.json"]
    # from its README: 100 films, 200 hips, 10 rotated by EXIF; 0.237 is its largest ratio
    assert len(films) == 100
    assert sum(len(film.rois) for film in films) == 200
    assert max(ratio for film in films for ratio in film.ratios) == pytest.approx(0.237, abs=5e-4)
    assert sum(not roi.is_square for film in films for roi in film.rois) == 4  # squares over the edge of the film
    for path in written:
        require_valid(path, root, ("hip",))
    numbers = {int(film.file_name[-11:-4]): film.patient for film in films}
    for number, patient in numbers.items():
        assert all(numbers.get(number + gap, patient) == patient for gap in (1, 2))


def test_our_own_table_is_used_for_a_release_without_one(shared, tmp_path):
    films = shared / "data/fracatlas_hips"
    (tmp_path / "images").symlink_to(films / "images")
    ours = convert_fracatlas(tmp_path, out=tmp_path / "ours", folds=2)
    theirs = convert_fracatlas(films, out=tmp_path / "theirs", folds=2)
    assert [path.name for path in ours] == [path.name for path in theirs]
    for name in ("hips.json", "fold1_test.json"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
    assert len(ours[tmp_path / "ours/hips.json"]) == 100


def test_knees_beside_hips(root):
    """A table of our form in the folder is preferred; neither joint's files replace those of the other."""
    names = [f"IMG{number:07d}.jpg" for number in (10, 12, 14, 20, 30, 40)]
    (root / "knees.csv").write_text("image,x,y,side,readings\n" + "".join(f"{name},20,30,40,2\n" for name in names))
    hips = convert_fracatlas(root, folds=2)
    before = {path: path.read_bytes() for path in hips}
    written = convert_fracatlas(root, folds=2, joint="knees")
    assert [path.name for path in written] == [
        "knees.json", "knees_fold0_train.json", "knees_fold0_test.json", "knees_fold1_train.json", "knees_fold1_test.json"
    ]  # fmt: skip
    assert {path: path.read_bytes() for path in hips} == before
    coco = require_valid(root / "annotations/knees.json", root, ("knee",))
    assert (coco["info"]["patients"], coco["info"]["licence"]) == ("guessed", "CC BY 4.0")
    assert [image["patient"] for image in coco["images"]] == ["IMG0000010"] * 3 + [name[:10] for name in names[3:]]
    assert coco["annotations"][0]["bbox"] == [20, 30, 40, 40]
    assert json.loads((root / "annotations/knees.provenance.json").read_text())["rois"] == 6


def test_our_own_knees(shared, tmp_path):
    (tmp_path / "images").symlink_to(shared / "data/fracatlas_knees/images")
    films = convert_fracatlas(tmp_path, joint="knees")[tmp_path / "annotations/knees.json"]
    # from its README: 104 films with one box each, side / long side from 0.176 to 0.333, median 0.249
    ratios = sorted(ratio for film in films for ratio in film.ratios)
    assert len(films) == len(ratios) == 104
    assert (ratios[0], (ratios[51] + ratios[52]) / 2, ratios[-1]) == pytest.approx((0.176, 0.249, 0.333), abs=5e-4)


PHANTOM_HEADER = "image,x,y,side,picture_side,implant,patient\n"
NAMES = ["cgoa", "cgoa_train", "cgoa_val", "oaih", "oaih_train", "oaih_val", "gis", "cgoa_oaih_train", "cgoa_oaih_val"]


@pytest.fixture
def phantom_root(tmp_path, make_film):
    """20 films of 10 patients in cgoa and in oaih, 4 films in gis."""
    for source, count in (("cgoa", 20), ("oaih", 20), ("gis", 4)):
        rows = []
        for number in range(1, count + 1):
            name = f"{source}_{number:06d}.jpg"
            make_film(tmp_path / source / "images" / name)
            patient = f"p{(number + 1) // 2:03d}"  # the same names in every source
            rows += [f"{name},10,20,30,left,0,{patient}\n", f"{name},60,20,30,right,0,{patient}\n"]
        (tmp_path / source / "hips.csv").write_text(PHANTOM_HEADER + "".join(rows))
    return tmp_path


def file_names(path):
    return [image["file_name"] for image in json.loads(path.read_text())["images"]]


def test_phantom_files(phantom_root):
    written = convert_phantoms(phantom_root, val_fraction=0.2)
    out = phantom_root / "annotations"
    assert sorted(path.name for path in written) == sorted(f"{name}.json" for name in NAMES)
    for path in written:
        require_valid(path, phantom_root, ("hip",))
    names = {name: file_names(out / f"{name}.json") for name in NAMES}
    assert names["cgoa"][0] == "cgoa/images/cgoa_000001.jpg"
    assert {name: len(found) for name, found in names.items()} == {
        "cgoa": 20, "cgoa_train": 16, "cgoa_val": 4, "oaih": 20, "oaih_train": 16, "oaih_val": 4, "gis": 4,
        "cgoa_oaih_train": 32, "cgoa_oaih_val": 8,
    }  # fmt: skip
    for part in ("train", "val"):
        assert names[f"cgoa_oaih_{part}"] == names[f"cgoa_{part}"] + names[f"oaih_{part}"]
    for source in ("cgoa", "oaih"):
        assert sorted(names[f"{source}_train"] + names[f"{source}_val"]) == names[source]


def test_patients_are_on_one_side(phantom_root):
    written = convert_phantoms(phantom_root, val_fraction=0.3)
    sides = [
        {(film.source, film.patient) for film in written[phantom_root / f"annotations/cgoa_oaih_{part}.json"]}
        for part in ("train", "val")
    ]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize(
    ("missing", "left"),
    [
        (["oaih"], {"cgoa", "cgoa_train", "cgoa_val", "gis"}),
        (["cgoa", "oaih"], {"gis"}),
        (["gis"], set(NAMES) - {"gis"}),
    ],
)
def test_missing_sources_are_left_out(phantom_root, missing, left):
    for source in missing:
        shutil.rmtree(phantom_root / source)
    assert {path.stem for path in convert_phantoms(phantom_root)} == left


def test_faults(phantom_root):
    (phantom_root / "oaih/images/oaih_000003.jpg").unlink()
    with pytest.raises(
        DatasetError, match=r"line 6: oaih_000003\.jpg is not in oaih/images of .*: make the phantoms again"
    ):
        convert_phantoms(phantom_root)
    (phantom_root / "cgoa/hips.csv").unlink()
    with pytest.raises(DatasetError, match=r"cgoa.hips\.csv: no such file"):
        convert_phantoms(phantom_root)


def test_patients_are_needed(phantom_root):
    table = phantom_root / "gis/hips.csv"
    table.write_text(table.read_text().replace(",patient", ",person"))
    with pytest.raises(
        DatasetError, match=r"hips\.csv: 4 faults\n  line 2: column patient is missing or empty for gis_0"
    ):
        convert_phantoms(phantom_root)


def test_no_source(tmp_path):
    with pytest.raises(DatasetError, match="no folder cgoa or oaih or gis or odd found"):
        convert_phantoms(tmp_path)


def test_split_by_image_is_the_papers_and_divides_patients(phantom_root):
    convert_phantoms(phantom_root, val_fraction=0.5, split="image")
    coco = {part: json.loads((phantom_root / f"annotations/cgoa_{part}.json").read_text()) for part in ("train", "val")}
    assert [len(part["images"]) for part in coco.values()] == [10, 10]
    train, val = ({image["patient"] for image in part["images"]} for part in coco.values())
    assert train & val
