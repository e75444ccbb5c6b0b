"""Speed that is counted, not timed: what is opened, decoded, copied and computed for a film."""

import io
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_bytes import film
from dicom_bytes import film as dicom
from film_bytes import JPEG, PNG, TIFF, UPRIGHT
from hipdet import HipDetector
from hipdet.core.errors import DatasetError, RadiographError
from hipdet.inference.film_list import film_below, film_sources, films_at, films_of_coco


@pytest.fixture
def folder(tmp_path):
    """Films with and without extension, and what is none."""
    files = {
        "b.jpg": JPEG,
        "a.PNG": PNG,
        "sub/1.2.840.113": film(UPRIGHT),  # as scanners write it
        "sub/notes.txt": b"no film",
        "sub/README": b"no film either",
        "sub/empty.tif": b"",
        ".hidden.jpg": JPEG,
    }
    for name, content in files.items():
        path = tmp_path / "films" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "films/x.png").mkdir()
    (tmp_path / "films/y.png").mkdir()
    (tmp_path / "films/y.png/c.tif").write_bytes(TIFF)  # a folder of films, whatever its name
    return tmp_path / "films"


FOUND = ["a.PNG", "b.jpg", "sub/1.2.840.113", "sub/empty.tif", "y.png/c.tif", "x.png"]


def test_folder(folder):
    assert [source.name for source in film_sources(folder)] == FOUND
    assert [source.name for source in film_sources(str(folder), folder.parent)] == [f"films/{name}" for name in FOUND]


def test_patterns_paths_and_arrays(folder):
    several = [folder / "b.jpg", str(folder / "**/*.tif"), UPRIGHT, folder / "missing.jpg"]
    names = [source.name for source in film_sources(several)]
    assert names == ["b.jpg", "empty.tif", "c.tif", "array 3", "missing.jpg"]
    assert [source.name for source in film_sources(UPRIGHT)] == ["array"]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (UPRIGHT, UPRIGHT),
        (UPRIGHT.astype(np.uint16) * 16, np.rint((UPRIGHT - 10.0) / 220 * 255)),  # windowed from lowest to highest
        (np.zeros((4, 4, 3), np.uint8), r"array \[4, 4, 3\] of uint8, expected grey values \[H, W\]"),
        (np.zeros((0, 4)), r"array \[0, 4\]"),
        (np.array([["a"]]), r"array \[1, 1\] of <U1"),
    ],
)
def test_arrays(array, expected):
    (source,) = film_sources(array)
    if isinstance(expected, str):
        with pytest.raises(RadiographError, match=f"array: {expected}"):
            source.read()
    else:
        np.testing.assert_array_equal(source.read().pixels, expected)


@pytest.mark.parametrize(
    ("place", "message"), [("empty", "no films, expected JPEG"), ("*.jpg", "no film fits this pattern")]
)
def test_nothing_there(place, message, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=message):
        list(film_sources(tmp_path / place))


def test_links_out_of_the_folder_are_refused(folder, tmp_path):
    (tmp_path / "elsewhere.jpg").write_bytes(JPEG)
    (folder / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(DatasetError, match=r"link\.jpg is a link out of its folder"):
        list(film_sources(folder))


def test_names_start_from_what_all_places_share(folder):
    assert films_at([str(folder)]).root == folder
    listed = films_at([str(folder / "sub"), str(folder / "y.png/*.tif"), str(folder / "b.jpg"), str(folder / "b.jpg")])
    assert listed.root == folder
    assert [each.name for each in listed.films] == ["sub/1.2.840.113", "sub/empty.tif", "y.png/c.tif", "b.jpg"]
    assert listed.ids == [1, 2, 3, 4]


def test_films_of_a_coco_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"images": [{"id": 7, "file_name": "s/a.jpg"}], "categories": [{"id": 3, "name": "hip"}]}')
    listed = films_of_coco(path, tmp_path)
    assert (listed.ids, listed.categories, listed.films[0].path) == ([7], {"hip": 3}, tmp_path / "s/a.jpg")
    path.write_text('{"images": []}')
    with pytest.raises(DatasetError, match="no COCO file with images and categories"):
        films_of_coco(path, tmp_path)
    with pytest.raises(DatasetError, match=r"none\.json: can't be read"):
        films_of_coco(tmp_path / "none.json", tmp_path)


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "a/../../b.jpg", "C:/a.jpg", "..\\a.jpg", ""])
def test_names_that_lead_out_of_the_folder(name, tmp_path):
    with pytest.raises(DatasetError, match=r"x\.json: film .* leads out of its folder"):
        film_below(tmp_path, name, "x.json")


