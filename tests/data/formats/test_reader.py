"""Any boxes written in any format are read back.

The same ten films give the same boxes in every format.

Invalid options, and options that don't fit the file.
"""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.core.errors import DatasetError
from hipdet.data.formats.geometry import decide_frame, turn_upright
from hipdet.data.formats.label_studio import film_of_address
from hipdet.data.formats.parse import LabelFault, load_label_file
from hipdet.data.formats.reader import FORMATS, detect_format, read_labels
from hipdet.data.formats.record import film_name, last_part, relative_part
from hipdet.data.match import read_film_table
from label_text import read_text
from label_writers import NO_SIZE, TEN, WHOLE, WRITERS, items, raw_box, write_coco, write_labelme, write_voc

ANY = pytest.mark.parametrize("format", WRITERS)


@st.composite
def films(draw):
    """Up to 3 films with up to 3 different boxes inside them, at least 0.01 px wide and high."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        width, height = draw(st.integers(2, 4000)), draw(st.integers(2, 4000))
        boxes = []
        for _ in range(draw(st.integers(0, 3))):
            x0, x1 = sorted(draw(st.tuples(st.floats(0, width), st.floats(0, width))))
            y0, y1 = sorted(draw(st.tuples(st.floats(0, height), st.floats(0, height))))
            box = (x0, y0, x1, y1)
            near = (max(abs(a - b) for a, b in zip(box, other)) < 0.01 for other in boxes)
            if x1 - x0 > 0.01 and y1 - y0 > 0.01 and not any(near):
                boxes.append(box)
        found.append((f"film {number}.jpg", (width, height), boxes))
    return found


@ANY
@settings(max_examples=25, deadline=None)
@given(films())
def test_round_trip(format, found):
    write, _, tolerance = WRITERS[format]
    tolerance = max(tolerance, 0.75e-6 * 4000) if "rounded" in format else tolerance
    origin = {"voc": 0, "voc standard": 1}.get(format, "auto")
    sizes = {name.rpartition(".")[0]: size for name, size, _ in found}
    with tempfile.TemporaryDirectory() as folder:
        read = read_labels(write(Path(folder), found), origin=origin, film_size=sizes.get)
    by_name = {film.name.replace(".jpg", ""): film for film in read}
    assert len(by_name) == len(read) == len(found)
    for name, _, boxes in found:
        film = by_name[name.replace(".jpg", "")]
        assert [box.box for box in film.boxes] == [pytest.approx(box, abs=tolerance, rel=0) for box in boxes]


STEMS = {sample.name.rpartition(".")[0]: sample for sample in TEN}
IN_ANY_FORMAT = pytest.mark.parametrize(("write", "format", "tolerance"), WRITERS.values(), ids=WRITERS)


def by_sample(films):
    """Films by sample; YOLO names have no extension."""
    return {STEMS[film.name if film.name in STEMS else film.name.rpartition(".")[0]]: film for film in films}


def near(boxes, tolerance):
    return [pytest.approx(box, abs=tolerance, rel=0) for box in boxes]


def test_every_format_has_a_writer():
    # hip tables hold squares only, which the ten films aren't
    assert {format for _, format, _ in WRITERS.values()} == set(FORMATS) - {"hips"}


@IN_ANY_FORMAT
@pytest.mark.parametrize("named", [False, True])
def test_ten_films(tmp_path, write, format, tolerance, named):
    path = write(tmp_path, items(TEN))
    films = read_labels(path, format if named else None, film_size=lambda name: STEMS[name].upright)
    found = by_sample(films)
    assert len(films) == len(found) == 10
    for sample, film in found.items():
        assert [box.box for box in film.boxes] == near(sample.boxes, tolerance), sample.name
        assert {box.label for box in film.boxes} <= {"hip"}
        assert film.declared in (sample.upright, None)
        has_size = format not in NO_SIZE and (format != "labelstudio" or film.boxes)
        assert (film.declared is not None) == bool(has_size)
        assert all(box.place for box in film.boxes)
        assert film.file.is_file()
        assert film.annotator == ("1" if format == "labelstudio" else None)


@IN_ANY_FORMAT
def test_detected_from_content(tmp_path, write, format, tolerance):
    path = write(tmp_path, items(TEN))
    path = path if path.is_file() else next(path.glob("IMG0000*"))
    renamed = path.rename(path.with_name("renamed.txt" if format == "yolo" else "renamed.dat"))
    assert detect_format(load_label_file(renamed, "renamed")) == format


@IN_ANY_FORMAT
def test_films_labelled_in_the_raw_frame(tmp_path, write, format, tolerance):
    raw = items(TEN, lambda sample: [raw_box(sample, box) for box in WHOLE[sample]], lambda sample: sample.stored)
    films = read_labels(write(tmp_path, raw), film_size=lambda name: STEMS[name].stored)
    for sample, film in by_sample(films).items():
        frame = decide_frame(film.film, film.declared, sample.stored, sample.upright, sample.orientation)
        shown = film.declared is not None and sample.orientation >= 5
        assert frame.name == ("raw" if shown else "upright")
        assert (frame.warning is None) == (shown or sample.orientation == 1), sample.name
        upright = [turn_upright(box.box, sample.stored, sample.orientation) for box in film.boxes]
        assert upright == near(WHOLE[sample], tolerance), sample.name


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"label studio", "label studio min", "yolo", "yolo rounded"}))
def test_whole_numbers_stay_whole(tmp_path, name):
    films = read_labels(WRITERS[name][0](tmp_path, items(TEN, WHOLE.get)))
    for sample, film in by_sample(films).items():
        assert [box.box for box in film.boxes] == WHOLE[sample]


VOC = "<annotation><filename>{}</filename></annotation>"


def write(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(path.name.replace("_", ".")).write_text(text)


def test_sorted_and_below(tmp_path):
    write(tmp_path, b_xml=VOC.format("b.jpg"), x__a_XML=VOC.format("a.jpg"), a_xml=VOC.format("c.jpg"), a_jpg="film")
    assert [film.film for film in read_labels(tmp_path)] == ["c.jpg", "b.jpg", "a.jpg"]


def test_hidden_files_and_readmes_are_no_label_files(tmp_path):
    write(tmp_path, a_xml=VOC.format("a.jpg"), README_txt="hello")
    (tmp_path / "._a.xml").write_bytes(b"\0\5\26\7")  # macOS's copy of attributes
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints/a.xml").write_text("<")
    assert len(read_labels(tmp_path)) == 1


def test_several_formats(tmp_path):
    write_voc(tmp_path, items(TEN))
    write_coco(tmp_path, items(TEN))
    expected = (
        r"several formats, Pascal VOC XML \(IMG0000\.jpg\.xml\), COCO JSON \(labels\.json\), expected one: name it"
    )
    with pytest.raises(DatasetError, match=expected):
        read_labels(tmp_path)
    assert len(read_labels(tmp_path, "coco")) == len(read_labels(tmp_path, "voc")) == 10


def test_faults_of_all_files(tmp_path):
    write_labelme(tmp_path, items(TEN))
    (tmp_path / "cut.json").write_text("{")
    (tmp_path / "other.json").write_text('{"x": 1}')
    with pytest.raises(DatasetError) as caught:
        read_labels(tmp_path)
    assert "2 faults" in str(caught.value)
    assert "\n  cut.json: not JSON" in str(caught.value)
    assert "\n  other.json: no known format" in str(caught.value)


def test_same_name_in_two_folders_is_two_films(tmp_path):
    write(tmp_path, x__a_xml=VOC.format("a.jpg"), y__a_xml=VOC.format("a.jpg"))
    assert [film.file.parent.name for film in read_labels(tmp_path)] == ["x", "y"]


def test_same_film_in_two_files(tmp_path):
    write(tmp_path, a_xml=VOC.format("a.jpg"), b_xml=VOC.format("a.jpg"))
    with pytest.raises(DatasetError, match=r"b\.xml: a\.jpg is labelled in a\.xml too, expected once: remove one"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"), [("none", "no such file or folder"), ("", "no label files, expected files")]
)
def test_nothing_to_read(tmp_path, name, expected):
    with pytest.raises(DatasetError, match=expected):
        read_labels(tmp_path / name)


def test_link_out_of_the_folder_is_refused(tmp_path):
    write(tmp_path, private__a_xml=VOC.format("a.jpg"), labels__b_xml=VOC.format("b.jpg"))
    (tmp_path / "labels/a.xml").symlink_to(tmp_path / "private/a.xml")
    with pytest.raises(DatasetError, match=r"a\.xml is a link out of its folder"):
        read_labels(tmp_path / "labels")


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.xml")
    with pytest.raises(DatasetError, match=r"a\.xml: not a regular file"):
        read_labels(tmp_path / "a.xml")


def test_too_large(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)  # a sparse file: takes no space
    with pytest.raises(DatasetError, match="1099511627776 bytes, expected at most 536870912"):
        read_labels(tmp_path / "a.json")


def test_films_are_never_opened(tmp_path, monkeypatch):
    """Paths in label files are those of another machine: only label files are opened."""
    path = tmp_path / "a.xml"
    path.write_text(VOC.format("/etc/passwd"))
    opened = []
    monkeypatch.setattr(
        type(path), "read_bytes", lambda self: opened.append(self) or VOC.format("/etc/passwd").encode()
    )
    (film,) = read_labels(path)
    assert (film.film, film.name, film.relative) == ("/etc/passwd", "passwd", None)
    assert opened == [path]


@pytest.mark.parametrize(
    ("film", "name", "relative"),
    [
        ("a.jpg", "a.jpg", "a.jpg"),
        ("train/a.jpg", "a.jpg", "train/a.jpg"),
        ("train\\x\\a.jpg", "a.jpg", "train/x/a.jpg"),
        ("./a.jpg", "a.jpg", "a.jpg"),
        ("C:\\Users\\me\\films\\a.jpg", "a.jpg", None),
        ("C:/films/a.jpg", "a.jpg", None),
        ("C:a.jpg", "a.jpg", None),
        ("\\\\server\\share\\a.jpg", "a.jpg", None),
        ("/home/me/a.jpg", "a.jpg", None),
        ("../../a.jpg", "a.jpg", None),
        ("..\\images\\a.jpg", "a.jpg", None),
        ("IMG.0001.a", "IMG.0001.a", "IMG.0001.a"),
    ],
)
def test_folders_of_the_labelling_machine(film, name, relative):
    assert last_part(film) == name
    assert relative_part(film) == relative
    assert film_name(f" {film} ", "film") == film


@pytest.mark.parametrize("value", ["", "  ", "..", ".", "/", "a/..", "C:\\", "a\0.jpg", "a\n.jpg", None, 3, ["a.jpg"]])
def test_no_film(value):
    with pytest.raises(LabelFault, match=r"^name is .*, expected the file name of a film"):
        film_name(value, "name")


@pytest.mark.parametrize(
    ("address", "film"),
    [
        ("/data/upload/3/abcd1234-a.jpg", "a.jpg"),
        ("/data/upload/abcd1234-a-b.jpg", "a-b.jpg"),  # before projects had folders of their own
        ("/data/upload/3/abcd1234-deadbeef-a.jpg", "deadbeef-a.jpg"),  # the film's own name has one too
        ("http://localhost:8080/data/upload/3/abcd1234-a%20b.jpg", "a b.jpg"),
        ("upload/3/abcd1234-a.jpg", "a.jpg"),
        ("/data/upload/3/a.jpg", "a.jpg"),
        ("/data/upload/3/ABCD1234-a.jpg", "ABCD1234-a.jpg"),  # Label Studio writes lower-case digits
        ("/data/local-files/?d=films/a%20b.jpg", "films/a b.jpg"),
        ("/data/local-files/?d=films/abcd1234-a.jpg", "films/abcd1234-a.jpg"),  # not uploaded, so the name is its own
        ("s3://bucket/films/a.jpg", "films/a.jpg"),
        ("https://host/films/a.jpg?token=secret", "films/a.jpg"),
        ("films/a.jpg", "films/a.jpg"),
        ("abcd1234-a.jpg", "abcd1234-a.jpg"),
        ("100%25.jpg", "100%25.jpg"),
        ("C:\\films\\a.jpg", "C:\\films\\a.jpg"),
    ],
)
def test_addresses(address, film):
    assert film_of_address(address) == film


def test_embedded_picture_is_not_shown():
    with pytest.raises(LabelFault) as caught:
        film_of_address("data:image/png;base64,UEFUSUVOVA==")
    assert "UEFUSUVOVA" not in str(caught.value)


COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40]}],
    "categories": [{"id": 1, "name": "hip"}],
}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"format": "pascal"},
            "format is 'pascal', expected one of coco, voc, labelme, cvat, labelstudio, via, yolo, csv",
        ),
        ({"origin": 2}, "origin is 2, expected 0, 1 or 'auto'"),
        ({"origin": True}, "origin is True, expected 0, 1 or 'auto'"),
        ({"rotated": "yes"}, "rotated is 'yes', expected 'refuse' or 'enclose'"),
        ({"classes": [""]}, r"classes are \(\'\',\), expected the names of the classes"),
        ({"classes": []}, r"classes are \(\), expected the names of the classes"),
        ({"classes": "hip"}, "classes are 'hip', expected a list of the names of the classes"),
        ({"format": "voc"}, r"a\.json: is json, expected Pascal VOC XML: name another format"),
        ({"format": "labelme"}, r"a\.json: shapes is missing"),
        ({"format": "via"}, r"a\.json: film 1: the film is \["),
        ({"format": "labelstudio"}, r"a\.json: the file is .*, expected a list"),
    ],
)
def test_bad_options(tmp_path, options, expected):
    with pytest.raises(DatasetError, match=expected):
        read_text(tmp_path, "a.json", COCO, **options)


@pytest.mark.parametrize(("format", "root"), [("voc", "annotations"), ("cvat", "annotation")])
def test_other_xml_than_named(tmp_path, format, root):
    with pytest.raises(DatasetError, match=f"root element is <{root}>, expected <annotation"):
        read_text(tmp_path, "a.xml", f"<{root}/>", format=format)


@IN_ANY_FORMAT
def test_a_byte_order_mark_is_no_fault(tmp_path, write, format, tolerance):
    """In every label file, and in lists of classes."""
    sizes = {sample.name.rpartition(".")[0]: sample.upright for sample in TEN}
    path = write(tmp_path, items(TEN[:3]))
    before = read_labels(path, film_size=sizes.get)
    for each in [path] if path.is_file() else path.iterdir():
        each.write_bytes(b"\xef\xbb\xbf" + each.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    assert read_labels(path, film_size=sizes.get) == before


def test_a_byte_order_mark_in_other_texts(tmp_path):
    (tmp_path / "a.txt").write_text("0 .5 .5 .1 .1")
    for name, text in (("data.yaml", "names: [hip]\n"), ("classes.txt", "hip\n")):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert read_labels(tmp_path / "a.txt", film_size=lambda film: (9, 9))[0].boxes[0].label == "hip"
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbffilm,patient\na.jpg,P1\n")
    assert [(film, row.text["patient"]) for film, row in read_film_table(path, ["patient"])] == [("a.jpg", "P1")]
