"""Exports that another program wrote, by mistake or on purpose: refused when they are opened, or film by film."""

import math
import re
import time
from importlib.util import find_spec

import numpy as np
import pytest
from fixed_model import SIDE, write_model

from hipdet import HipDetector
from hipdet.core.errors import CheckpointError, ConfigError, RadiographError
from hipdet.inference import detector

FILM = np.zeros((SIDE, SIDE), np.uint8)
NO_OPENVINO = pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")
RUNTIMES = ["onnxruntime", pytest.param("openvino", marks=NO_OPENVINO)]
BOX = [10, 10, 30, 30]


def opened(tmp_path, runtime="onnxruntime", **model):
    return HipDetector(write_model(tmp_path / "m.onnx", "2", **model), runtime=runtime, threads=1)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (dict(film=(1, 1, 64, 64)), r"input film is uint8 \[1, 1, 64, 64\], expected uint8 \[1, 1, 96, 96\]"),
        (dict(film=(1, 3, SIDE, SIDE)), r"input film is uint8 \[1, 3, 96, 96\]"),
        (dict(film=(SIDE, SIDE)), r"input film is uint8 \[96, 96\]"),
        (dict(kind="FLOAT"), r"input film is float \[1, 1, 96, 96\], expected uint8"),
        (dict(side=448), r"input film is uint8 \[1, 1, 96, 96\], expected uint8 \[1, 1, 448, 448\]"),
        (dict(side=1), "side is 1, expected a whole number from 32 to 4096"),
        (dict(side=None), "side is None, expected"),
        (dict(dropped="scores"), "output scores is missing, expected float"),
        (dict(kind_of_labels=np.float32), "output labels is float, expected int64"),
    ],
    ids=str,
)
def test_graphs_that_do_not_fit_their_card(model, message, runtime, tmp_path):
    with pytest.raises(CheckpointError, match=rf"m\.onnx: .*{message}.*: export the checkpoint again"):
        opened(tmp_path, runtime, **model)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (dict(labels=[2], scores=[0.9]), "labels from 2 to 2, expected 0 to 1"),
        (dict(labels=[-1], scores=[0.9]), "labels from -1 to -1, expected 0 to 1"),
        (dict(labels=[0], scores=[math.nan]), "scores from nan to nan, expected 0 to 1"),
        (dict(labels=[0], scores=[7.5]), "scores from 7.5 to 7.5, expected 0 to 1"),
        (dict(labels=[0], scores=[-0.5]), "scores from -0.5 to -0.5, expected 0 to 1"),
        (dict(labels=[0], scores=[0.9], boxes=[[1, 2, math.nan, 4]]), "boxes of negative size or of no numbers"),
        (dict(labels=[0], scores=[0.9], boxes=[[1, 2, math.inf, 4]]), "boxes of negative size or of no numbers"),
        (dict(labels=[0], scores=[0.9], boxes=[[30, 30, 10, 50]]), "boxes of negative size or of no numbers"),
        (dict(labels=[0, 1], scores=[0.9]), r"shapes \[\[2, 4\], \[1\], \[2\]\], expected \[R, 4\], \[R\] and \[R\]"),
    ],
    ids=str,
)
def test_what_no_detections_are(model, message, runtime, tmp_path):
    """The film is listed with this reason, and the next one is tried."""
    for film in opened(tmp_path, runtime, **model)([FILM, FILM]):
        assert film.error.startswith("the model gives ")
        assert film.error.endswith(": export it again")
        assert re.search(message, film.error)


def test_boxes_without_area_on_the_film_are_left_out(tmp_path):
    """In the padding beside a narrow film, and of no width."""
    boxes = [[60, 10, 80, 30], [5, 5, 5, 40], BOX]
    (film,) = opened(tmp_path, labels=[0, 0, 0], scores=[0.9, 0.8, 0.7], boxes=boxes)([FILM[:, :48]])
    assert [roi.box for roi in film.rois] == [tuple(BOX)]


def test_a_graph_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(detector, "LEAST_SECONDS", 0.3)
    started = time.monotonic()
    first, second = opened(tmp_path, work="endless")([FILM, FILM])
    assert first.error == "no result after 0.3 s, so it was given up: allow more (--film-timeout)"
    assert second.error == first.error
    assert 0.6 <= time.monotonic() - started < 20
    with pytest.raises(RadiographError, match="array: no result after"):
        list(HipDetector(tmp_path / "m.onnx", film_timeout=0.1, strict=True)(FILM))


def test_a_film_may_take_100_times_what_others_take(tmp_path, monkeypatch):
    monkeypatch.setattr(detector, "LEAST_SECONDS", 0.0)
    given, used = [], opened(tmp_path)
    infer = used.model.infer

    def slow(*arguments, until):
        given.append(until - time.monotonic())
        time.sleep(0.05)
        return infer(*arguments)

    monkeypatch.setattr(used.model, "infer", slow)
    monkeypatch.setattr(detector, "LEAST_SECONDS", 60.0)
    list(used([FILM] * 3))
    assert given[0] == pytest.approx(60, abs=1)
    monkeypatch.setattr(detector, "LEAST_SECONDS", 0.0)
    given.clear()
    list(used([FILM] * 3))
    assert all(5 <= seconds < 50 for seconds in given[1:])


@NO_OPENVINO
def test_openvino_can_not_stop_a_loop_and_refuses_it(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"m\.onnx: its graph has Loop, which OpenVINO can't stop .*: use onnxruntime"
    ):
        opened(tmp_path, "openvino", work="endless")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_long_graph_is_stopped_between_operators(runtime, tmp_path):
    used = opened(tmp_path, runtime, work="long")
    film = used.model.preprocess(FILM)

    def seconds(until):
        started = time.monotonic()
        used.model.infer(film, until=started + until)
        return time.monotonic() - started

    whole = seconds(math.inf)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        used.model.infer(film, until=started + whole / 10)
    assert time.monotonic() - started < whole / 2
    assert seconds(60) > whole / 10  # the next film isn't stopped


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("threads", [0, -5, 100_000, 1.5, True, "2"])
def test_numbers_of_threads_that_no_machine_has(threads, runtime, tmp_path):
    with pytest.raises(ConfigError, match=r"threads .*: expected a whole number from 1 to 1024"):
        HipDetector(write_model(tmp_path / "m.onnx", "2"), threads=threads, runtime=runtime)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, "1"])
def test_times_that_are_no_times(seconds):
    with pytest.raises(ConfigError, match=r"film_timeout .*: expected a number of seconds above 0"):
        HipDetector(film_timeout=seconds)
