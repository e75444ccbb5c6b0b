"""From a film's file to its boxes: latency, throughput, memory, box differences, and where the time goes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.apis import DetInferencer
from numpy.typing import NDArray

from hipdet.inference.detector import HipDetector
from hipdet.inference.onnx_model import OnnxModel
from hipdet.radiographs.read import read_radiograph, read_reduced
from speed.films import SIDES, dicom, jpeg
from speed.models import RUNTIMES, Model, available, model
from speed.peak_memory import peak_memory
from speed.results import Spread, Table, against, in_turns, say
from speed.yolo import Yolo

MODELS = ("hips", "hip_roi_small", "hip_roi_medium", "hip_ssd_exp3")
ROW = 8  # films in a throughput measurement
COMPARED = 12  # films whose boxes are compared
LARGE = 2688
FilmBoxes = list[Sequence[float]]
Detect = Callable[[Sequence[Path]], list[FilmBoxes]]  # takes films, returns the boxes of each, best first


@dataclass(frozen=True)
class Contestant:
    """A detector to time.

    Attributes:
        run: Detects boxes on films.
        base: Name of the contestant that it is compared with.
        dicom: Whether it reads DICOM.
    """

    run: Detect
    base: str
    dicom: bool = True


def section(work: Path, args: argparse.Namespace) -> list[Table]:
    """The tables of this section: first all rows of the models that are there at once, then those of ResNet-101."""
    cv2.setNumThreads(args.threads)
    first = _tables([model(name, work) for name in MODELS[:-1]], args.yolo, work, args)
    last = _tables([model(MODELS[-1], work)], [], work, args)
    rows = {table.title: table.rows for table in last}
    return [replace(table, rows=[*table.rows, *rows[table.title]]) for table in first]


def _tables(models: Sequence[Model], yolos: Sequence[Path], work: Path, args: argparse.Namespace) -> list[Table]:
    threads, turns = args.threads, args.turns
    found = contestants(models, yolos, threads)
    tables = [_latency(found, f"JPEG of {side} px", [jpeg(work, side)], turns) for side in SIDES]
    if film := dicom(work, LARGE):
        readers = {name: each for name, each in found.items() if each.dicom}
        tables.append(_latency(readers, f"12-bit DICOM of {LARGE} px", [film], max(3, turns // 3)))
    row = [jpeg(work, LARGE, number % 4) for number in range(ROW)]
    tables.append(_latency(found, f"{ROW} JPEGs of {LARGE} px in a row", row, max(3, turns // 4)))
    compared = [jpeg(work, LARGE, number) for number in range(COMPARED)]
    tables.append(_differences([each for each in models if each.title in ("hips", "ResNet-101")], threads, compared))
    return [*tables, _memory(models, yolos, jpeg(work, LARGE)), _stages(models, work, threads, turns)]


def contestants(models: Sequence[Model], yolos: Sequence[Path], threads: int) -> dict[str, Contestant]:
    """All contestants by name."""
    torch.set_num_threads(threads)
    found: dict[str, Contestant] = {}
    base = f"{yolos[0].stem}, onnxruntime" if yolos else ""
    for path in yolos:
        for runtime in available():
            if runtime != "openvino":  # as fast as onnxruntime
                found[f"{path.stem}, {runtime}"] = Contestant(_yolo(path, threads, runtime), base, dicom=False)
    for each in models:
        theirs = f"{each.title}, DetInferencer"
        own = theirs if each.title == "ResNet-101" or not base else base
        found[theirs] = Contestant(inferencer(each), own)
        for runtime in available():
            name = f"{each.title}, {runtime}"
            found[name] = Contestant(ours(each, threads, runtime), own)
            if runtime != "openvino":
                found[f"{name}, decoded whole"] = Contestant(ours(each, threads, runtime, whole=True), own)
    return found


def ours(model: Model, threads: int, name: str, whole: bool = False) -> Detect:
    """Our detector with one forward pass per film, like DetInferencer and YOLO."""
    runtime, precision = RUNTIMES[name]
    how: dict[str, Any] = dict(whole_films=whole, find_orientation=False, strict=True)
    detector = HipDetector(model.onnx, threads=threads, runtime=runtime, precision=precision, **how)
    return lambda films: [[roi.box for roi in film.rois] for film in detector(films)]


def inferencer(model: Model) -> Detect:
    """mmdet's DetInferencer."""
    detector: Any = DetInferencer(str(model.config), str(model.weights), show_progress=False)

    def run(films: Sequence[Path]) -> list[FilmBoxes]:
        found = detector([str(film) for film in films], no_save_vis=True, no_save_pred=True)
        return [film["bboxes"] for film in found["predictions"]]

    return run


