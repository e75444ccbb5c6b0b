"""Detectors from a film's file to its boxes: ours, mmdet's DetInferencer on the same weights, YOLO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from hipdet.inference.detector import HipDetector
from speed.models import Model
from speed.yolo import Yolo

Boxes = list[Sequence[float]]


@dataclass(frozen=True)
class Contestant:
    """One of them.

    Attributes:
        run: Finds the boxes of each of some films, best first.
        base: Name of the contestant that it is compared with.
        dicom: Whether it reads DICOM.
    """

    run: Callable[[Sequence[Path]], list[Boxes]]
    base: str
    dicom: bool = True


RUNTIMES = [("onnxruntime", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")]


def contestants(models: Sequence[Model], yolos: Sequence[Path], threads: int) -> dict[str, Contestant]:
    """All of them, by name."""
    torch.set_num_threads(threads)
    found: dict[str, Contestant] = {}
    base = f"{yolos[0].stem}, onnxruntime" if yolos else ""
    for path in yolos:
        for runtime, precision in available():
            if precision == "float32" and runtime == "openvino":
                continue  # as fast as onnxruntime
            name = f"{path.stem}, {shown(runtime, precision)}"
            found[name] = Contestant(_yolo(path, threads, runtime, precision), base, dicom=False)
    for model in models:
        theirs = f"{model.title}, DetInferencer"
        own = theirs if model.title == "ResNet-101" or not base else base
        found[theirs] = Contestant(inferencer(model), own)
        for runtime, precision in available():
            name = f"{model.title}, {shown(runtime, precision)}"
            found[name] = Contestant(ours(model, threads, runtime, precision), own)
            if precision == "bfloat16" or runtime == "onnxruntime":
                whole = ours(model, threads, runtime, precision, whole=True)
                found[f"{name}, decoded whole"] = Contestant(whole, own)
    return found


def available() -> list[tuple[str, str]]:
    """Runtimes and precisions that are here."""
    if find_spec("openvino") is None:
        return RUNTIMES[:1]
    import openvino

    has_bfloat16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return RUNTIMES if has_bfloat16 else RUNTIMES[:2]


def shown(runtime: str, precision: str) -> str:
    """Such as ``openvino bfloat16``."""
    return runtime if precision == "float32" else f"{runtime} {precision}"


def ours(
    model: Model, threads: int, runtime: str, precision: str, whole: bool = False
) -> Callable[[Sequence[Path]], list[Boxes]]:
    """Ours, which looks once at every film."""
    detector = HipDetector(
        model.onnx,
        threads=threads,
        runtime=runtime,
        precision=precision,
        whole_films=whole,
        odd_films=False,  # DetInferencer and YOLO look once
        strict=True,
    )
    return lambda films: [[roi.box for roi in film.rois] for film in detector(films)]


def inferencer(model: Model) -> Callable[[Sequence[Path]], list[Boxes]]:
    """mmdet's own way."""
    from mmdet.apis import DetInferencer

    detector: Any = DetInferencer(str(model.config), str(model.weights), show_progress=False)

    def run(films: Sequence[Path]) -> list[Boxes]:
        found = detector([str(film) for film in films], no_save_vis=True, no_save_pred=True)
        return [film["bboxes"] for film in found["predictions"]]

    return run


def _yolo(path: Path, threads: int, runtime: str, precision: str) -> Callable[[Sequence[Path]], list[Boxes]]:
    yolo = Yolo(path, threads, runtime, precision)
    return lambda films: [yolo(film).tolist() for film in films]
