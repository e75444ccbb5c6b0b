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

FilmBoxes = list[Sequence[float]]
Detect = Callable[[Sequence[Path]], list[FilmBoxes]]  # the boxes of each of some films, best first
RUNTIMES = {
    "onnxruntime": ("onnxruntime", "float32"),
    "openvino": ("openvino", "float32"),
    "openvino bfloat16": ("openvino", "bfloat16"),
}


@dataclass(frozen=True)
class Contestant:
    """One of them.

    Attributes:
        run: Finds boxes.
        base: Name of the contestant that it is compared with.
        dicom: Whether it reads DICOM.
    """

    run: Detect
    base: str
    dicom: bool = True


def contestants(models: Sequence[Model], yolos: Sequence[Path], threads: int) -> dict[str, Contestant]:
    """All of them, by name."""
    torch.set_num_threads(threads)
    found: dict[str, Contestant] = {}
    base = f"{yolos[0].stem}, onnxruntime" if yolos else ""
    for path in yolos:
        for runtime in available():
            if runtime != "openvino":  # as fast as onnxruntime
                found[f"{path.stem}, {runtime}"] = Contestant(_yolo(path, threads, runtime), base, dicom=False)
    for model in models:
        theirs = f"{model.title}, DetInferencer"
        own = theirs if model.title == "ResNet-101" or not base else base
        found[theirs] = Contestant(inferencer(model), own)
        for runtime in available():
            name = f"{model.title}, {runtime}"
            found[name] = Contestant(ours(model, threads, runtime), own)
            if runtime != "openvino":
                found[f"{name}, decoded whole"] = Contestant(ours(model, threads, runtime, whole=True), own)
    return found


def available() -> list[str]:
    """Those of `RUNTIMES` that are here."""
    if find_spec("openvino") is None:
        return ["onnxruntime"]
    import openvino

    has_bfloat16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return list(RUNTIMES) if has_bfloat16 else ["onnxruntime", "openvino"]


def ours(model: Model, threads: int, name: str, whole: bool = False) -> Detect:
    """Ours, which looks once at every film, as DetInferencer and YOLO do."""
    runtime, precision = RUNTIMES[name]
    how: dict[str, Any] = dict(whole_films=whole, odd_films=False, strict=True)
    detector = HipDetector(model.onnx, threads=threads, runtime=runtime, precision=precision, **how)
    return lambda films: [[roi.box for roi in film.rois] for film in detector(films)]


def inferencer(model: Model) -> Detect:
    """mmdet's own way."""
    from mmdet.apis import DetInferencer

    detector: Any = DetInferencer(str(model.config), str(model.weights), show_progress=False)

    def run(films: Sequence[Path]) -> list[FilmBoxes]:
        found = detector([str(film) for film in films], no_save_vis=True, no_save_pred=True)
        return [film["bboxes"] for film in found["predictions"]]

    return run


def _yolo(path: Path, threads: int, name: str) -> Detect:
    yolo = Yolo(path, threads, *RUNTIMES[name])
    return lambda films: [yolo(film).tolist() for film in films]
