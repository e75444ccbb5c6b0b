"""Pixels of sheets: films of 100x50 px, drawn with a long side of 200."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hipdet.core.errors import DatasetError, RadiographError
from hipdet.visualization.sheets import FILMS, build_legend, write_sheets
from hipdet.visualization.tiles import (
    Mark,
    PicturedFilm,
    below,
    by_source,
    caption_height,
    film_tile,
    named,
    shrunk,
    worst_first,
)
from roi_tables import FOUND, LABEL, write_films

SIDE = 200
YELLOW, RED = [255, 212, 0], [255, 32, 32]
HEAD = 24  # the heading: twice its letters of 12 px
MARKS = (Mark(LABEL, False, "0.40 (0.50)"), Mark(FOUND, True))


@pytest.fixture
def films(tmp_path):
    return write_films(tmp_path)


def pictured(number, marks=MARKS, **more):
    return PicturedFilm(f"{number}.png", "gis", marks, **more)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def is_colour(picture, colour):
    return (picture == colour).all(axis=2)


def test_boxes_are_where_they_belong(films):
    (path,) = write_sheets([pictured(2), pictured(1)], films, films / "new/s.png", side=SIDE, columns=2)
    sheet = pixels(path)
    # a tile is the film, 200x100, and its caption, with 2 px to either side
    assert sheet.shape == (HEAD + 100 + caption_height(SIDE) + 4, 2 * (SIDE + 4), 3)
    first = sheet[HEAD + 2 :, 2 : 2 + SIDE]
    yellow, red = is_colour(first, YELLOW), is_colour(first, RED)
    # the label from 10, 10 to 50, 50 is drawn at 20..100, the detection at 40..120
    assert yellow[20, 20:100].all()
    assert yellow[20:80, 20].all()  # below, its text is pushed up into the film
    assert red[40, 40:120].all()
    assert not yellow[:20].any()
    assert not red[:100, :40].any()
    # between the boxes the film itself: 2.png has grey 40, 1.png 20
    assert first[10, 150].tolist() == [40] * 3
    assert sheet[HEAD + 12, SIDE + 4 + 152].tolist() == [20] * 3


def test_a_box_far_off_its_film(films):
    """hipdet browse draws films with faults, too."""
    far = [Mark((1e30, 0, 1e308, 5), False, "far"), Mark((-1e300, -1e300, 50, float("inf")), True, "wide")]
    tile = np.asarray(film_tile(pictured(1, (far[0],)), films, SIDE)).astype(int)
    assert not is_colour(tile, YELLOW).any()
    film_tile(pictured(1, tuple(far)), films, SIDE)


def test_text_stays_inside_the_film(films):
    corners = [(0, 0, 10, 10), (90, 0, 100, 10), (0, 40, 10, 50), (90, 40, 100, 50)]
    for detected in (False, True):
        marks = tuple(Mark(corner, detected, "0.99 (0.99)") for corner in corners)
        bare = film_tile(pictured(1, tuple(Mark(mark.box, detected) for mark in marks)), films, SIDE)
        written = film_tile(pictured(1, marks), films, SIDE)
        changed = (np.asarray(bare) != np.asarray(written)).any(axis=2)
        assert changed[:100].sum() > 100
        # letters aren't cut off: the last columns and the caption stay as they were
        assert not changed[100:].any()


def test_rows_are_as_high_as_their_films(tmp_path):
    Image.new("L", (100, 50)).save(tmp_path / "1.png")
    Image.new("L", (50, 100)).save(tmp_path / "2.png")
    write_sheets(
        [pictured(1), pictured(1), pictured(2), pictured(1)], tmp_path, tmp_path / "s.png", side=SIDE, columns=2
    )
    # 100 and 200 px of film
    assert pixels(tmp_path / "s.png").shape[0] == HEAD + 100 + 200 + 2 * (caption_height(SIDE) + 4)


def test_many_films_make_several_sheets(films):
    many = [pictured(1, ())] * (FILMS + 2)
    paths = write_sheets(many, films, films / "s.png", "title", side=64, columns=6)
    assert [path.name for path in paths] == ["s_01.png", "s_02.png"]
    assert pixels(paths[0]).shape[0] == HEAD + FILMS // 6 * (32 + caption_height(64) + 4)
    assert pixels(paths[1]).shape[1] == 6 * 68  # as wide as the others
    assert not (films / "s.png").exists()


def test_the_legend_names_what_there_is():
    words = lambda *marks: [text for text, _ in build_legend([PicturedFilm("a", marks=marks)])]  # noqa: E731
    assert words(*MARKS) == ["label", "detection", "IoU (score)"]
    assert words(MARKS[0]) == ["label", ""]
    assert words(MARKS[1]) == ["detection", "score"]


def test_long_names_are_cut(films):
    short, long = (film_tile(PicturedFilm("1.png", source), films, SIDE) for source in ("x" * 5, "x" * 500))
    assert short.size == long.size
    assert (np.asarray(short) != np.asarray(long)).any()


@pytest.mark.parametrize(("size", "expected"), [((100, 50), (40, 20)), ((10, 40), (10, 40)), ((3000, 1), (40, 1))])
def test_shrunk(size, expected):
    small, scale = shrunk(Image.new("L", size), 40)
    assert small.size == expected
    assert scale == 40 / max(size)


def test_what_can_not_be_read(films):
    with pytest.raises(RadiographError, match=r"9\.png: no such file"):
        write_sheets([pictured(1), pictured(9)], films, films / "s.png", side=SIDE)
    with pytest.raises(DatasetError, match=r"'\.\./1\.png' leads out of the image root"):
        write_sheets([PicturedFilm("../1.png")], films, films / "s.png", side=SIDE)
    with pytest.raises(DatasetError, match="no film to draw"):
        write_sheets([], films, films / "s.png")
    assert not (films / "s.png").exists()
    unreadable = [pictured(9), PicturedFilm("../1.png")]
    assert write_sheets(unreadable, films, films / "s.png", side=SIDE, strict=False) == [films / "s.png"]


def film(name, iou=None, score=None, flags=(), source=""):
    return PicturedFilm(name, source, iou=iou, score=score, flags=flags)


def names(films):
    return [film.file_name for film in films]


def test_lowest_iou_first_then_flags_then_score():
    films = [
        film("a", 0.9, 0.1),
        film("b", 0.5, 0.9),
        film("c", 0.5, 0.8),
        film("d", 0.5, 0.9, ("extra",)),
        film("e", 0.0),
    ]
    assert names(worst_first(films)) == ["e", "d", "c", "b", "a"]


def test_without_labels_nothing_found_then_flags_then_score():
    films = [
        film("a", None, 0.9),
        film("b", None, 0.3),
        film("c", None, 0.5, ("x",)),
        film("d", None, 0.95, ("x", "y")),
        film("e"),
    ]
    assert names(worst_first(films)) == ["e", "d", "c", "b", "a"]


maybe = st.none() | st.floats(0, 1)


@given(st.lists(st.builds(film, st.text(max_size=3), maybe, maybe, st.sampled_from([(), ("x",)]))), st.randoms())
def test_order_does_not_depend_on_the_order_before(films, random):
    shuffled = random.sample(films, len(films))
    key = lambda each: (each.file_name, each.iou, each.score, each.flags)  # noqa: E731
    assert list(map(key, worst_first(films))) == list(map(key, worst_first(shuffled)))


def test_below_is_strict():
    films = [film("a", 0.49), film("b", 0.5), film("c", None, 0.1)]
    assert names(below(films, 0.5)) == ["a"]
    assert below([], 0.5) == []
    with pytest.raises(DatasetError, match="needs labels to compare with: give their COCO file with --ann"):
        below([film("c", None, 0.1)], 0.5)


def test_named_in_the_order_of_the_names():
    films = [film("x/1.png"), film("x/2.png"), film("y/1.png")]
    assert names(named(films, ["y/", "1.png"])) == ["y/1.png", "x/1.png"]
    with pytest.raises(DatasetError, match="--names z: none of the 3 film names contains it"):
        named(films, ["1", "z"])


def test_by_source():
    films = [film("1", source="oaih"), film("2", source="cgoa"), film("3", source="oaih")]
    assert {source: names(group) for source, group in by_source(films).items()} == {"cgoa": ["2"], "oaih": ["1", "3"]}
    assert list(by_source(films)) == ["cgoa", "oaih"]
