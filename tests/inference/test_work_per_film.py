"""Speed that is counted, not timed: what is opened, decoded, copied and computed for a film."""

import io
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_bytes import film as dicom
from hipdet import HipDetector

WIDTH, HEIGHT = 2720, 2240


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A JPEG in colour, as many grey films are stored."""
    path = tmp_path_factory.mktemp("work") / "film.jpg"
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 255, (28, 34), np.uint8))
    coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert("RGB").save(path, quality=90)
    return path


@pytest.fixture(scope="module")
def detector(untrained):
    return HipDetector(untrained.onnx)


def test_a_film_is_opened_once_and_the_network_runs_once(detector, film, monkeypatch):
    opened, runs = [], []
    open_file, run = Path.open, detector.model.runtime.run
    monkeypatch.setattr(Path, "open", lambda self, *args, **kw: opened.append(self) or open_file(self, *args, **kw))
    monkeypatch.setattr(detector.model.runtime, "run", lambda *args: runs.append(args[0].shape) or run(*args))
    list(detector([film] * 3))
    assert opened == [film] * 3
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


def test_a_large_jpeg_is_not_decoded_whole(detector, film):
    """A quarter of the pixels and one channel: 1/12 of what the file holds.  The peak holds two copies of that at most."""
    tracemalloc.start()
    reduced = detector.model.prepare(film_source(film).read(detector.model.at_least))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (reduced.width, reduced.height) == (WIDTH, HEIGHT)
    assert peak < 2.2 * WIDTH * HEIGHT / 4


def test_a_png_is_copied_twice_at_most(detector, film, tmp_path):
    with Image.open(film) as image:
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
