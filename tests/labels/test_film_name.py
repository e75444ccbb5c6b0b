import pytest

from hipdet.data.formats.parse import LabelFault
from hipdet.data.formats.record import film_name, film_of_address, last_part, relative_part


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
        ("/data/upload/3/ABCD1234-a.jpg", "ABCD1234-a.jpg"),  # Label Studio's digits are small
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
