"""The network alone, from the grey square to its boxes, in torch, onnxruntime and OpenVINO, beside stock detectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from hipdet.core.files import replacing
from hipdet.export.graph import DetectorGraph
from hipdet.export.torch_model import TorchModel
from hipdet.inference.onnx_model import open_runtime
from speed.contestants import available, shown
from speed.models import Model, model
from speed.peers import PEERS, peer
from speed.results import Table
from speed.timing import Spread, against, in_turns
from speed.yolo import Yolo

COMPILED = ("small", "ResNet-101")  # takes a minute each, and a C++ compiler
MODELS = ("hip_roi_small", "hip_roi_medium", "hip_roi_large", "hip_ssd_exp3")
Runs = dict[str, Callable[[], object]]


class Bare(nn.Module):
    """Backbone and head alone."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.detector: Any = detector

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and deltas of a normalised batch ``[1, 3, side, side]``."""
        scores, deltas = self.detector.bbox_head(self.detector.extract_feat(batch))
        return scores[0], deltas[0]


def network(work: Path, yolos: Sequence[Path], threads: int, turns: int) -> list[Table]:
    """The section."""
    torch.set_num_threads(threads)
    models = [model(name, work) for name in MODELS]
    runs: Runs = {}
    for path in yolos:
        for runtime, precision in available():
            yolo = Yolo(path, threads, runtime, precision)
            batch = np.zeros((1, 3, yolo.side, yolo.side), np.float32)
            runs[f"{path.stem}, {shown(runtime, precision)}"] = partial(yolo.network, batch)
    for name in PEERS:
        stock, side = peer(name)
        runs[f"{name} ({side} px), torch"] = partial(_without_gradients, stock, torch.zeros(1, 3, side, side))
    for each in models:
        runs.update((f"{each.title}, {name}", run) for name, run in _exported(each, threads))
        runs.update((f"{each.title}, {name}", run) for name, run in _in_torch(each))
    note = (
        f"Milliseconds for one film, median (5% .. 95%) of {turns} turns. Ours and YOLO from exported files, ours with "
        "normalisation, decoding and suppression, the others without their suppression. Untrained stock detectors."
    )
    tables = [_table("Networks", note, runs, turns)]
    return [*tables, _table(*_overhead(models[-1], work, threads), turns)]


def _table(title: str, note: str, runs: Mapping[str, Callable[[], object]], turns: int) -> Table:
    seconds = in_turns(runs, turns)
    base = next(iter(runs))
    ratios = against(seconds, list(runs), base)
    rows = [[name, Spread.of(values).text(1e3), ratios[name].text(digits=2)] for name, values in seconds.items()]
    return Table(title, note, ["network", "ms", f"times as fast as {base}"], rows)


def _exported(each: Model, threads: int) -> Iterator[tuple[str, Callable[[], object]]]:
    content = each.onnx.read_bytes()
    side = 224 if each.title == "ResNet-101" else 448
    film, extent = _film(side)
    for runtime, precision in available():
        run = open_runtime(each.onnx, content, threads, runtime, precision).run
        yield shown(runtime, precision), partial(run, film.numpy(), extent.numpy())


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
    """The exported detector against its bare backbone and head."""
    bare = work / "bare.onnx"
    loaded = TorchModel(resnet.config, resnet.weights)
    side = loaded.card.side
    batch = torch.zeros(1, 3, side, side)
    if not bare.is_file():
        with replacing(bare) as temporary, torch.no_grad():
            torch.onnx.export(Bare(loaded.detector).eval(), (batch,), str(temporary), opset_version=17, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(bare), options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: batch.numpy()}
    whole = open_runtime(resnet.onnx, resnet.onnx.read_bytes(), threads)
    film, extent = (each.numpy() for each in _film(side))
    runs: Runs = {
        "backbone and head": partial(session.run, None, inputs),
        "with normalisation, decoding, suppression": partial(whole.run, film, extent),
    }
    note = "What the exported graph adds to its bare backbone and head, both in onnxruntime."
    return f"{resnet.title}: what surrounds the network", note, runs
