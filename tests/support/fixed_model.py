"""Exports that give the same detections on every film, whatever another program may have written into them."""

import json

import numpy as np
import pytest

from hipdet.core.boxes import as_boxes
from hipdet.inference.onnx_model import ModelCard

CLASSES = ("heart", "lung")
SIDE = 96
# two hearts, three lungs, best first; of them .4 and .1 are noise where an ROI scores .5
LABELS, SCORES = [0, 0, 1, 1, 1], [0.9, 0.8, 0.7, 0.4, 0.1]


def write_model(path, rois, classes=CLASSES, labels=LABELS, scores=SCORES, boxes=None, film=(1, 1, SIDE, SIDE), kind="UINT8",
                dropped="", work="", kind_of_labels=np.int64, **card):  # fmt: skip
    """An export that gives the same detections on every film.

    Args:
        path: Its file.
        rois: ``rois`` of its card, as JSON.
        classes: Those of its card.
        labels: That it gives.
        scores: That it gives.
        boxes: That it gives, in pixels of the square.
        film: Shape of its input.
        kind: Type of its input.
        dropped: An output that it lacks.
        work: What it does first: nothing, ``endless``, a loop without end, or ``long``, some seconds of operators.
        kind_of_labels: Type of its output.
        card: Entries of its card that differ.
    """
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    boxes = [[10 * n, 10, 10 * n + 8, 30] for n in range(len(labels))] if boxes is None else boxes
    found = dict(
        boxes=as_boxes(boxes).astype(np.float32),
        scores=np.array(scores, np.float32),
        labels=np.array(labels, kind_of_labels),
    )
    nodes = [
        helper.make_node("Constant", [], [f"{name}_"], value=onnx.numpy_helper.from_array(each))
        for name, each in found.items()
    ]
    # all outputs depend on the film, or OpenVINO drops it
    nodes += [
        helper.make_node("Cast", ["film"], ["grey"], to=kinds.FLOAT),
        helper.make_node("ReduceMean", ["grey"], ["mean"], keepdims=0),
        helper.make_node("Add", ["extent", "mean"], ["sum"]),
        helper.make_node("ReduceMean", ["sum"], ["start"], keepdims=0),
    ]
    nothing = [helper.make_node("Identity", ["start"], ["end"])]
    nodes += _endless(onnx) if work == "endless" else _long(onnx) if work == "long" else nothing
    nodes += [
        helper.make_node("Constant", [], ["none"], value_float=0.0),
        helper.make_node("Mul", ["end", "none"], ["zero"]),
        helper.make_node("Cast", ["zero"], ["whole"], to=kinds.INT64),
    ]
    nodes += [
        helper.make_node("Add", [f"{name}_", "whole" if each.dtype == np.int64 else "zero"], [name])
        for name, each in found.items()
    ]
    inputs = [
        helper.make_tensor_value_info("film", getattr(kinds, kind), film),
        helper.make_tensor_value_info("extent", kinds.FLOAT, [2]),
    ]
    outputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(each.dtype), each.shape)
        for name, each in found.items()
        if name != dropped
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "found", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    values = json.loads(ModelCard("chest", classes, SIDE, 2).to_text())
    helper.set_model_props(model, {"hipdet": json.dumps({**values, "rois": json.loads(rois), **card})})
    onnx.save(model, path)
    return path


def _long(onnx, operators=100):
    helper = onnx.helper
    weights = onnx.numpy_helper.from_array(np.full((1024, 1024), 1 / 1024, np.float32))
    return [
        helper.make_node("Constant", [], ["weights"], value=weights),
        helper.make_node("Add", ["start", "weights"], ["step0"]),
        *(helper.make_node("MatMul", [f"step{n}", "weights"], [f"step{n + 1}"]) for n in range(operators)),
        helper.make_node("ReduceMean", [f"step{operators}"], ["end"], keepdims=0),
    ]


def _endless(onnx):
    helper, kinds = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Identity", ["value"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("turn", kinds.INT64, []),
            helper.make_tensor_value_info("go", kinds.BOOL, []),
            helper.make_tensor_value_info("value", kinds.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", kinds.BOOL, []),
            helper.make_tensor_value_info("next", kinds.FLOAT, []),
        ],
    )
    forever = onnx.numpy_helper.from_array(np.array(True))
    return [
        helper.make_node("Constant", [], ["forever"], value=forever),
        helper.make_node("Loop", ["", "forever", "start"], ["end"], body=body),
    ]
