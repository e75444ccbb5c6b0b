"""Label files, COCO files, tables and folds that anyone may have written: whatever the bytes, records or our error.

Sound small files of each format are damaged; see ``tests/support/fuzzing.py`` for longer runs.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from film_bytes import encoded
from film_sources import OAI_HEADER, table
from fuzzing import JUNK, damaged, examples, spoiled
from hipdet.core.annotations import get_patients
from hipdet.core.errors import HipdetError, one_line
from hipdet.core.records import read_json, strict_json
from hipdet.data.annotators import compare
from hipdet.data.candidates import Rules
from hipdet.data.coco_file import get_films
from hipdet.data.collect import LabelSource
from hipdet.data.convert import Output, convert_found, report
from hipdet.data.formats.reader import FORMATS, read_labels
from hipdet.data.formats.yolo import read_classes
from hipdet.data.sources.cgoa import find_cgoa
from hipdet.data.sources.folder import find_folder
from hipdet.data.sources.oaih import find_oaih
from hipdet.data.split import check_across, find_leaks
from hipdet.data.split_files import Division, split_files
from hipdet.data.statistics import Summary, table1
from hipdet.data.validate.check import Expected, require_valid, validate
from hipdet.data.validate.faults import fault_table, record
from label_writers import TEN, WRITERS, items
from sound_coco import SOUND

HIPS = """image,x,y,side,picture_side,implant,patient
IMG0000.jpg,10,20,50,left,0,P1
IMG0000.jpg,90,20,50,right,1,P1
"""


def sound_file(format, folder):
    """A small sound label file of this format."""
    if format == "hips":
        path = folder / "hips.csv"
        path.write_text(HIPS)
        return path
    path = WRITERS[format][0](folder, items(TEN[:2]))
    return path if path.is_file() else next(iter(sorted(path.glob("IMG0000*"))))


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Name and content of a sound label file, by format."""
    files = {each: sound_file(each, tmp_path_factory.mktemp("labels")) for each in [*WRITERS, "hips"]}
    return {each: (path.name, path.read_bytes()) for each, path in files.items()}


def is_text(text):
    """Whether `text` can be stored, and shown in a line."""
    return text.encode() and one_line(text) == text


def tried(call, *arguments, begin="", **options):
    """What `call` returns, or None if it raises our error, of lines that can be shown; the message starts with `begin`."""
    try:
        return call(*arguments, **options)
    except HipdetError as error:
        message = str(error)
    assert all(map(is_text, filter(None, message.split("\n"))))
    assert message.startswith(begin)
    return None


