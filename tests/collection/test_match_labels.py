import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipdet.core.stored_files import StoredFile
from hipdet.data.candidates import Candidate, Exclusion
from hipdet.data.formats.record import FilmLabels
from hipdet.data.match import FilmIndex, match_labels


def candidate(name, *others):
    return Candidate(StoredFile(name, "unused"), "P", "short", others)


FILMS = [
    candidate("a/1.jpg"), candidate("b/1.jpg"), candidate("b/c/1.jpg"), candidate("2.dcm"), candidate("3.jpg"),
    candidate("3.png"), candidate("12m/0.C.2/9000001/001", "00100002", "00100002_1x1.jpg"), candidate("1.2.840"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("film", "folder", "expected"),
    [
        ("a/1.jpg", (), ["a/1.jpg"]),
        ("C:\\films\\a\\1.jpg", (), ["a/1.jpg"]),
        ("/home/me/a/1.jpg", (), ["a/1.jpg"]),
        ("c/1.jpg", (), ["b/c/1.jpg"]),
        ("1.jpg", ("labels", "b"), ["b/1.jpg"]),  # the label file lies in a folder of the same name
        ("1.jpg", (), ["a/1.jpg", "b/1.jpg", "b/c/1.jpg"]),  # can't be told apart
        ("x/1.jpg", (), ["a/1.jpg", "b/1.jpg", "b/c/1.jpg"]),
        ("2.png", (), ["2.dcm"]),  # exported to be labelled
        ("2", (), ["2.dcm"]),  # YOLO
        ("3.jpg", (), ["3.jpg"]),
        ("3", (), ["3.jpg", "3.png"]),
        ("00100002_1x1.jpg", (), ["12m/0.C.2/9000001/001"]),
        ("00100002.png", (), ["12m/0.C.2/9000001/001"]),
        ("1.2.840", (), ["1.2.840"]),
        ("1.2.840.png", (), ["1.2.840"]),
        ("1.2", (), []),
        ("4.jpg", (), []),
    ],
)
def test_find(film, folder, expected):
    assert [each.name for each in FilmIndex(FILMS).find(film, folder)] == expected


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("cd"), st.sampled_from("123")), min_size=1, unique=True)
)
def test_a_full_path_finds_its_film(paths):
    films = [candidate("/".join(path) + ".jpg") for path in paths]
    for film in films:
        assert FilmIndex(films).find(film.name) == [film]
        assert FilmIndex(films).find("C:\\somewhere\\" + film.name.replace("/", "\\")) == [film]


def test_labels_by_their_film(tmp_path):
    labels = [
        FilmLabels(name, None, (), tmp_path / "l.csv") for name in ("3.jpg", "1.jpg", "4.jpg", "old.jpg", "3.jpg")
    ]
    matches = match_labels(labels, FilmIndex(FILMS), FilmIndex([Exclusion("x/old.jpg", "blurred")]))
    assert {film: len(found) for film, found in matches.of_film.items()} == {"3.jpg": 2}
    assert [each.film for each in matches.without_film] == ["4.jpg"]
    (fault,) = matches.faults
    assert fault.reason == "l.csv: label fits 3 films (a/1.jpg, b/1.jpg, b/c/1.jpg): name its folder too"
