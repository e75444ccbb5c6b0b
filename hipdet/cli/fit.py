"""From films and labels to a detector: check, plan, cross-validate, train, export, and report, within a budget of minutes."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from hipdet.cli.main import class_name, command_parser, folds, whole_number
from hipdet.core.errors import ConfigError
from hipdet.data.collect import default_labels
from hipdet.data.formats.reader import FORMATS
from hipdet.workflows.fit import METRICS, REPORT, FitOptions, FitResult, run_fit
from hipdet.workflows.fit_data import KNOWN, DataOptions

EXAMPLES = """examples:
  hipdet fit films --labels knees.csv --out knees                       half an hour on two cores
  hipdet fit films --labels labels --out knees --plan-only              check the data, and plan
  hipdet fit films --labels A=one.json B=two.json --out knees           two readers: also how well they agree
  hipdet fit films --labels knees.csv --patients patients.csv --folds folds.csv --out knees --minutes 60
  hipdet fit films --labels knees.csv --out knees --test elsewhere --test-labels elsewhere.csv
  hipdet predict --model knees other_films

Labels: COCO, Pascal VOC, LabelMe, CVAT, Label Studio, VGG VIA, YOLO or CSV.  A film that is labelled without a box of a class
lacks it, unless --absent unknown; a film that no label names is left out, unless --unlabelled negative.  Everything is
planned from sizes and counts, never from scores.  If interrupted, run it again: it continues.

Writes to --out: model.onnx, config.py, report.html, metrics.json, out_of_fold.json (ROIs on every film by a model that wasn't
trained on it, as predictions.json) and their crops/; data/ and trainings/.  With other films or labels it trains from the
start, and compares with the metrics before.  Exit status: 0; 2 if it can't run, or if the minutes don't suffice.
"""


def minutes(text: str) -> float:
    """Parse a number of minutes, above 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected minutes, such as 30")
    return value


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("fit", __doc__, EXAMPLES)
    add = parser.add_argument
    add("films", type=Path, metavar="FILMS", help="folder of films, with all subfolders")
    add(
        "--labels", nargs="+", required=True, metavar="[NAME=]PATH",
        help="label file or folder, NAME=PATH for each of several readers",
    )  # fmt: skip
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder for everything that is written")
    add("--format", choices=list(FORMATS), help="format of the labels (default: detected from their content)")
    add(
        "--classes", nargs="+", type=class_name, default=[], metavar="CLASS",
        help="class names in order (default: those of the labels)",
    )  # fmt: skip
    add(
        "--patients", metavar="FILE|COLUMN|REGEX|folder|film",
        help="CSV table image,patient; a column of the labels; a regular expression whose group finds the patient in the "
        "film's name; or that each folder, or each film, is of another patient (default: the labels' column patient, or "
        "DICOM tags; else near duplicates are kept together)",
    )  # fmt: skip
    add(
        "--folds", type=folds, metavar="FILE|N",
        help="CSV table image,fold, or number of folds (default: 5, or 3 where 5 don't fit into the minutes)",
    )  # fmt: skip
    add(
        "--ignore", type=Path, metavar="FILE",
        help="CSV table image,x,y,side (or x,y,w,h) of boxes that are neither ROI nor background, such as ROIs that the "
        "film's edge cuts",
    )  # fmt: skip
    add("--exclude", type=Path, metavar="FILE", help="CSV table film,reason of films to leave out")
    add("--absent", choices=[KNOWN, "unknown"], default=KNOWN, help="whether a film lacks what isn't labelled on it")
    add(
        "--unlabelled", choices=["leave-out", "negative"], default="leave-out",
        help="what to do with films that no label names: leave them out, or take them as films without ROI",
    )  # fmt: skip
    add(
        "--skip-faulty",
        action="store_true",
        help="leave out films that can't be used, and list them, instead of stopping",
    )
    add("--codes", type=Path, metavar="FILE", help="JSON: codes by class, for the reports of hipdet predict --dicom-sr")
    add("--minutes", type=minutes, default=30.0, help="minutes for everything")
    add("--over-budget", action="store_true", help="take more minutes if the fewest trainings need more")
    cores = min(2, os.cpu_count() or 1)
    add("--jobs", type=whole_number(1), default=cores, metavar="N", help="trainings in parallel, which share the cores")
    add("--plan-only", action="store_true", help="stop after the plan")
    add("--test", type=Path, metavar="FILMS", help="folder of films from elsewhere, to test the model on")
    add("--test-labels", type=Path, metavar="PATH", help="their labels (default: only find the ROIs)")
    add("--seed", type=whole_number(0), default=0, metavar="N", help="seed of the folds and of every training")
    add("--cfg-options", nargs="+", action=DictAction, default={}, help=argparse.SUPPRESS)
    add("--steps", type=whole_number(1), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def build_options(args: argparse.Namespace) -> FitOptions:
    """What is asked for, from the arguments.

    Raises:
        ConfigError: arguments that contradict each other.
    """
    if isinstance(args.folds, int) and args.folds < 2:
        raise ConfigError(f"--folds {args.folds}: expected 2 folds or more, or a table image,fold")
    if args.test_labels is not None and args.test is None:
        raise ConfigError("--test-labels needs --test, the folder of their films")
    data = DataOptions(
        films=args.films,
        labels=default_labels(args.films, args.labels),
        format=args.format,
        classes=tuple(args.classes),
        patients=args.patients,
        folds=args.folds,
        absent=args.absent,
        negative=args.unlabelled == "negative",
        seed=args.seed,
        skip_faulty=args.skip_faulty,
        ignore=args.ignore,
        exclude=args.exclude,
    )
    return FitOptions(
        data,
        args.out,
        args.minutes,
        args.jobs,
        args.over_budget,
        args.test,
        args.test_labels,
        args.cfg_options,
        args.steps,
        args.codes,
    )


def summary(result: FitResult) -> str:
    """The metrics in a few lines."""
    found = result.metrics["out_of_fold"]
    low, high = found["avg_iou_interval"]
    false = "unknown" if found["false_per_film"] is None else f"{found['false_per_film']:.2f}"
    lines = [
        f"out of fold, {found['films']} films, {found['num_rois']:.0f} ROIs: average IoU {found['avg_iou']:.3f} "
        f"[{low:.3f}, {high:.3f}], acc50 {found['acc50']:.3f}, lowest IoU {found['min_iou']:.3f}, "
        f"{false} false ROIs a film"
    ]
    classes = [each for each in found["classes"].items() if len(found["classes"]) > 1 and each[1]["num_rois"]]
    lines += [f"  {name}: average IoU {each['avg_iou']:.3f}, acc50 {each['acc50']:.3f}" for name, each in classes]
    if half := result.metrics["half"]:
        lines.append(f"with half of the films {half['other_avg_iou']:.3f}, on the same films {half['avg_iou']:.3f}")
    if before := result.metrics.get("before"):
        lines.append(f"before, with {before['films']} films: average IoU {before['avg_iou']:.3f}")
    if doubted := result.metrics["doubted"]:
        lines.append(f"{len(doubted)} labels are doubted, see the report")
    lines.append(
        f"written to {result.out}: model.onnx, {METRICS}, {REPORT}; next: hipdet predict --model {result.out} FILMS"
    )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit, and print what came out."""
    args = _parse_arguments(argv)
    result = run_fit(build_options(args), args.plan_only)
    print(f"planned: {args.out}" if result is None else summary(result))
