"""Arithmetic and files of the benchmark itself."""

import numpy as np
import pytest

from benchmark import parse_arguments
from hipdet.radiographs.read import read_radiograph
from speed.films import dicom, jpeg, phantom
from speed.results import WARM, Results, Spread, Table, against, in_turns


def test_contestants_take_turns():
    order = []
    seconds = in_turns({name: lambda name=name: order.append(name) for name in "ab"}, turns=3)
    assert order == ["a", "b"] * (WARM + 3)
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_spread_and_ratio():
    spread = Spread.of(np.arange(101) / 1000)
    assert (spread.median, spread.low, spread.high) == pytest.approx((0.05, 0.005, 0.095))
    assert spread.text(1e3) == "50.0 (5.0 .. 95.0)"
    # turn by turn 2, 2 and 4 times as fast
    ratios = against({"base": np.array([2.0, 4.0, 8.0]), "fast": np.array([1.0, 2.0, 2.0])}, ["fast"], "base")
    assert ratios["fast"].median == 2


def test_sections_are_kept(tmp_path):
    table = Table("Title", "A note.", ["one", "two"], [["1", "2"]])
    Results(tmp_path).add("first", 2, [table])
    again = Results(tmp_path)
    assert list(again.sections) == ["first"]
    again.add("second", 2, [table])
    text = (tmp_path / "benchmark.md").read_text()
    assert text.index("## first") < text.index("## second")
    assert "### Title\n\nA note.\n\n| one | two |\n| --- | --- |\n| 1 | 2 |\n" in text
    assert "threads 2" in text


def test_films(tmp_path):
    assert phantom(300).shape[1] == 300
    film = read_radiograph(jpeg(tmp_path, 300))
    np.testing.assert_allclose(film.astype(int), phantom(300), atol=40)
    pytest.importorskip("pydicom")
    np.testing.assert_allclose(read_radiograph(dicom(tmp_path, 300)).astype(int), phantom(300), atol=1)


def test_yolo_letterbox_and_suppression(tmp_path):
    """A network of one layer stands for YOLO: its boxes are constants in pixels of the 64-px square."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    from speed.yolo import Yolo

    # centre, sides, one class: a box, one that overlaps it, another place, and one that scores too little
    found = np.array([[32, 32, 16, 8, 0.9], [33, 32, 16, 8, 0.8], [10, 30, 4, 4, 0.5], [50, 30, 4, 4, 0.1]], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["found", "nothing"], ["output"]),
    ]
    constants = {"zero": np.float32(0), "found": found.T[None]}
    graph = helper.make_graph(
        nodes,
        "yolo",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 5, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "yolo.onnx")
    # a film of 320 x 240: scale 1/5, 48 rows, 8 rows of padding above
    path = jpeg(tmp_path, 320)
    height, width = read_radiograph(path).shape
    top = (64 - round(height / 5)) // 2
    boxes = Yolo(tmp_path / "yolo.onnx", threads=1)(path)
    assert width == 320
    expected = [[24, 28, 40, 36], [8, 28, 12, 32]]
    np.testing.assert_allclose(boxes, (np.array(expected) - [0, top, 0, top]) * 5, atol=1e-4)


def test_it_knows_its_sections(capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["everything"])
    assert ended.value.code == 2
    assert "no section 'everything': expected some of end-to-end, network, training, growth" in capsys.readouterr().err
