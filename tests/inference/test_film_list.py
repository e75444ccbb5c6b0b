"""Lists of films; how often a film is opened, decoded, copied and run, which is counted, not timed.

Films that are decoded at a fraction of their size have the same boxes.
"""

import io
import json
import os
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import Pad, Resize
from PIL import Image

from dicom_bytes import film
from dicom_bytes import film as dicom
from film_bytes import JPEG, PNG, TIFF, UPRIGHT, encoded
from hipdet import HipDetector
from hipdet.core.boxes import turn_boxes
from hipdet.core.errors import DatasetError, RadiographError
from hipdet.core.files import film_below
from hipdet.data.match import find_films
from hipdet.inference import film_list
from hipdet.inference.film_list import film_sources, films_at, films_of_coco, shrink
from hipdet.radiographs.read import read_radiograph, read_reduced


@pytest.fixture
def folder(tmp_path):
    """Films with and without extension, and other files."""
    files = {
        "b.jpg": JPEG,
        "a.PNG": PNG,
        "sub/1.2.840.113": film(UPRIGHT),  # a name that scanners give
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


def test_films_of_every_kind_are_found_alike(tmp_path):
    kinds = {"bmp": "BMP", "gif": "GIF", "jpeg": "JPEG", "png": "PNG", "tiff": "TIFF", "webp": "WEBP"}
    names = sorted(
        [f"film.{suffix}" for suffix in kinds] + [f"{suffix}/001" for suffix in kinds]
    )  # and without extension
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(UPRIGHT, kinds[name.removeprefix("film.").removesuffix("/001")]))
    sources = list(film_sources(tmp_path))
    assert sorted(source.name for source in sources) == names
    assert sorted(candidate.name for candidate in find_films(tmp_path, "any")) == names
    assert all(source.read().pixels.shape == UPRIGHT.shape for source in sources)


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
    ("place", "message"), [("empty", "no films, expected JPEG"), ("*.jpg", "no film matches this pattern")]
)
def test_nothing_there(place, message, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=message):
        list(film_sources(tmp_path / place))


def test_an_empty_path_is_not_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for films in ("", ["b.jpg", ""]):
        with pytest.raises(DatasetError, match="'': an empty path, expected a film, a folder or a pattern"):
            list(film_sources(films))
    with pytest.raises(DatasetError, match="'': no such film or folder"):
        films_at([""])


