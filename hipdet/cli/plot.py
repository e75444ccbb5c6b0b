"""Plot results of tests and trainings: distribution of IoU, IoU by ROI size, calibration of the score, learning curves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hipdet.cli.main import command_parser
from hipdet.core.errors import DatasetError
from hipdet.data.validate.check import require_valid
from hipdet.evaluation.metrics import calibration
from hipdet.visualization.plot_data import find_runs, read_log, read_rois
from hipdet.visualization.plots import write_calibration, write_iou_by_ratio, write_iou_histogram, write_learning_curves

EXAMPLES = """examples:
  hipdet plot iou work_dirs/hip_ssd_exp3/test.roi.json                          distribution of IoU over ROIs
  hipdet plot iou base=cv/base small=cv/small                                   two variants, side by side
  hipdet plot ratio cv/base --ann FracAtlas/annotations/hips.json               IoU by ratio_ROI/image
  hipdet plot calibration cv/base cv/small --out calibration.png                does the score predict IoU?
  hipdet plot learning work_dirs/hip_ssd_exp3                                   loss, learning rate and validation by epoch
  hipdet plot learning cv/base                                                  one curve per fold

An input is PATH or NAME=PATH.  All test.roi.json below a folder are pooled; learning draws a curve per work dir.
"""
KINDS = ("iou", "ratio", "calibration", "learning")


def named_paths(inputs: Sequence[str]) -> dict[str, Path]:
    """Paths by name; a path without a name gets the part in which it differs from the others.

    Raises:
        DatasetError: a path that doesn't exist, or a name that is used twice.
    """
    pairs: list[tuple[str, Path]] = []
    for text in inputs:
        name, sign, rest = text.partition("=")
        pair = (name, Path(rest)) if sign and not Path(text).exists() else ("", Path(text))
        if not pair[1].exists():
            raise DatasetError(f"{text}: no such file or folder")
        pairs.append(pair)
    folders = [path.resolve() if path.is_dir() else path.resolve().parent for _, path in pairs]
    common = os.path.commonpath([folder.parent if len(set(folders)) == 1 else folder for folder in folders])
    named: dict[str, Path] = {}
    for (given, path), folder in zip(pairs, folders):
        name = given or os.path.relpath(folder, common)
        if name in named:
            raise DatasetError(
                f"{named[name]} and {path} are both called {name}: name them, as in a={named[name]} b={path}"
            )
        named[name] = path
    return named


def long_sides(files: Sequence[Path]) -> dict[str, int]:
    """Long sides of films in pixels, by film name.

    Raises:
        DatasetError: no file, or a faulty one.
    """
    if not files:
        raise DatasetError("ratio needs the sizes of the films: give their COCO files with --ann")
    sides: dict[str, int] = {}
    for path in files:
        images = require_valid(path)["images"]
        sides.update({image["file_name"]: max(image["width"], image["height"]) for image in images})
    return sides


def write_plot(kind: str, inputs: dict[str, Path], ann: Sequence[Path], out: Path) -> None:
    """Write one plot of `kind` to `out`."""
    if kind == "learning":
        runs = {name: find_runs(path) for name, path in inputs.items()}
        logs = {
            name if len(found) == 1 else f"{name}/{run.name}": read_log(run)
            for name, found in runs.items()
            for run in found
        }
        write_learning_curves(out, logs)
        return
    sides = long_sides(ann) if kind == "ratio" else None
    series = {name: read_rois(path, sides) for name, path in inputs.items()}
    if kind == "calibration":
        write_calibration(out, {name: calibration(rois.iou, rois.score) for name, rois in series.items()})
    else:
        {"iou": write_iou_histogram, "ratio": write_iou_by_ratio}[kind](out, series)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the plot and print its path."""
    parser = command_parser("plot", __doc__, EXAMPLES)
    add = parser.add_argument
    add("kind", choices=KINDS, help="what to plot")
    add("inputs", nargs="+", metavar="[NAME=]PATH", help="test.roi.json, a folder of them, or a work dir")
    add("--ann", nargs="+", type=Path, default=[], metavar="ANN.json", help="COCO files with film sizes, for ratio")
    add("--out", type=Path, metavar="FILE", help="PNG file to write (default: iou.png and so on)")
    args = parser.parse_args(argv)
    out = args.out or Path(f"{args.kind}.png")
    if out.suffix.lower() != ".png":
        raise DatasetError(f"--out {out}: expected a name that ends in .png")
    write_plot(args.kind, named_paths(args.inputs), args.ann, out)
    print(f"written: {out}")
