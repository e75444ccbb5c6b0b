import pytest

from hipdet.core.errors import DatasetError
from hipdet.data.convert import convert_listed
from hipdet.data.formats.reader import read_labels
from hipdet.data.formats.record import LabelBox
from hipdet.data.sources.phantoms import find_phantoms

HEADER = "image,x,y,side,picture_side,implant,patient\n"
ROW = "a.jpg,10,20,30,left,0,p1\n"


def read(tmp_path, text):
    path = tmp_path / "hips.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(path, "hips")


def test_rows(tmp_path):
    films = read(tmp_path, HEADER + ROW + "b.jpg,1.5,-2,3e1,,,\n")
    assert [(film.place, film.film, film.declared, film.remarks, film.boxes) for film in films] == [
        ("line 2", "a.jpg", None, {"patient": "p1"}, (LabelBox((10, 20, 40, 50), None, "line 2", "left", False),)),
        ("line 3", "b.jpg", None, {"patient": ""}, (LabelBox((1.5, -2, 31.5, 28), None, "line 3"),)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + (HEADER + ROW).encode(),  # Excel's byte order mark
        (HEADER + ROW).replace("\n", "\r\n"),
        (HEADER + ROW).rstrip("\n"),
        HEADER + "\n" + ROW + "\n\n",  # empty lines
        HEADER.replace("implant", "implant,note") + ROW.replace(",p1", ",,p1"),  # a column more
        (HEADER + ROW).replace(",", ", "),  # blanks around values; not around column names
    ],
)
def test_variants_read_alike(tmp_path, text):
    if isinstance(text, str):
        text = text.replace("image, x, y, side, picture_side, implant, patient", HEADER.strip())
    (film,) = read(tmp_path, text)
    assert (film.film, film.boxes[0].box, film.boxes[0].picture_side) == ("a.jpg", (10, 20, 40, 50), "left")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("../a.jpg,10,20,30,left,0,p1", "line 2: column image is '../a.jpg', expected a plain file name"),
        ("x/a.jpg,10,20,30,left,0,p1", "column image"),
        ("/a.jpg,10,20,30,left,0,p1", "column image"),
        ("x\\a.jpg,10,20,30,left,0,p1", "column image"),
        ("C:a.jpg,10,20,30,left,0,p1", "column image"),
        ("..,10,20,30,left,0,p1", "column image"),
        (",10,20,30,left,0,p1", "column image"),
        ("a.jpg,ten,20,30,left,0,p1", "line 2: column x is 'ten', expected a number"),
        ("a.jpg,10,,30,left,0,p1", "column y is ''"),
        ("a.jpg,nan,20,30,left,0,p1", "column x is 'nan'"),
        ("a.jpg,10,inf,30,left,0,p1", "column y is 'inf'"),
        ("a.jpg,10,20,0,left,0,p1", "column side is 0, expected a number above 0"),
        ("a.jpg,10,20,-3,left,0,p1", "column side is -3"),
        ("a.jpg,10,20,1e999,left,0,p1", "column side is inf"),
        ("a.jpg,10,20,30,LEFT,0,p1", "column picture_side is 'LEFT', expected left, right"),
        ("a.jpg,10,20,30,left,yes,p1", "column implant is 'yes', expected 0, 1"),
        ("a.jpg,10,20,30,left,0", "line 2: 6 fields, expected 7"),
        ("a.jpg,10,5,20,30,left,0,p1", "line 2: 8 fields, expected 7"),  # decimal comma
        (ROW + ROW, "line 3: the same box of a.jpg is line 2"),
        (
            ROW + "a.jpg,60,20,30,left,0,p1",
            "line 3: column picture_side is 'left', as for a.jpg in line 2, expected one hip",
        ),
        (
            ROW + "a.jpg,50,20,30,right,0,p2",
            "line 3: column patient is 'p2', expected 'p1' as in line 2: a film has one",
        ),
    ],
)
def test_faulty_rows(tmp_path, row, expected):
    with pytest.raises(DatasetError) as caught:
        read(tmp_path, HEADER + row)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'hips.csv'}: 1 fault")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", r"columns image, x, y, side are missing, found \[\]"),
        (HEADER, "no labelled film"),
        ("image,x,y\n", "columns side are missing"),
        ("image,x,x,y,side\n", "a column occurs twice"),
        ((HEADER + ROW).replace(",", ";"), "are missing, found .* separated by ','"),
        ("größe".encode("latin-1"), "not UTF-8"),
        (HEADER + '"a.jpg,1', "not CSV"),  # a quote that never ends
    ],
)
def test_faulty_tables(tmp_path, text, expected):
    with pytest.raises(DatasetError, match=expected):
        read(tmp_path, text)


