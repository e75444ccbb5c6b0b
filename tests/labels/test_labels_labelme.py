import pytest

from hipdet.data.formats.parse import load_label_file
from label_text import read_text


def labelme(points, shape_type="rectangle", **changes):
    shapes = [{"label": "hip", "points": points, "shape_type": shape_type, "flags": {}}]
    return {
        "version": "5.4.1",
        "shapes": shapes,
        "imagePath": "..\\films\\a.jpg",
        "imageData": "UEFUSUVOVA==",
        "imageHeight": 80,
        "imageWidth": 100,
        **changes,
    }


@pytest.mark.parametrize(
    ("points", "shape_type", "expected"),
    [
        ([[10.5, 20], [30, 50.25]], "rectangle", (10.5, 20, 30, 50.25)),
        ([[30, 50.25], [10.5, 20]], "rectangle", (10.5, 20, 30, 50.25)),  # corners in any order
        ([[30, 20], [10.5, 50.25]], "rectangle", (10.5, 20, 30, 50.25)),
        ([[-3.5, -2], [104, 81]], "rectangle", (-3.5, -2, 104, 81)),  # may leave the film
        ([[10, 20], [30, 20], [30, 50], [10, 50]], "rectangle", (10, 20, 30, 50)),  # X-AnyLabeling
        (
            [[50, 40], [53, 44]],
            "circle",
            (45, 35, 55, 45),
        ),  # centre, and a point of the rim 3 right and 4 down: radius 5
    ],
)
def test_shapes(tmp_path, points, shape_type, expected):
    (film,) = read_text(tmp_path, "a.json", labelme(points, shape_type))
    assert [(box.box, box.label, box.place) for box in film.boxes] == [(expected, "hip", "shape 1")]
    assert (film.film, film.name, film.relative) == ("..\\films\\a.jpg", "a.jpg", None)
    assert film.declared == (100, 80)


@pytest.mark.parametrize("size", [{"imageHeight": None, "imageWidth": None}, {"imageHeight": None}, {"imageWidth": 0}])
def test_null_sizes(tmp_path, size):
    (film,) = read_text(tmp_path, "a.json", labelme([[1, 2], [3, 4]], **size))
    assert (film.declared, film.width, film.height) == (None, None, None)


def test_picture_in_the_label_file_is_never_kept(tmp_path):
    (film,) = read_text(tmp_path, "a.json", labelme([[1, 2], [3, 4]]))
    assert "UEFUSUVOVA" not in repr(film)
    assert "imageData" not in load_label_file(tmp_path / "a.json", "a.json").document


def test_turned_boxes(tmp_path):
    # a square on its tip, with diagonals of 28: the upright box around it has them as its sides
    points = [[50, 40], [64, 54], [50, 68], [36, 54]]
    document = labelme(points, "rotation")
    assert read_text(tmp_path, "a.json", document, rotated="enclose")[0].boxes[0].box == (36, 40, 64, 68)


def test_no_shape_is_a_film_without_roi(tmp_path):
    assert read_text(tmp_path, "a.json", labelme([], shapes=[]))[0].boxes == ()
