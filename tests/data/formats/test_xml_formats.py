import pytest

from hipdet.core.errors import DatasetError
from hipdet.data.formats.reader import read_labels
from label_text import boxes, read_text

BOX = "<object><name>hip</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
SIZE = "<size><width>100</width><height>80</height><depth>1</depth></size>"
PATH = "<path>C:\\Users\\me\\Desktop\\films\\a.jpg</path>"


def voc(*edges, name="a.jpg", path="", size=SIZE):
    return f"<annotation><filename>{name}</filename>{path}{size}{BOX.format(*edges)}</annotation>"


@pytest.mark.parametrize(
    ("content", "origin", "expected"),
    [
        # standard: pixels 11..30 and 21..50, counted from 1 and inclusive, are 20 and 30 pixels: edges 10..30, 20..50
        (voc(11, 21, 30, 50), 1, (10, 20, 30, 50)),
        (voc(11, 21, 30, 50), "auto", (10, 20, 30, 50)),
        # the whole film
        (voc(1, 1, 100, 80), "auto", (0, 0, 100, 80)),
        # one pixel
        (voc(7, 9, 7, 9), "auto", (6, 8, 7, 9)),
        # LabelImg: edges counted from 0
        (voc(10, 20, 30, 50), 0, (10, 20, 30, 50)),
        (voc(10, 20, 30, 50, path=PATH), "auto", (10, 20, 30, 50)),
        (voc(10, 20, 30, 50, path=PATH), 1, (9, 19, 30, 50)),
        # an edge of 0 proves it, on either axis
        (voc(0, 20, 30, 50), "auto", (0, 20, 30, 50)),
        (voc(10, 0, 30, 50), "auto", (10, 0, 30, 50)),
        (voc(0.5, 20, 30, 50), "auto", (0.5, 20, 30, 50)),
        (voc(0, 20, 30, 50), 1, (-1, 19, 30, 50)),
        # floats occur, in both
        (voc(10.25, 20.5, 30.75, 50.125), "auto", (9.25, 19.5, 30.75, 50.125)),
        (voc(" 10.25 ", 20.5, "3.075e1", 50), 0, (10.25, 20.5, 30.75, 50)),
    ],
)
def test_origin(tmp_path, content, origin, expected):
    (film,) = read_text(tmp_path, "a.xml", content, origin=origin)
    assert [(box.box, box.label, box.place) for box in film.boxes] == [(expected, "hip", "object 1")]
    assert film.declared == (100, 80)


def test_a_zero_in_one_file_is_proof_for_all(tmp_path):
    read_text(tmp_path, "a.xml", voc(10, 20, 30, 50))
    read_text(tmp_path, "b.xml", voc(0, 20, 30, 50, name="b.jpg"))
    assert [film.boxes[0].box for film in read_labels(tmp_path)] == [(10, 20, 30, 50), (0, 20, 30, 50)]


def test_one_based_is_one_pixel_apart_from_zero_based(tmp_path):
    """The off-by-one that `origin` decides: at the left and upper edges only."""
    content = voc(11, 21, 30, 50)
    (one,), (zero,) = (read_text(tmp_path, "a.xml", content, origin=origin) for origin in (1, 0))
    assert [b - a for a, b in zip(one.boxes[0].box, zero.boxes[0].box)] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("a.jpg", "", "a.jpg"),
        ("a", "", "a"),  # without its extension
        ("a", "<path>C:\\films\\a.jpg</path>", "a.jpg"),
        ("a", "<path>/home/me/a.jpg</path>", "a.jpg"),
        ("a", "<path>C:\\films\\b.jpg</path>", "a"),  # of another film
        ("a.jpg", "<path>C:\\films\\b.png</path>", "a.jpg"),
        ("", "<path>C:\\films\\b.png</path>", "b.png"),
        ("sub\\a.jpg", "", "sub\\a.jpg"),
    ],
)
def test_names(tmp_path, name, path, expected):
    (film,) = read_text(tmp_path, "x.xml", voc(1, 1, 2, 2, name=name, path=path))
    assert film.film == expected