@pytest.mark.parametrize("format", ["hips", "csv"])
def test_kind_and_view(tmp_path, format):
    write = (tmp_path / "hips.csv").write_text
    write("image,x,y,side,kind,view\na.jpg,1,2,3,child,frontal\na.jpg,5,2,3,,frontal\nb.jpg,1,2,3,,\n")
    first, second = read_labels(tmp_path / "hips.csv", format)
    assert [box.kind for box in first.boxes] == ["child", None]
    assert (first.remarks["view"], second.remarks["view"]) == ("frontal", "")
    write("image,x,y,side,kind,view\na.jpg,1,2,3,child,frontal\na.jpg,5,2,3,,turned\n")
    with pytest.raises(
        DatasetError, match="line 3: column view is 'turned', expected 'frontal' as in line 2: a film has"
    ):
        read_labels(tmp_path / "hips.csv", format)


def test_missing_table(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.csv: no such file"):
        read_labels(tmp_path / "none.csv", "hips")


def films(tmp_path, rows):
    table = tmp_path / "s/hips.csv"
    table.parent.mkdir(exist_ok=True)
    table.write_text(HEADER + rows)
    return convert_listed(find_phantoms(tmp_path, "s"), table, "s")


def test_films_are_upright(tmp_path, make_film):
    make_film(tmp_path / "s/images/a.jpg", orientation=6)
    (film,) = films(tmp_path, ROW + "a.jpg,60,20,35,right,1,p1\n")
    name = "s/images/a.jpg"
    assert (film.file_name, film.width, film.height, film.source, film.patient) == (name, 100, 80, "s", "p1")
    assert [roi.box for roi in film.rois] == [(10, 20, 40, 50), (60, 20, 95, 55)]
    assert [(roi.picture_side, roi.implant) for roi in film.rois] == [("left", False), ("right", True)]


@pytest.mark.parametrize(
    ("row", "box"),
    [
        ("a.jpg,-5,0,30,left,0,p1", (0, 0, 25, 30)),  # a sixth of the square is out of the film
        ("a.jpg,80.5,60.5,30,left,0,p1", (80.5, 60.5, 100, 80)),  # exactly .35, at two edges
    ],
)
def test_square_at_the_edge_is_clipped_and_kept_as_drawn(tmp_path, make_film, row, box):
    make_film(tmp_path / "s/images/a.jpg")
    (roi,) = films(tmp_path, row)[0].rois
    x, y = map(float, row.split(",")[1:3])
    assert (roi.box, roi.square, roi.side) == (box, (x, y, x + 30, y + 30), 30)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("a.jpg,-11,0,30,left,0,p1", "a.jpg: box [-11, 0, 19, 30] reaches 11 px out of the film of 100x80 upright"),
        (
            "a.jpg,81,20,30,left,0,p1",
            "reaches 11 px out of the film of 100x80 upright, expected at most 0.35 of its side",
        ),
        (ROW + "a.jpg,81,20,30,right,0,p1", "(hips.csv, line 2, line 3)"),
        ("a.jpg,10,70,30,left,0,p1", "reaches 20 px out"),
        ("none.jpg,10,20,30,left,0,p1", "line 2: none.jpg is not in s/images of {root}"),
        ("cut.jpg,10,20,30,left,0,p1", "s/images/cut.jpg: cut short"),
        ("a.jpg,10,20,30,left,0,", "line 2: column patient is missing or empty for a.jpg"),
    ],
)
def test_faulty_films(tmp_path, make_film, row, expected):
    folder = tmp_path / "s/images"
    make_film(folder / "a.jpg")
    (folder / "cut.jpg").write_bytes((folder / "a.jpg").read_bytes()[:-50])
    with pytest.raises(DatasetError) as caught:
        films(tmp_path, row)
    assert expected.format(root=tmp_path) in str(caught.value)
    assert "hips.csv: 1 fault\n" in str(caught.value)


def test_link_out_of_the_folder_is_refused(tmp_path, make_film):
    make_film(tmp_path / "private/a.jpg")
    folder = tmp_path / "s/images"
    folder.mkdir(parents=True)
    (folder / "a.jpg").symlink_to(tmp_path / "private/a.jpg")
    with pytest.raises(DatasetError, match="is a link out of its folder"):
        films(tmp_path, ROW)
