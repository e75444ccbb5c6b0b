import pytest

from label_text import boxes, read_text


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
