import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipdet.core.errors import DatasetError
from hipdet.visualization.tiles import PicturedFilm, below, by_source, named, worst_first


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
    with pytest.raises(DatasetError, match="--names z: none of 3 film names has this in it"):
        named(films, ["1", "z"])


def test_by_source():
    films = [film("1", source="oaih"), film("2", source="cgoa"), film("3", source="oaih")]
    assert {source: names(group) for source, group in by_source(films).items()} == {"cgoa": ["2"], "oaih": ["1", "3"]}
    assert list(by_source(films)) == ["cgoa", "oaih"]
