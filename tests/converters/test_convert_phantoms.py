import json
import shutil

import pytest

from hipdet.core.errors import DatasetError
from hipdet.data.sources.phantoms import convert_phantoms
from hipdet.data.validate.check import require_valid

HEADER = "image,x,y,side,picture_side,implant,patient\n"
NAMES = ["cgoa", "cgoa_train", "cgoa_val", "oaih", "oaih_train", "oaih_val", "gis", "cgoa_oaih_train", "cgoa_oaih_val"]


@pytest.fixture
def root(tmp_path, make_film):
    """20 films of 10 patients in cgoa and in oaih, 4 films in gis."""
    for source, count in (("cgoa", 20), ("oaih", 20), ("gis", 4)):
        rows = []
        for number in range(1, count + 1):
            name = f"{source}_{number:06d}.jpg"
            make_film(tmp_path / source / "images" / name)
            patient = f"p{(number + 1) // 2:03d}"  # the same names in every source
            rows += [f"{name},10,20,30,left,0,{patient}\n", f"{name},60,20,30,right,0,{patient}\n"]
        (tmp_path / source / "hips.csv").write_text(HEADER + "".join(rows))
    return tmp_path


def file_names(path):
    return [image["file_name"] for image in json.loads(path.read_text())["images"]]


def test_files(root):
    written = convert_phantoms(root, val_fraction=0.2)
    out = root / "annotations"
    assert sorted(path.name for path in written) == sorted(f"{name}.json" for name in NAMES)
    for path in written:
        require_valid(path, root, ("hip",))
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


def test_patients_are_on_one_side(root):
    written = convert_phantoms(root, val_fraction=0.3)
    sides = [
        {(film.source, film.patient) for film in written[root / f"annotations/cgoa_oaih_{part}.json"]}
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
def test_missing_sources_are_left_out(root, missing, left):
    for source in missing:
        shutil.rmtree(root / source)
    assert {path.stem for path in convert_phantoms(root)} == left


def test_faults(root):
    (root / "oaih/images/oaih_000003.jpg").unlink()
    with pytest.raises(DatasetError, match=r"line 6: oaih_000003\.jpg is not in .*images: make the phantoms again"):
        convert_phantoms(root)
    (root / "cgoa/hips.csv").unlink()
    with pytest.raises(DatasetError, match="hip table can't be read"):
        convert_phantoms(root)


def test_no_source(tmp_path):
    with pytest.raises(DatasetError, match="none of the folders cgoa, oaih, gis"):
        convert_phantoms(tmp_path)


def test_split_by_image_is_the_papers_and_divides_patients(root):
    convert_phantoms(root, val_fraction=0.5, split="image")
    coco = {part: json.loads((root / f"annotations/cgoa_{part}.json").read_text()) for part in ("train", "val")}
    assert [len(part["images"]) for part in coco.values()] == [10, 10]
    train, val = ({image["patient"] for image in part["images"]} for part in coco.values())
    assert train & val
