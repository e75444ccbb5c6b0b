import pytest

from hipdet.core.errors import DatasetError
from label_text import boxes, read_text


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
        with pytest.raises(DatasetError, match="image 1, shape 1: box is turned, expected an upright one"):
            read_text(tmp_path, "a.xml", content)


def test_outside_boxes_are_left_out(tmp_path):
    content = cvat(box(more='outside="1"') + box((0, 0, 5, 5), 'outside="0"'))
    assert boxes(read_text(tmp_path, "a.xml", content)) == {"a.jpg": [(0, 0, 5, 5)]}


def test_tracks_of_videos(tmp_path):
    frames = "".join(box((n, n, n + 10, n + 10), f'frame="{n}" outside="{int(n == 2)}"') for n in range(3))
    meta = "<meta><task><original_size><width>100</width><height>80</height></original_size></task></meta>"
    films = read_text(tmp_path, "a.xml", f'<annotations>{meta}<track id="0" label="hip">{frames}</track></annotations>')
    # frame 2, where the hip is outside, isn't there
    assert boxes(films) == {"frame_000000": [(0, 0, 10, 10)], "frame_000001": [(1, 1, 11, 11)]}
    assert {film.declared for film in films} == {(100, 80)}


def test_image_without_boxes(tmp_path):
    assert boxes(read_text(tmp_path, "a.xml", cvat(""))) == {"a.jpg": []}
