import sys

import pytest

from hipdet.core.errors import DatasetError, RadiographError
from hipdet.data.formats.reader import read_labels
from label_text import boxes, read_text

SIZES = {"a": (400, 200), "b": (400, 200)}


def write(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_yaml", ".yaml").replace("_txt", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def size(name):
    return SIZES.get(name.rpartition("/")[2])


def test_literal(tmp_path):
    # centre 100, 50; 80 wide, 60 high
    write(tmp_path, a_txt="1 0.25 0.25 0.2 0.3\n\n0 0.75 0.25 0.2 0.3\n", classes_txt="knee\nhip\n")
    (film,) = read_labels(tmp_path, film_size=size)
    assert [(box.label, box.place) for box in film.boxes] == [("hip", "line 1"), ("knee", "line 3")]
    assert film.boxes[0].box == pytest.approx((60, 20, 140, 80), abs=1e-9)
    assert (film.film, film.declared) == ("a", None)  # the file declares no size


def test_empty_file_is_without_roi_and_missing_file_is_not_labelled(tmp_path):
    write(tmp_path, a_txt="", classes_txt="hip")
    assert [(film.film, film.boxes) for film in read_labels(tmp_path, film_size=size)] == [("a", ())]  # nothing of b


def test_an_empty_file_needs_no_size(tmp_path):
    assert read_labels(write(tmp_path, a_txt=" \n", classes_txt="hip") / "a.txt")[0].boxes == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 0.0999999 0.5 0.2 0.5", (0, 50, 79.99996, 150)),  # rounding puts the left edge at -0.00004
        ("0 0.02 0.5 0.1 0.5", (0, 50, 28, 150)),
        ("0 0.98 0.95 0.1 0.5", (372, 140, 400, 200)),
        ("0 0.5 0.5 1.00001 1", (0, 0, 400, 200)),
    ],
)
def test_clipped_to_the_film(tmp_path, line, expected):
    write(tmp_path, a_txt=line, classes_txt="hip")
    assert read_labels(tmp_path, film_size=size)[0].boxes[0].box == pytest.approx(expected, abs=1e-9)


def test_rows_of_nine_are_corners(tmp_path):
    write(tmp_path, a_txt="0 .1 .2 .3 .2 .3 .6 .1 .6", classes_txt="hip")
    assert read_labels(tmp_path, film_size=size)[0].boxes[0].box == pytest.approx((40, 40, 120, 120))
    # corners (100, 40), (160, 120), (120, 150), (60, 70)
    write(tmp_path, a_txt="0 .25 .2 .4 .6 .3 .75 .15 .35")
    assert read_labels(tmp_path, film_size=size, rotated="enclose")[0].boxes[0].box == pytest.approx((60, 40, 160, 150))
    with pytest.raises(DatasetError, match=r"a\.txt: line 1: box is rotated, expected an axis-aligned one"):
        read_labels(tmp_path, film_size=size)


@pytest.mark.parametrize(
    "classes",
    [
        {"classes_txt": "knee\r\nhip\r\n"},
        {"data_yaml": "names: [knee, hip]\nnc: 2\ntrain: ../../etc/passwd\n"},
        {"data_yaml": "path: /nowhere\nnames:\n  0: knee\n  1: hip\n"},
        {"data_yaml": "names:\n- knee\n- hip\n"},
        {"labels__classes_txt": "knee\nhip"},
        {"classes_txt": "wrong", "labels__train__classes_txt": "knee\nhip"},  # the nearest
        {"classes_txt": "knee\nhip", "data_yaml": "names: [knee, hip]"},
    ],
)
@pytest.mark.parametrize("start", ["", "labels", "labels/train", "labels/train/a.txt"])
def test_classes(tmp_path, classes, start):
    write(tmp_path, labels__train__a_txt="1 .5 .5 .1 .1", README_txt="not labels", **classes)
    (film,) = read_labels(tmp_path / start, film_size=size)
    assert [box.label for box in film.boxes] == ["hip"]
    assert film.film == {"": "images/train/a", "labels": "train/a"}.get(start, "a")


def test_classes_by_option(tmp_path):
    write(tmp_path, a_txt="1 .5 .5 .1 .1", classes_txt="wrong")
    assert read_labels(tmp_path, film_size=size, classes=["knee", "hip"])[0].boxes[0].label == "hip"


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ({}, r"a\.txt: no names of classes: put a classes\.txt beside it with one name per line, or give classes="),
        ({"classes_txt": ""}, "classes are .*, expected at least one, each once"),
        ({"classes_txt": "hip\nhip"}, "expected at least one, each once"),
        ({"classes_txt": "knee", "data_yaml": "names: [hip]"}, r"classes\.txt and data\.yaml in .* differ"),
        ({"data_yaml": "nc: 1"}, r"data\.yaml: names is missing, found \['nc'\]"),
        ({"data_yaml": "1: 2\nnc: 1"}, r"data\.yaml: names is missing, found \['1', 'nc'\]"),
        ({"data_yaml": "names: {0: hip, 2: knee}"}, r"names are numbered \[0, 2\], expected 0, 1, 2"),
        ({"data_yaml": "names: hip"}, "names is 'hip', expected an object"),
        ({"data_yaml": "names: [hip, 3]"}, "class 1 is 3, expected the name of a class"),
        ({"data_yaml": "names: ["}, "not YAML"),
        ({"data_yaml": "names: !!timestamp x"}, "not YAML"),
        ({"data_yaml": "names: !!python/object/apply:os.system [id]"}, "not YAML"),
        ({"data_yaml": "[" * 3000}, "not YAML"),
        ({"data_yaml": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nnames: *c"}, "class 0 is .*expected the name"),
        ({"data_yaml": ""}, "the file is None, expected an object"),
    ],
)
def test_faulty_classes(tmp_path, classes, expected):
    write(tmp_path / "x/y/z", a_txt="0 .5 .5 .1 .1", **classes)
    with pytest.raises(DatasetError, match=expected):
        read_labels(tmp_path / "x/y/z", film_size=size)


