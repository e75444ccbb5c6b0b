"""Graphs as ONNX files."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from onnx import helper

from hipdet.export.graph import DetectorGraph
from hipdet.files import replacing
from hipdet.inference.model_card import KEY


def write_onnx(graph: DetectorGraph, path: Path, opset: int = 17) -> None:
    """Write `graph`: inputs ``film`` (uint8) and ``extent`` (float32), outputs ``boxes``, ``scores`` and ``labels``."""
    film = torch.zeros(1, 1, graph.side, graph.side, dtype=torch.uint8)
    extent = torch.full((2,), float(graph.side))
    inputs, outputs = ["film", "extent"], ["boxes", "scores", "labels"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, torch.no_grad(), warnings.catch_warnings():
        # it says that shapes are fixed, as they are meant to be, and that a newer exporter is the default
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (film, extent),
            str(temporary),
            input_names=inputs,
            output_names=outputs,
            opset_version=opset,
            dynamo=False,
        )


def add_card(path: Path, card: str) -> None:
    """Put the text of a card into the metadata of the file at `path`."""
    model = onnx.load(path)
    helper.set_model_props(model, {KEY: card})
    with replacing(path) as temporary:
        onnx.save(model, temporary)