WIDTH, HEIGHT = 2720, 2240


@pytest.fixture(scope="module")
def large_jpeg(tmp_path_factory):
    """A JPEG in colour, as many grey films are stored."""
    path = tmp_path_factory.mktemp("work") / "film.jpg"
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 255, (28, 34), np.uint8))
    coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert("RGB").save(path, quality=90)
    return path


@pytest.fixture(scope="module")
def detector(untrained):
    return HipDetector(untrained.onnx)


def test_a_film_is_opened_once_and_the_network_runs_once(detector, large_jpeg, monkeypatch):
    opened, runs = [], []
    open_file, run = Path.open, detector.model.runtime.run
    monkeypatch.setattr(Path, "open", lambda self, *args, **kw: opened.append(self) or open_file(self, *args, **kw))
    monkeypatch.setattr(detector.model.runtime, "run", lambda *args: runs.append(args[0].shape) or run(*args))
    list(detector([large_jpeg] * 3))
    assert opened == [large_jpeg] * 3
    assert runs == [(1, 1, 448, 448)] * 3


@pytest.mark.parametrize("whole_films", [False, True])
def test_a_dicom_film_is_opened_once_though_it_says_its_side(untrained, tmp_path, monkeypatch, whole_films):
    pytest.importorskip("pydicom")
    path = tmp_path / "film.dcm"
    path.write_bytes(dicom(np.random.default_rng(0).integers(0, 255, (200, 170), np.uint8), ImageLaterality="L"))
    opened, open_file = [], Path.open
    detector = HipDetector(untrained.onnx, whole_films=whole_films)
    monkeypatch.setattr(Path, "open", lambda self, *args, **kw: opened.append(self) or open_file(self, *args, **kw))
    list(detector(path))
    assert opened == [path]


def test_a_large_jpeg_is_not_decoded_whole(detector, large_jpeg):
    """A quarter of the pixels and one channel: 1/12 of what the file holds.  The peak holds two copies of that at most."""
    tracemalloc.start()
    reduced = detector.model.prepare(film_source(large_jpeg).read(detector.model.at_least))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (reduced.width, reduced.height) == (WIDTH, HEIGHT)
    assert peak < 2.2 * WIDTH * HEIGHT / 4


def test_a_png_is_copied_twice_at_most(detector, large_jpeg, tmp_path):
    with Image.open(large_jpeg) as image:
        image.convert("L").save(tmp_path / "film.png", compress_level=1)
    tracemalloc.start()
    detector.model.prepare(film_source(tmp_path / "film.png").read(detector.model.at_least))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.2 * WIDTH * HEIGHT


def film_source(path):
    from hipdet.inference.film_list import FilmSource

    return FilmSource(path.name, path)


def test_operators_of_the_exported_graph(untrained):
    """Of medium, whatever its channels.  More would be slower; fewer are welcome: then lower the numbers."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(io.BytesIO(untrained.onnx.read_bytes())).graph
    count = Counter(node.op_type for node in graph.node)
    # first look: stem 1, six blocks of 2, two shortcuts, head 3; each reading: stem 1, four blocks of 2, a shortcut, 2 more
    assert count["Conv"] <= 1 + 6 * 2 + 2 + 3 + 2 * (1 + 4 * 2 + 1 + 2)
    assert count["GridSample"] <= 2
    assert count["TopK"] <= 1
    assert count["BatchNormalization"] <= 1  # of the head, which has it behind its ReLU; the others are in convolutions
    assert count["NonMaxSuppression"] == count["Loop"] == count["If"] == 0
    assert sum(count.values()) - count["Constant"] <= 633