@pytest.mark.parametrize("format", [*WRITERS, "hips"])
@examples(40)
@given(data=st.data())
def test_label_files(labels, format, data):
    """Also what is left of them, if faulty films are left out."""
    name, content = labels[format]
    named = data.draw(st.sampled_from([None, "hips" if format == "hips" else WRITERS[format][1], *FORMATS]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data.draw(spoiled(content)))
        (path.parent / "classes.txt").write_text("hip\n")
        options = dict(film_size=lambda name: (454, 373), begin=f"{path}: ")
        faulty = []
        films = tried(read_labels, path, named, faulty=faulty, **options) or []
        assert all(is_text(film.film) for film in films)
        assert all(box.label is None or is_text(box.label) for film in films for box in film.boxes)
        assert all(is_text(str(fault)) for fault in faulty)
        assert (tried(read_labels, path, named, **options) is None) == (bool(faulty) or not films)


KEYS = (
    *("images", "annotations", "categories", "id", "file_name", "shapes", "points", "data", "image", "result", "value"),
    *("regions", "filename", "shape_attributes", "region_attributes", "type", "name", "_via_img_metadata", "bbox"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a.jpg", "rect"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)


@examples(300)
@given(JSON, st.sampled_from([None, "coco", "labelme", "labelstudio", "via"]))
def test_any_json(document, format):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.json")
        path.write_text(json.dumps(document))
        tried(read_labels, path, format, begin=f"{path}: ")
        assert validate(path, expected=Expected(("hip",)))[1]


def write_films(folder, *names):
    for sample, name in zip(TEN, names):
        (folder / name).write_bytes(encoded(np.zeros(sample.stored[::-1], np.uint8), "JPEG"))
    return folder


@pytest.fixture(scope="module")
def two_films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"), *(sample.name for sample in TEN[:2]))


@pytest.fixture(scope="module")
def numbered_films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"), "0000_pre.jpg", "0001.jpg", "0000_post.jpg")


@pytest.mark.parametrize("format", ["coco", "voc", "label studio", "via csv", "csv"])
@examples(25)
@given(data=st.data())
def test_what_is_converted_is_valid(labels, two_films, format, data):
    name, content = labels[format]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data.draw(spoiled(content)))
        source, rules = LabelSource({"": path}), Rules("s", classes=(), rois=None)
        out = Output(two_films, Path(folder, "out"), skip_faulty=True)
        made = tried(convert_found, two_films, find_folder(two_films, "s"), source, rules, out, {})
        if made is not None:
            assert all(map(is_text, report(made).split("\n")))
            assert errors(made.path) == []


def errors(path):
    """The errors in a COCO file that we wrote; a part may be without boxes."""
    return [str(fault) for fault in validate(path)[1] if not fault.warning and fault.kind != "no-boxes"]


COCO = json.dumps({**SOUND, "info": {"patients": "guessed"}}).encode()

OTHER = COCO.replace(b"a/", b"b/").replace(b"P1", b"P3")


@examples(300)
@given(first=spoiled(COCO), second=st.one_of(st.just(OTHER), spoiled(OTHER)))
def test_coco_files(first, second):
    """validate, split, split --check, agree and Table 1."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, "a.json"), Path(folder, "b.json")]
        paths[0].write_bytes(first)
        paths[1].write_bytes(second)
        found = {path.name: validate(path, expected=Expected(("hip",), 2, 0.05)) for path in paths}
        faults = [fault for _, each in found.values() for fault in each]
        contents = {name: coco for name, (coco, _) in found.items()}
        faults += check_across(contents)
        assert all(map(is_text, filter(None, fault_table(faults, 0).split("\n"))))
        assert strict_json(json.dumps(record([], faults), allow_nan=False))
        folds = [tried(read_json, path, "a fold") for path in paths]
        get_patients(fold for fold in folds if isinstance(fold, dict))
        cocos = [tried(require_valid, path) for path in paths]
        if None in cocos:
            return
        get_patients(cocos)
        find_leaks(dict(zip("ab", (coco["images"] for coco in cocos))))
        tried(compare, *cocos, ("a", "b"))
        for division in (Division({"val": 0.5}), Division(folds=2, by="image")):
            for made in tried(split_files, paths, division, Path(folder, "out"), "c") or ():
                assert [error for part in made.files for error in errors(part)] == []
                table1({path: Summary.of(get_films(part)) for path, part in made.files.items()})


TABLES = {
    "patients": "film,patient\nIMG0000.jpg,P1\nIMG0001.jpg,P2\n",
    "exclude": "film;reason\nIMG0000.jpg;child\n",
    "cgoa": "film\tpatient\tgroup\tfracture\n0000_pre.jpg\tP1\tOA\t0\n0001.jpg\tP2\tnormal\t1\n",
}


@pytest.mark.parametrize("kind", TABLES)
@examples(100)
@given(data=st.data(), skip_faulty=st.booleans())
def test_tables_of_films(two_films, numbered_films, kind, data, skip_faulty):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        path.write_bytes(data.draw(spoiled(TABLES[kind].encode())))
        if kind == "cgoa":
            found = tried(find_cgoa, numbered_films, path, skip_faulty=skip_faulty)
        else:
            tables = {"table" if kind == "patients" else kind: path}
            found = tried(find_folder, two_films, "s", **tables, skip_faulty=skip_faulty)
        if found is not None:
            names = [each.name for each in (*found.candidates, *found.exclusions, *found.faults)]
            films = numbered_films if kind == "cgoa" else two_films
            assert {path.name for path in films.iterdir()} <= set(names)
            assert len(names) == len(set(names))
            assert skip_faulty or not found.faults
            assert all(is_text(each.reason) for each in found.faults)


CONTENTS = table(OAI_HEADER, ["0.C.2/9000001/20050101/00100002", "9000001", "20050101", "1", "OAI X-RAY", "AP Pelvis"])


@examples(100)
@given(spoiled(CONTENTS.encode()))
def test_tables_of_contents(content):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "12m/0.C.2/9000001/20050101")
        place.mkdir(parents=True)
        (place / "00100002_1x1.jpg").write_bytes(b"\xff\xd8\xff")
        Path(folder, "12m/contents.csv").write_bytes(content)
        tried(find_oaih, Path(folder), route="preview")


CLASSES = {
    "classes.txt": b"hip\nknee\n",
    "data.yaml": b"train: ../train\nnc: 2\nnames:\n  0: hip\n  1: knee\n",
    "data.yml": b"names: [hip, 'knee']\nx: &a [1, *a]\nd: 2020-01-01\nf: 1.5\n",
}
YAML_JUNK = (
    *(b"!!python/object:os.system", b"&a", b"*a", b"? ", b"- ", b"!!int x", b"<<: *a", b"%YAML 9", b"---\n"),
    *(b"2020-99-99", b"!!set {", b"1:1:1", b"!!binary x", b"!!timestamp 1"),
)


@pytest.mark.parametrize("name", CLASSES)
@examples(100)
@given(data=st.data())
def test_lists_of_classes(name, data):
    content = CLASSES[name]
    junk = data.draw(st.sampled_from([b"", *YAML_JUNK, *JUNK]))
    start = data.draw(st.integers(0, len(content)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(
            data.draw(st.one_of(damaged(content[:start] + junk + content[start:]), st.binary(max_size=60)))
        )
        names = tried(read_classes, path, begin=f"{path}: ")
        assert names is None or (names and all(map(is_text, names)))
