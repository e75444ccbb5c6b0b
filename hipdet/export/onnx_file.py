"""Graphs as ONNX files."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from hipdet.export.graph import DetectorGraph
from hipdet.files import replacing


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
