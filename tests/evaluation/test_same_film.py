"""Names in annotation files and paths of films."""

import pytest

from hipdet.evaluation.roi_metric import same_film


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/films/a/1.png", "a/1.png"),
        ("/data/films/a/1.png", "1.png"),
        ("data/a/1.png", "set/data/a/1.png"),  # the annotations name more folders than the path
        ("/data/annotations/../films/1.png", "films/1.png"),
        ("/data/annotations/../films/1.png", "../films/1.png"),
        ("../films/./1.png", "films/1.png"),
        ("films//1.png", "./films/1.png"),
        ("C:\\data\\a\\1.png", "a/1.png"),
        ("/data/a/1.png", "a\\1.png"),
        ("/data/films/1.png", "/data/films/1.png"),
        ("s3://bucket/films/1.png", "films/1.png"),
        ("/data/a b/\u00e4 1.png", "a b/\u00e4 1.png"),
    ],
)
def test_the_same(path, name):
    assert same_film(path, name)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/films/1.png", "2.png"),
        ("/data/films/11.png", "1.png"),  # whole names, not endings of texts
        ("/data/test/1.png", "train/1.png"),
        ("/data/films/1.png", "1.jpg"),
        ("/data/films/A.png", "a.png"),
        ("/data/films/1.png", ""),
        ("/data/films/1.png", "films/../2.png"),
    ],
)
def test_another(path, name):
    assert not same_film(path, name)
