#!/usr/bin/env python3
"""Time networks with their decoding in onnxruntime, side by side in one run, as ratios to the first."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hipdet  # noqa: F401, I001  (before mmdet: makes mmcv-lite usable)
import numpy as np
import onnxruntime
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from hipdet.cli.config_file import read_config
from hipdet.cli.errors import reports_errors
from hipdet.export import DetectorGraph, write_onnx

EXAMPLES = """examples:
  yolo/bin/yolo export model=yolo11n.yaml format=onnx imgsz=320      in an environment of its own, with ultralytics
  benchmarks/onnx_speed.py yolo11n.onnx configs/hip_roi_small.py configs/hip_roi_medium.py --threads 1 2

Times don't depend on the weights, which are random.  YOLO's suppression isn't in its file, hipdet's is.
"""
TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


def build_onnx(path: Path, folder: Path) -> Path:
    """The ONNX file of a config, or `path` if it is one already."""
    if path.suffix == ".onnx":
        return path
    cfg: Config = read_config(str(path))
    init_default_scope("mmdet")
    for part in [cfg.model.backbone, cfg.model.get("refiner", {}).get("backbone", {})]:
        part.pop("init_cfg", None)
    graph = DetectorGraph(MODELS.build(cfg.model), cfg.image_size[0])
    write_onnx(graph, folder / f"{path.stem}.onnx")
    return folder / f"{path.stem}.onnx"


def open_session(path: Path, threads: int) -> tuple[onnxruntime.InferenceSession, dict[str, np.ndarray]]:
    """A session and an input for it: noise."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    inputs = {each.name: (generator.random(each.shape) * 255).astype(TYPES[each.type]) for each in session.get_inputs()}
    return session, inputs


def measure(files: list[Path], threads: int, repeats: int) -> np.ndarray:
    """Seconds ``[files, repeats]``, file after file in every repeat; the first repeats, a tenth, warm up."""
    sessions = [open_session(path, threads) for path in files]
    warm = max(2, repeats // 10)
    seconds = np.zeros((len(files), warm + repeats))
    for turn in range(warm + repeats):
        for number, (session, inputs) in enumerate(sessions):
            start = time.perf_counter()
            session.run(None, inputs)
            seconds[number, turn] = time.perf_counter() - start
    return seconds[:, warm:]


@reports_errors
def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path, help="configs, or .onnx files; ratios are to the first")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="(default: 1 2)")
    parser.add_argument("--repeats", type=int, default=100, help="(default: %(default)s)")
    args = parser.parse_args()
    print(f"onnxruntime {onnxruntime.__version__}, {args.repeats} runs each, in turns")
    print(f"{'model':28} {'threads':>7} {'median ms':>9} {'5..95%':>14} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        files = [build_onnx(path, Path(folder)) for path in args.models]
        for threads in args.threads:
            seconds = measure(files, threads, args.repeats)
            middle = np.median(seconds, axis=1)
            low, high = np.quantile(seconds, [0.05, 0.95], axis=1) * 1e3
            for number, path in enumerate(args.models):
                spread = f"{low[number]:.1f} .. {high[number]:.1f}"
                ratio = middle[number] / middle[0]
                print(f"{path.stem:28} {threads:7} {middle[number] * 1e3:9.1f} {spread:>14} {ratio:6.2f}")


if __name__ == "__main__":
    main()
