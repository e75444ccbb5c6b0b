"""The network alone, from the grey square to its boxes, in torch, onnxruntime and OpenVINO, compared with stock detectors."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from hipdet.core.files import replacing
from hipdet.export.graph import DetectorGraph
from hipdet.export.torch_model import TorchModel
from hipdet.inference.onnx_model import OnnxRuntime, open_runtime
from speed.models import RUNTIMES, Model, available, model
from speed.results import Spread, Table, against, in_turns
from speed.yolo import Yolo

COMPILED = ("small", "ResNet-101")  # compiling takes a minute each and needs a C++ compiler
OURS = ("hips", "hip_roi_small", "hip_roi_medium", "hip_roi_large", "hip_ssd_exp3")
Runs = dict[str, Callable[[], object]]
# settings of mmdet's own detectors that aren't defaults (mmdet's wheels lack the configs), and input sides in pixels
CHANNELS = (512, 1024, 512, 256, 256, 256)
SSD300 = dict(
    type="SingleStageDetector",
    backbone=dict(type="SSDVGG", depth=16),
    neck=dict(
        type="SSDNeck", in_channels=CHANNELS[:2], out_channels=CHANNELS,
        level_strides=(2, 2, 1, 1), level_paddings=(1, 1, 0, 0),
    ),
    bbox_head=dict(
        type="SSDHead", num_classes=1,
        anchor_generator=dict(
            type="SSDAnchorGenerator", scale_major=False, input_size=300, basesize_ratio_range=(0.15, 0.9),
            strides=[8, 16, 32, 64, 100, 300], ratios=[[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        ),
    ),
)  # fmt: skip
RTMDET_TINY = dict(
    type="RTMDet",
    backbone=dict(type="CSPNeXt", deepen_factor=0.167, widen_factor=0.375),
    neck=dict(
        type="CSPNeXtPAFPN", in_channels=[96, 192, 384], out_channels=96, num_csp_blocks=1, act_cfg=dict(type="SiLU"),
    ),
    bbox_head=dict(
        type="RTMDetSepBNHead", num_classes=1, in_channels=96, feat_channels=96, stacked_convs=2, with_objectness=False,
        anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type="DistancePointBBoxCoder"),
    ),
)  # fmt: skip
STOCK: dict[str, tuple[int, dict[str, Any]]] = {"SSD300": (300, SSD300), "RTMDet-tiny": (640, RTMDET_TINY)}


class Bare(nn.Module):
    """Backbone and head alone."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.detector: Any = detector

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and deltas of a normalised batch ``[1, 3, side, side]``."""
        scores, deltas = self.detector.bbox_head(self.detector.extract_feat(batch))
        return scores[0], deltas[0]


def section(work: Path, args: argparse.Namespace) -> list[Table]:
    """The tables of this section."""
    threads, turns = args.threads, args.turns
    torch.set_num_threads(threads)
    runs: Runs = {}
    for path in args.yolo:
        for runtime in available():
            yolo = Yolo(path, threads, *RUNTIMES[runtime])
            runs[f"{path.stem}, {runtime}"] = partial(yolo.network, np.zeros((1, 3, yolo.side, yolo.side), np.float32))
    init_default_scope("mmdet")
    for name, (side, settings) in STOCK.items():
        run = partial(_without_gradients, MODELS.build(settings).eval(), torch.zeros(1, 3, side, side))
        runs[f"{name} ({side} px), torch"] = run
    note = (
        f"Milliseconds for one film, median (5% .. 95%) of {turns} turns. Ours and YOLO run from exported files; ours "
        "include normalisation, decoding and suppression; the others run without suppression. Stock detectors are untrained."
    )
    for name in OURS[:-1]:
        runs |= _runs(model(name, work), threads)
    table = _table("Networks", note, runs, turns)
    base = next(iter(runs))
    resnet = model(OURS[-1], work)  # last: making it takes longer than all before
    rows = _table("ResNet-101", note, {base: runs[base], **_runs(resnet, threads)}, turns).rows[1:]
    return [replace(table, rows=[*table.rows, *rows]), _table(*_overhead(resnet, work, threads), turns)]


def _runs(each: Model, threads: int) -> Runs:
    return {f"{each.title}, {name}": run for name, run in (*_exported(each, threads), *_in_torch(each))}


def _table(title: str, note: str, runs: Mapping[str, Callable[[], object]], turns: int) -> Table:
    seconds = in_turns(runs, turns, title)
    base = next(iter(runs))
    ratios = against(seconds, list(runs), base)
    rows = [[name, Spread.of(values).text(1e3), ratios[name].text(digits=2)] for name, values in seconds.items()]
    return Table(title, note, ["network", "ms", f"times as fast as {base}"], rows)


def _exported(each: Model, threads: int) -> Iterator[tuple[str, Callable[[], object]]]:
    film, extent = _film(224 if each.title == "ResNet-101" else 448)
    for runtime in available():
        run = open_runtime(each.onnx, each.onnx.read_bytes(), threads, *RUNTIMES[runtime]).run
        yield runtime, partial(run, film.numpy(), extent.numpy())


def _in_torch(each: Model) -> Iterator[tuple[str, Callable[[], object]]]:
    for name, layout, bfloat16 in (
        ("torch", torch.contiguous_format, False),
        ("torch channels-last", torch.channels_last, False),
        ("torch channels-last bfloat16", torch.channels_last, True),
    ):
        loaded = TorchModel(each.config, each.weights)
        graph = DetectorGraph(loaded.detector, loaded.card.side)
        graph.to(memory_format=layout)  # type: ignore[call-overload]
        yield name, partial(_without_gradients, graph, *_film(graph.side), bfloat16=bfloat16)
    if each.title in COMPILED and which("g++"):
        compiled = torch.compile(graph, options={"freezing": True})
        yield "torch.compile", partial(_without_gradients, compiled, *_film(graph.side))


def _film(side: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    film = torch.randint(0, 256, (1, 1, side, side), dtype=torch.uint8, generator=generator)
    return film, torch.tensor([side, side], dtype=torch.float32)


def _without_gradients(module: Callable[..., object], *inputs: Tensor, bfloat16: bool = False) -> object:
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        return module(*inputs)


def _overhead(resnet: Model, work: Path, threads: int) -> tuple[str, str, Runs]:
    """The exported detector compared with its bare backbone and head."""
    bare = work / "bare.onnx"
    loaded = TorchModel(resnet.config, resnet.weights)
    side = loaded.card.side
    batch = torch.zeros(1, 3, side, side)
    if not bare.is_file():
        with replacing(bare) as temporary, torch.no_grad():
            torch.onnx.export(Bare(loaded.detector).eval(), (batch,), str(temporary), opset_version=17, dynamo=False)
    session = OnnxRuntime(bare, bare.read_bytes(), threads).session
    whole = open_runtime(resnet.onnx, resnet.onnx.read_bytes(), threads)
    film, extent = (each.numpy() for each in _film(side))
    runs: Runs = {
        "backbone and head": partial(session.run, None, {session.get_inputs()[0].name: batch.numpy()}),
        "with normalisation, decoding, suppression": partial(whole.run, film, extent),
    }
    note = "Time that the exported graph adds to its bare backbone and head, both in onnxruntime."
    return f"{resnet.title}: overhead of the exported graph", note, runs