def _yolo(path: Path, threads: int, name: str) -> Detect:
    yolo = Yolo(path, threads, *RUNTIMES[name])
    return lambda films: [yolo(film).tolist() for film in films]


def _latency(found: Mapping[str, Contestant], title: str, films: Sequence[Path], turns: int) -> Table:
    seconds = in_turns({name: partial(each.run, films) for name, each in found.items()}, turns, title)
    rows = []
    for name, values in seconds.items():
        base = found[name].base if found[name].base in seconds else name
        per_film, ratio = Spread.of(values / len(films)), against(seconds, [name], base)[name]
        rows.append([name, per_film.text(1e3), f"{1 / per_film.median:.1f}", ratio.text(digits=2), base])
    note = f"Milliseconds per film, median (5% .. 95%) of {turns} turns; file in the page cache, model loaded."
    return Table(title, note, ["detector", "ms per film", "films/s", "times as fast", "as"], rows)


def _differences(models: Sequence[Model], threads: int, films: Sequence[Path]) -> Table:
    """Boxes compared with those of DetInferencer with the same weights."""
    say(f"comparing boxes on {len(films)} films")
    rows = []
    for each in models:
        expected, side = inferencer(each)(films), OnnxModel(each.onnx).card.side
        for whole in (True, False):
            for runtime in available():
                apart = _apart(ours(each, threads, runtime, whole)(films), expected)
                square = apart * side / LARGE
                texts = [f"{value:.3f}" for value in (np.median(apart), apart.max(), np.median(square), square.max())]
                rows.append([f"{each.title}, {runtime}", "whole film" if whole else "1/2, 1/4 or 1/8", *texts])
    note = (
        f"The two best boxes of {len(films)} phantoms of {LARGE} px and those of DetInferencer, which reads whole films: "
        "largest difference of a coordinate, in pixels of the film and of the square that the network sees. Weights: the "
        "bundled ones of hips; ResNet-101 after 60 steps on phantoms, so that its boxes are sensitive to small differences."
    )
    columns = ["detector", "decoded", "film, median", "film, largest", "square, median", "square, largest"]
    return Table("Do the boxes agree?", note, columns, rows)


def _apart(boxes: Sequence[FilmBoxes], expected: Sequence[FilmBoxes]) -> NDArray[np.float64]:
    """For each of `boxes`, film by film: the largest coordinate difference from the nearest expected box."""
    return np.array(
        [np.abs(np.subtract(box, theirs)).max(axis=1).min() for found, theirs in zip(boxes, expected) for box in found]
    )


def _memory(models: Sequence[Model], yolos: Sequence[Path], film: Path) -> Table:
    say("memory of processes of their own")
    megabytes = {}
    for each in models:
        megabytes[f"{each.title}, onnxruntime"] = peak_memory("hipdet", film, each.onnx)
        megabytes[f"{each.title}, DetInferencer"] = peak_memory("inferencer", film, each.config, each.weights)
    megabytes |= {f"{path.stem}, onnxruntime": peak_memory("yolo", film, path) for path in yolos}
    note = "Peak resident memory of a process of its own, from its start, including interpreter and libraries."
    rows = [[name, str(count)] for name, count in megabytes.items()]
    return Table(f"Memory for one JPEG of {LARGE} px", note, ["detector", "MB"], rows)


def _stages(models: Sequence[Model], work: Path, threads: int, turns: int) -> Table:
    """Time of each step for a film, without the overlap of reading and network."""
    rows = []
    for each in models:
        detector = OnnxModel(each.onnx, threads)
        for side in SIDES:
            film = jpeg(work, side)
            enough = detector.at_least or side
            whole, reduced = read_radiograph(film), read_reduced(film, enough)
            steps: dict[str, Callable[[], object]] = {
                "whole": partial(read_radiograph, film),
                "whole to square": partial(detector.preprocess, whole),
                "reduced": partial(read_reduced, film, enough),
                "reduced to square": partial(detector.preprocess, reduced),
                "network": partial(detector.infer, detector.preprocess(reduced)),
            }
            texts = [
                f"{np.median(values) * 1e3:.1f}"
                for values in in_turns(steps, turns, f"{each.title}, steps of {side} px").values()
            ]
            rows.append([each.title, str(side), f"1/{reduced.step}", *texts])
    note = "Median milliseconds: decoding and shrinking the whole film; the reduced decoding that hipdet uses; the network."
    columns = ["model", "film, px", "decoded at", "whole", "to square", "reduced", "to square", "network"]
    return Table("Where the time goes", note, columns, rows)