def test_nothing_but_pipes(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(
        DatasetError, match=r"no films \(passed over: pipes, sockets or devices \(1, the first: a\.png\)"
    ):
        list(film_sources(tmp_path))


def test_links_out_of_the_folder_are_refused(folder, tmp_path):
    (tmp_path / "elsewhere.jpg").write_bytes(JPEG)
    (folder / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(DatasetError, match=r"link\.jpg is a link out of its folder"):
        list(film_sources(folder))


def test_names_start_from_the_folder_that_all_places_share(folder):
    assert films_at([str(folder)]).root == folder
    listed = films_at([str(folder / "sub"), str(folder / "y.png/*.tif"), str(folder / "b.jpg"), str(folder / "b.jpg")])
    assert listed.root == folder
    assert [each.name for each in listed.films.values()] == ["sub/1.2.840.113", "sub/empty.tif", "y.png/c.tif", "b.jpg"]
    assert [*listed.films] == [1, 2, 3, 4]


def test_films_of_a_coco_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"images": [{"id": 7, "file_name": "s/a.jpg"}], "categories": [{"id": 3, "name": "hip"}]}')
    listed = films_of_coco(path, tmp_path)
    assert ([*listed.films], listed.categories, listed.films[7].path) == ([7], {"hip": 3}, tmp_path / "s/a.jpg")
    with pytest.raises(DatasetError, match=r"none\.json: can't be read"):
        films_of_coco(tmp_path / "none.json", tmp_path)


HIPS = [{"id": 1, "name": "hip"}]


def film_record(number, name):
    return {"id": number, "file_name": name}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("null", "found None, expected an object"),
        ('{"images": Infinity}', "Infinity is not a number of JSON"),
        ('{"images": ' + "[" * 10_000 + "]" * 10_000 + "}", "nested too deeply"),
        (dict(categories=HIPS), "no images, expected a list: give a COCO file"),
        (dict(images=[], categories=HIPS), r"images is \[\], expected a film at least"),
        (dict(images=None, categories=HIPS), "images is None, expected a list"),
        (dict(images=[3], categories=HIPS), "images 1: found 3, expected an object"),
        (dict(images=[film_record(7.9, "a.jpg")], categories=HIPS), r"images 1: id is 7\.9, expected a whole number"),
        (dict(images=[film_record(1, None)], categories=HIPS), "images 1: file_name is None, expected a text"),
        (dict(images=[film_record(1, "../a.jpg")], categories=HIPS), r"images 1: film '\.\./a\.jpg' leads out"),
        (
            dict(images=[film_record(7, "a.jpg"), film_record(7, "b.jpg")], categories=HIPS),
            r"images 2: id is 7, expected one of its own, as 'a\.jpg' has this one",
        ),
        (
            dict(images=[film_record(7, "s/a.jpg"), film_record(8, "./s//a.jpg")], categories=HIPS),
            r"images 2: file_name is '\./s//a\.jpg', expected each film once",
        ),
        (dict(images=[film_record(1, "a.jpg")]), "no categories, expected a list"),
        (dict(images=[film_record(1, "a.jpg")], categories=[{"id": 1}]), "categories 1: no name, expected a text"),
        (
            dict(images=[film_record(1, "a.jpg")], categories=[*HIPS, {"id": 1, "name": "knee"}]),
            "categories 2: id is 1, expected one id for each name",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_faulty_coco_files(content, message, tmp_path):
    (tmp_path / "a.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DatasetError, match=rf"a\.json: .*{message}"):
        films_of_coco(tmp_path / "a.json", tmp_path)


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
    reduced = detector.model.preprocess(film_source(large_jpeg).read(detector.model.at_least))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (reduced.width, reduced.height) == (WIDTH, HEIGHT)
    assert peak < 2.2 * WIDTH * HEIGHT / 4


def test_a_png_is_copied_twice_at_most(detector, large_jpeg, tmp_path):
    with Image.open(large_jpeg) as image:
        image.convert("L").save(tmp_path / "film.png", compress_level=1)
    tracemalloc.start()
    detector.model.preprocess(film_source(tmp_path / "film.png").read(detector.model.at_least))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.2 * WIDTH * HEIGHT


def film_source(path):
    from hipdet.inference.film_list import FilmSource

    return FilmSource(path.name, path)


def test_operators_of_the_exported_graph(untrained):
    """Of hip_roi_medium, whatever its channels.  More would be slower; if there are fewer, lower the numbers."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(io.BytesIO(untrained.onnx.read_bytes())).graph
    count = Counter(node.op_type for node in graph.node)
    # first look: stem 1, six blocks of 2, two shortcuts, head 3; each reading: stem 1, four blocks of 2, a shortcut, 2 more
    assert count["Conv"] <= 1 + 6 * 2 + 2 + 3 + 2 * (1 + 4 * 2 + 1 + 2)
    assert count["GridSample"] <= 2
    assert count["TopK"] <= 1
    assert count["BatchNormalization"] <= 1  # of the head, which has it behind its ReLU; the others are in convolutions
    assert count["NonMaxSuppression"] == count["Loop"] == count["If"] == 0
    assert sum(count.values()) - count["Constant"] <= 743


def film_with_square(width, height, box):
    pixels = np.zeros((height, width), np.uint8)
    x0, y0, x1, y1 = box
    pixels[y0:y1, x0:x1] = 200
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return pixels, file.getvalue()


def edges(pixels):
    """The square's box, by how much of its grey each row and column holds."""
    rows, columns = pixels.sum(axis=1) / pixels.sum(axis=1).max(), pixels.sum(axis=0) / pixels.sum(axis=0).max()
    return [
        (columns > 0.5).argmax(),
        (rows > 0.5).argmax(),
        *(len(c) - (c[::-1] > 0.5).argmax() for c in (columns, rows)),
    ]


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("size", [(1600, 1200), (1597, 1203), (1203, 1599)])
def test_boxes_are_in_pixels_of_the_whole_film(size, quarters):
    """To one pixel of the square, which covers 16 pixels of the film."""
    box = [320, 480, 800, 960]
    pixels, data = film_with_square(*size, box)
    film = read_reduced(data, 200)
    assert film.step == 4 if max(size) < 1600 else 8
    seen = shrink(film, 100).seen(quarters, inverted=False)
    expected = turn_boxes([box], quarters, *size)
    assert (seen.width, seen.height) == np.rot90(pixels, quarters).shape[::-1]
    np.testing.assert_allclose(seen.to_film([edges(seen.pixels)]), expected, atol=16)


@pytest.mark.parametrize("opencv", [True, False])
@pytest.mark.parametrize(
    ("size", "step", "most"),
    [
        ((1600, 1200), 4, 1),  # 16 pixels of the film are 4 cells: the same mean, but for the rounding of a cell
        ((1592, 1200), 4, 8),
        ((1597, 1203), 2, 8),  # the last cell holds 1 or 3 pixels; cells on the edge between two pixels of the square
        ((1203, 1599), 4, 15),
    ],
)
def test_a_reduced_film_gives_the_same_square(size, step, most, opencv, monkeypatch):
    """The square equals that of the film read whole, also where a cell reaches over the film's edge."""
    if not opencv:
        monkeypatch.setattr(film_list, "cv2", None)
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 255, (size[1] // 16, size[0] // 16), np.uint8))
    file = io.BytesIO()
    coarse.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    reduced = read_reduced(file.getvalue(), max(size) // step)
    assert reduced.step == step
    whole = shrink(read_radiograph(file.getvalue()), 100)
    shrunk = shrink(reduced, 100)
    difference = np.abs(shrunk.pixels.astype(int) - whole.pixels)
    assert difference.max() <= most
    assert difference.mean() < 0.1 * most
    np.testing.assert_array_equal(shrunk.to_film([[1, 2, 30, 40]]), whole.to_film([[1, 2, 30, 40]]))


def test_boxes_end_at_the_film(untrained, tmp_path):
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 255, (40, 53), np.uint8))
    coarse.resize((2899, 2201), Image.Resampling.BICUBIC).save(tmp_path / "film.jpg", quality=95)
    detector = HipDetector(untrained.onnx, rois=3)
    assert detector.at_least == 1024
    (film,) = detector(tmp_path / "film.jpg")
    assert (film.width, film.height) == (2899, 2201)
    boxes = np.array([roi.box for roi in film.rois])
    assert len(boxes) == 3
    assert (boxes >= 0).all()
    assert (boxes <= [2899, 2201] * 2).all()


def test_whole_films_on_request(untrained, tmp_path):
    """They have the boxes of the same film given as an array, which isn't reduced."""
    generator = np.random.default_rng(1)
    coarse = Image.fromarray(generator.integers(0, 255, (40, 53), np.uint8))
    coarse.resize((2899, 2201), Image.Resampling.BICUBIC).save(tmp_path / "film.jpg", quality=95)
    (of_array,) = HipDetector(untrained.onnx)(read_radiograph(tmp_path / "film.jpg"))
    boxes = {}
    for whole in (True, False):
        (film,) = HipDetector(untrained.onnx, whole_films=whole)(tmp_path / "film.jpg")
        boxes[whole] = [roi.box for roi in film.rois]
    assert boxes[True] == [roi.box for roi in of_array.rois]
    assert boxes[False] != boxes[True]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


@pytest.mark.parametrize("size", [(454, 373), (373, 454), (2688, 2208), (448, 448), (100, 64), (449, 448), (900, 3)])
@pytest.mark.parametrize("opencv", [True, False])
def test_the_square_equals_that_of_the_configs(size, opencv, monkeypatch):
    """mmdet's Resize with area interpolation and Pad; without OpenCV to one grey."""
    if not opencv:
        monkeypatch.setattr(film_list, "cv2", None)
    film = noise(*size)
    shrunk = shrink(film, 448)
    results = Resize((448, 448), keep_ratio=True, interpolation="area")({"img": np.stack([film] * 3, axis=2)})
    assert shrunk.pixels.shape == results["img_shape"]
    expected = Pad(size=(448, 448), pad_val=dict(img=(0, 0, 0)))(results)["img"][..., 0]
    np.testing.assert_allclose(shrunk.padded().astype(int), expected, atol=0 if opencv else 1)
    scale = np.array([*results["scale_factor"], *results["scale_factor"]])
    np.testing.assert_allclose(shrunk.to_film([[3, 4, 50, 60]]), np.array([[3, 4, 50, 60]]) / scale)


def test_seen_turned_and_inverted():
    film = noise(300, 200)
    turned = shrink(film, 100).seen(1, inverted=True)
    assert (turned.width, turned.height) == (300, 200)
    np.testing.assert_array_equal(turned.pixels, 255 - np.rot90(shrink(film, 100).pixels))
    assert not turned.padded()[67:].any()  # padding isn't inverted


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(-5, 5), st.data())
def test_boxes_turn_with_their_film(width, height, quarters, data):
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    film = np.zeros((height, width), bool)
    film[y0:y1, x0:x1] = True
    rows, columns = np.nonzero(np.rot90(film, quarters))
    found = turn_boxes([[x0, y0, x1, y1]], quarters, width, height)
    assert found.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    size = (height, width) if quarters % 2 else (width, height)
    assert turn_boxes(found, -quarters, *size).tolist() == [[x0, y0, x1, y1]]