def test_without_yaml(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    write(tmp_path, a_txt="0 .5 .5 .1 .1", data_yaml="names: [hip]")
    with pytest.raises(DatasetError, match=r"needs PyYAML: pip install pyyaml, or write the names into classes\.txt"):
        read_labels(tmp_path, film_size=size)


def cut_short(name):
    raise RadiographError(f"{name}.jpg: cut short")


@pytest.mark.parametrize(
    ("film_size", "expected"),
    [
        (None, r"a\.txt: YOLO files have no sizes: give film_size="),
        (lambda name: None, r"film_size returns None for 'a': add the film, or remove its label file"),
        (lambda name: (0, 5), r"film_size returns \(0, 5\) for 'a'"),
        (cut_short, r"a\.txt: size of a: a\.jpg: cut short"),
    ],
)
def test_sizes_of_films(tmp_path, film_size, expected):
    write(tmp_path, a_txt="0 .5 .5 .1 .1", classes_txt="hip")
    with pytest.raises(DatasetError, match=expected):
        read_labels(tmp_path, film_size=film_size)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image,x,y,side\na.jpg,10,20,30\n", (10, 20, 40, 50)),
        ("image,x,y,w,h\na.jpg,10,20,30,40.5\n", (10, 20, 40, 60.5)),
        ("image,x0,y0,x1,y1\na.jpg,10,20,30,40.5\n", (10, 20, 30, 40.5)),
        ("y1,X0,image,y0,x1\n40.5,10,a.jpg,20,30\n", (10, 20, 30, 40.5)),  # any order
        ("image;x;y;side\na.jpg;10;20;30\n", (10, 20, 40, 50)),
        ("image\tx\ty\tside\r\na.jpg\t10\t20\t30\r\n", (10, 20, 40, 50)),
        ("\ufeffimage;x;y;side\na.jpg;10,5;20;30,25\n", (10.5, 20, 40.75, 50.25)),  # Excel where commas are decimal
        ("sep=;\nimage;x;y;side\na.jpg;10;20;30\n", (10, 20, 40, 50)),
        ("sep=,\nimage,x,y,side\na.jpg,10,20,30\n", (10, 20, 40, 50)),
        ('"image","x","y","side"\n"a.jpg","10","20","30"\n', (10, 20, 40, 50)),
        ("image , x, y, side\n\n a.jpg , 10, 20, 30\n\n", (10, 20, 40, 50)),
        ("image,x,y,side\na.jpg,-4.5,1e-7,30", (-4.5, 1e-7, 25.5, 30 + 1e-7)),
        ("image,x,y,side,picture_side,implant,patient\na.jpg,10,20,30,left,0,p1\n", (10, 20, 40, 50)),  # hip table
    ],
)
def test_forms(tmp_path, text, expected):
    (film,) = read_text(tmp_path, "a.csv", text)
    assert [box.box for box in film.boxes] == [expected]
    assert (film.film, film.declared, film.boxes[0].label) == ("a.jpg", None, None)


def test_places_labels_sizes_and_films_without_roi(tmp_path):
    text = "image,x,y,side,label,width,height\na.jpg,10,20,30,hip,100,80\nb.jpg,,,,,100,80\na.jpg,60,20,30,hip,100,80\n"
    films = read_text(tmp_path, "a.csv", text)
    assert boxes(films) == {"a.jpg": [(10, 20, 40, 50), (60, 20, 90, 50)], "b.jpg": []}
    assert [film.place for film in films] == ["line 2", "line 3"]
    assert [(box.label, box.place) for box in films[0].boxes] == [("hip", "line 2"), ("hip", "line 4")]
    assert {film.declared for film in films} == {(100, 80)}


def test_rounded_by_a_spreadsheet_is_within_half_a_pixel(tmp_path):
    (exact,) = read_text(tmp_path, "a.csv", "image,x0,y0,x1,y1\na.jpg,10.4,19.6,40.49,50.5\n")
    (rounded,) = read_text(tmp_path, "a.csv", "image,x0,y0,x1,y1\na.jpg,10,20,40,50\n")
    assert rounded.boxes[0].box == pytest.approx(exact.boxes[0].box, abs=0.5)