def test_parts_of_objects_are_skipped(tmp_path):
    """VOC 2007 has boxes of hands and heads within those of persons."""
    part = "<part><name>head</name><bndbox><xmin>0</xmin></bndbox></part>"
    content = voc(11, 21, 30, 50).replace("</object>", part + "</object>")
    assert read_text(tmp_path, "a.xml", content)[0].boxes[0].box == (10, 20, 30, 50)


@pytest.mark.parametrize("size", ["", "<size/>", "<size><width>0</width><height>0</height></size>"])
def test_unknown_size(tmp_path, size):
    assert read_text(tmp_path, "a.xml", voc(1, 1, 2, 2, size=size))[0].declared is None


def test_no_object_is_a_film_without_roi(tmp_path):
    (film,) = read_text(tmp_path, "a.xml", f"<annotation><filename>a.jpg</filename>{SIZE}</annotation>")
    assert film.boxes == ()


def test_latin1_is_read_where_it_is_declared(tmp_path):
    text = '<?xml version="1.0" encoding="iso-8859-1"?>' + voc(1, 1, 2, 2, name="hüfte.jpg")
    assert read_text(tmp_path, "a.xml", text.encode("latin-1"))[0].film == "hüfte.jpg"


def cvat(shapes, rest=""):
    return f'<annotations><image id="0" name="train/a.jpg" width="100" height="80">{shapes}</image>{rest}</annotations>'


def box(edges=(10.25, 20, 30, 50.5), more=""):
    x0, y0, x1, y1 = edges
    return f'<box label="hip" occluded="0" xtl="{x0}" ytl="{y0}" xbr="{x1}" ybr="{y1}" {more}></box>'


def test_literal(tmp_path):
    (film,) = read_text(tmp_path, "a.xml", cvat(box() + "<tag label='good'/>" + box((0, 0, 5, 5))))
    assert [(each.box, each.label, each.place) for each in film.boxes] == [
        ((10.25, 20, 30, 50.5), "hip", "image 1, shape 1"),
        ((0, 0, 5, 5), "hip", "image 1, shape 2"),
    ]
    assert (film.film, film.name, film.declared, film.place) == ("train/a.jpg", "a.jpg", (100, 80), "image 1")


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        # 40 x 20 about its centre (50, 40)
        ("0.0", (30, 30, 70, 50)),
        ("360", (30, 30, 70, 50)),
        ("180", (30, 30, 70, 50)),
        ("90", (40, 20, 60, 60)),
        ("270.00", (40, 20, 60, 60)),
        # width 40 cos + 20 sin = 24 + 16 = 40, height 40 sin + 20 cos = 32 + 12 = 44 with cos 0.6, sin 0.8
        ("53.13010235415598", (30, 18, 70, 62)),
        ("306.86989764584402", (30, 18, 70, 62)),
    ],
)
def test_rotation_about_the_centre(tmp_path, degrees, expected):
    content = cvat(box((30, 30, 70, 50), f'rotation="{degrees}"'))
    (film,) = read_text(tmp_path, "a.xml", content, rotated="enclose")
    assert film.boxes[0].box == pytest.approx(expected, abs=1e-9)
    if len(degrees) > 6:
        with pytest.raises(DatasetError, match="image 1, shape 1: box is rotated, expected an axis-aligned one"):
            read_text(tmp_path, "a.xml", content)


def test_outside_boxes_are_left_out(tmp_path):
    content = cvat(box(more='outside="1"') + box((0, 0, 5, 5), 'outside="0"'))
    assert boxes(read_text(tmp_path, "a.xml", content)) == {"a.jpg": [(0, 0, 5, 5)]}


def test_tracks_of_videos(tmp_path):
    frames = "".join(box((n, n, n + 10, n + 10), f'frame="{n}" outside="{int(n == 2)}"') for n in range(3))
    meta = "<meta><task><original_size><width>100</width><height>80</height></original_size></task></meta>"
    films = read_text(tmp_path, "a.xml", f'<annotations>{meta}<track id="0" label="hip">{frames}</track></annotations>')
    # frame 2, where the hip is outside, is left out
    assert boxes(films) == {"frame_000000": [(0, 0, 10, 10)], "frame_000001": [(1, 1, 11, 11)]}
    assert {film.declared for film in films} == {(100, 80)}


def test_image_without_boxes(tmp_path):
    assert boxes(read_text(tmp_path, "a.xml", cvat(""))) == {"a.jpg": []}
