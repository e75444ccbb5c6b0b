"""The same ten films in every format are the same boxes."""

import pytest

from hipdet.data.formats.geometry import decide_frame, turn_upright
from hipdet.data.formats.parse import load_label_file
from hipdet.data.formats.reader import FORMATS, detect_format, read_labels
from label_writers import TEN, WHOLE, WRITERS, items, raw_box

STEMS = {sample.name.rpartition(".")[0]: sample for sample in TEN}
NO_SIZE = ("via", "yolo")
ANY = pytest.mark.parametrize(("write", "format", "tolerance"), WRITERS.values(), ids=WRITERS)


def by_sample(films):
    """Films by sample; YOLO names have no extension."""
    return {STEMS[film.name if film.name in STEMS else film.name.rpartition(".")[0]]: film for film in films}


def near(boxes, tolerance):
    return [pytest.approx(box, abs=tolerance, rel=0) for box in boxes]


def test_every_format_has_a_writer():
    assert {format for _, format, _ in WRITERS.values()} == set(FORMATS)


@ANY
@pytest.mark.parametrize("named", [False, True])
def test_ten_films(tmp_path, write, format, tolerance, named):
    path = write(tmp_path, items(TEN))
    films = read_labels(path, format if named else None, film_size=lambda name: STEMS[name].upright)
    found = by_sample(films)
    assert len(films) == len(found) == 10
    for sample, film in found.items():
        assert [box.box for box in film.boxes] == near(sample.boxes, tolerance), sample.name
        assert {box.label for box in film.boxes} <= {"hip"}
        assert film.declared in (sample.upright, None)
        has_size = format not in NO_SIZE and (format != "labelstudio" or film.boxes)
        assert (film.declared is not None) == bool(has_size)
        assert all(box.place for box in film.boxes)
        assert film.file.is_file()
        assert film.annotator == ("1" if format == "labelstudio" else None)


@ANY
def test_detected_from_content(tmp_path, write, format, tolerance):
    path = write(tmp_path, items(TEN))
    path = path if path.is_file() else next(path.glob("IMG0000*"))
    odd = path.rename(path.with_name("odd.txt" if format == "yolo" else "odd.dat"))
    assert detect_format(load_label_file(odd, "odd")) == format


@ANY
def test_films_labelled_in_the_raw_frame(tmp_path, write, format, tolerance):
    raw = items(TEN, lambda sample: [raw_box(sample, box) for box in WHOLE[sample]], lambda sample: sample.stored)
    films = read_labels(write(tmp_path, raw), film_size=lambda name: STEMS[name].stored)
    for sample, film in by_sample(films).items():
        frame = decide_frame(film.film, film.declared, sample.stored, sample.upright, sample.orientation)
        shown = film.declared is not None and sample.orientation >= 5
        assert frame.name == ("raw" if shown else "upright")
        assert (frame.warning is None) == (shown or sample.orientation == 1), sample.name
        upright = [turn_upright(box.box, sample.stored, sample.orientation) for box in film.boxes]
        assert upright == near(WHOLE[sample], tolerance), sample.name


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"label studio", "label studio min", "yolo", "yolo rounded"}))
def test_whole_numbers_stay_whole(tmp_path, name):
    films = read_labels(WRITERS[name][0](tmp_path, items(TEN, WHOLE.get)))
    for sample, film in by_sample(films).items():
        assert [box.box for box in film.boxes] == WHOLE[sample]
