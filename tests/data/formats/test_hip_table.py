import pytest

from hipdet.core.errors import DatasetError
from hipdet.data.formats.hip_table import HipRow, film_in, films_of_table, read_hip_table

HEADER = "image,x,y,side,picture_side,implant,patient\n"
ROW = "a.jpg,10,20,30,left,0,p1\n"


def read(tmp_path, text, **options):
    path = tmp_path / "hips.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_hip_table(path, **options)


def test_rows(tmp_path):
    rows = read(tmp_path, HEADER + ROW + "b.jpg,1.5,-2,3e1,,,\n")
    assert rows == [
        HipRow(2, "a.jpg", 10, 20, 30, "left", False, "p1"),
        HipRow(3, "b.jpg", 1.5, -2, 30, None, None, None),
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
    (row,) = read(tmp_path, text)
    assert (row.image, row.x, row.y, row.side, row.picture_side) == ("a.jpg", 10, 20, 30, "left")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("../a.jpg,10,20,30,left,0,p1", "line 2, column image: found '../a.jpg', expected a plain file name"),
        ("x/a.jpg,10,20,30,left,0,p1", "column image"),
        ("/a.jpg,10,20,30,left,0,p1", "column image"),
        ("x\\a.jpg,10,20,30,left,0,p1", "column image"),
        ("C:a.jpg,10,20,30,left,0,p1", "column image"),
        ("..,10,20,30,left,0,p1", "column image"),
        (",10,20,30,left,0,p1", "column image"),
        ("a.jpg,ten,20,30,left,0,p1", "line 2, column x: found 'ten', expected a number of pixels"),
        ("a.jpg,10,,30,left,0,p1", "column y: found ''"),
        ("a.jpg,nan,20,30,left,0,p1", "column x: found 'nan'"),
        ("a.jpg,10,inf,30,left,0,p1", "column y: found 'inf'"),
        ("a.jpg,10,20,0,left,0,p1", "column side: found '0', expected a number of pixels above 0"),
        ("a.jpg,10,20,-3,left,0,p1", "column side: found '-3'"),
        ("a.jpg,10,20,1e999,left,0,p1", "column side: found '1e999'"),
        ("a.jpg,10,20,30,LEFT,0,p1", "column picture_side: found 'LEFT', expected left, right"),
        ("a.jpg,10,20,30,left,yes,p1", "column implant: found 'yes', expected 0, 1"),
        ("a.jpg,10,20,30,left,0", "line 2: number of fields differs"),
        ("a.jpg,10,5,20,30,left,0,p1", "line 2: number of fields differs"),  # decimal comma
        (ROW + ROW, "line 3: a.jpg has the same box in line 2"),
        (
            ROW + "a.jpg,60,20,30,left,0,p1",
            "line 3, column picture_side: found a second 'left' hip of a.jpg after line 2",
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
        (HEADER, "no hips in the table"),
        ("image,x,y\n", "columns side are missing"),
        ("image,x,x,y,side\n", "a column stands twice"),
        ((HEADER + ROW).replace(",", ";"), "separate the columns by commas"),
        ("größe".encode("latin-1"), "not UTF-8"),
        (HEADER + '"a.jpg,1', "not CSV"),  # a quote that never ends
    ],
)
def test_faulty_tables(tmp_path, text, expected):
    with pytest.raises(DatasetError, match=expected):
        read(tmp_path, text)


def test_missing_table(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.csv: hip table can't be read: No such file"):
        read_hip_table(tmp_path / "none.csv")


def test_patient_can_be_needed(tmp_path):
    with pytest.raises(DatasetError, match="columns patient are missing"):
        read(tmp_path, "image,x,y,side\na.jpg,1,2,3\n", need_patient=True)
    with pytest.raises(DatasetError, match="line 2, column patient: found ''"):
        read(tmp_path, HEADER + ROW.replace("p1", ""), need_patient=True)


def films(tmp_path, rows):
    (tmp_path / "hips.csv").write_text(HEADER + rows)
    rows = read_hip_table(tmp_path / "hips.csv")
    return films_of_table(
        rows, tmp_path / "hips.csv", tmp_path, "s", lambda name: tmp_path / name, lambda row: str(row.patient)
    )


def test_films_are_upright(tmp_path, make_film):
    make_film(tmp_path / "a.jpg", orientation=6)
    (film,) = films(tmp_path, ROW + "a.jpg,60,20,35,right,1,p1\n")
    assert (film.file_name, film.width, film.height, film.source, film.patient) == ("a.jpg", 100, 80, "s", "p1")
    assert [roi.box for roi in film.rois] == [(10, 20, 40, 50), (60, 20, 95, 55)]
    assert [(roi.picture_side, roi.implant) for roi in film.rois] == [("left", False), ("right", True)]


@pytest.mark.parametrize(
    ("row", "box"),
    [
        ("a.jpg,-5,0,30,left,0,p1", (0, 0, 25, 30)),  # a sixth of the square is out of the film
        ("a.jpg,77.5,57.5,30,left,0,p1", (77.5, 57.5, 100, 80)),  # exactly a quarter, at two edges
    ],
)
def test_square_at_the_edge_is_clipped(tmp_path, make_film, row, box):
    make_film(tmp_path / "a.jpg")
    assert films(tmp_path, row)[0].rois[0].box == box


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("a.jpg,-8,0,30,left,0,p1", "line 2: box at x=-8, y=0 of side 30 reaches 8 px out of a.jpg, 100x80 upright"),
        ("a.jpg,80,20,30,left,0,p1", "reaches 10 px out"),
        ("a.jpg,10,70,30,left,0,p1", "reaches 20 px out"),
        ("none.jpg,10,20,30,left,0,p1", "line 2: {root}/none.jpg: no such file"),
        ("cut.jpg,10,20,30,left,0,p1", "line 2: {root}/cut.jpg: cut short"),
        (ROW + "a.jpg,50,20,30,right,0,p2", "line 3, column patient: a.jpg has several patients"),
    ],
)
def test_faulty_films(tmp_path, make_film, row, expected):
    make_film(tmp_path / "a.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-50])
    with pytest.raises(DatasetError) as caught:
        films(tmp_path, row)
    assert expected.format(root=tmp_path) in str(caught.value)
    assert "hips.csv: 1 fault\n" in str(caught.value)


def test_link_out_of_the_folder_is_refused(tmp_path, make_film):
    make_film(tmp_path / "private/a.jpg")
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.jpg").symlink_to(tmp_path / "private/a.jpg")
    with pytest.raises(DatasetError, match="is a link out of its folder"):
        film_in(folder, "a.jpg")
    assert film_in(folder, "b.jpg") is None
