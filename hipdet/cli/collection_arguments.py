"""Arguments of the converters that bring films and label files together, and what they stand for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hipdet.collection.conversion import Output
from hipdet.collection.film_copies import Copies
from hipdet.collection.label_source import LabelSource, default_labels
from hipdet.collection.rules import Rules
from hipdet.errors import DatasetError
from hipdet.labels import FORMATS

# what a provenance file notes of a run: choices, but no paths
NOTED = (
    "classes",
    "rename",
    "rois",
    "min_side",
    "copies",
    "format",
    "origin",
    "rotated",
    "disagreement",
    "with_unfinished",
    "skip_faulty",
    "visits",
    "route",
    "phases",
    "crop",
    "patient_from",
)


def add_collection_arguments(parser: argparse.ArgumentParser, rois: int | None, min_side: int = 0) -> None:
    """Add them to the parser of one converter, whose films have `rois` ROIs and `min_side` px or more."""
    _add_labels(parser, rois, min_side)
    _add_output(parser)


def _add_labels(parser: argparse.ArgumentParser, rois: int | None, min_side: int) -> None:
    labels = parser.add_argument_group("labels")
    labels.add_argument(
        "--labels",
        nargs="+",
        default=[],
        metavar="[NAME=]PATH",
        help="label file or folder; several annotators as NAME=PATH each (default: ROOT/labels or ROOT/labels.*; folders in "
        "it and nothing else are one annotator each)",
    )
    labels.add_argument("--format", choices=list(FORMATS), help="of the labels (default: told from their content)")
    labels.add_argument("--origin", choices=["auto", "0", "1"], default="auto", help="of Pascal VOC (default: auto)")
    labels.add_argument(
        "--rotated", choices=["refuse", "enclose"], default="refuse", help="turned boxes (default: refuse)"
    )
    labels.add_argument("--rename", nargs="+", default=[], metavar="LABEL=CLASS", help="class of a label")
    labels.add_argument(
        "--disagreement",
        choices=["exclude", "first"],
        default="exclude",
        help="a film on which annotators disagree: exclude it or take the first's boxes (default: exclude)",
    )
    labels.add_argument(
        "--rois",
        type=_number_or_any,
        default=rois,
        metavar="N|any",
        help=f"ROIs that a film must have, else it is excluded, unless its annotator has checked that it has none (default: "
        f"{rois or 'any'})",
    )
    labels.add_argument(
        "--with-unfinished",
        action="store_true",
        help="take films that tools/annotate.py has as incomplete or unchecked too; they are excluded otherwise",
    )
    labels.add_argument(
        "--min-side",
        type=int,
        default=min_side,
        metavar="PX",
        help="exclude films whose long side is shorter (default: %(default)s)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("output")
    output.add_argument("--data-root", type=Path, help="what file names are relative to (default: ROOT)")
    output.add_argument("--out", type=Path, help="folder of the JSON files (default: DATA_ROOT/annotations)")
    output.add_argument(
        "--copies",
        type=_copies,
        metavar="upright|PX",
        help="write 8-bit PNG copies to DATA_ROOT/<source>_*: upright at full size, or shrunk to a long side of PX",
    )
    output.add_argument("--workers", type=_number, help="processes that write copies (default: one per core)")
    output.add_argument(
        "--skip-faulty",
        action="store_true",
        help="leave out films that can't be converted, with the reason, instead of refusing",
    )


def label_source(args: argparse.Namespace) -> LabelSource:
    """Where the labels are.

    Raises:
        DatasetError: they aren't found.
    """
    origin = args.origin if args.origin == "auto" else int(args.origin)
    options: dict[str, Any] = dict(format=args.format, origin=origin, rotated=args.rotated)
    return LabelSource(default_labels(args.root, args.labels), options)


def output(args: argparse.Namespace, near_duplicates: bool = False) -> Output:
    """What is written where."""
    data_root = args.data_root or (args.root if args.root.is_dir() else args.root.parent)
    copies = None
    if args.copies is not None:
        copies = Copies(data_root, None if args.copies == "upright" else int(args.copies), args.workers)
    return Output(data_root, args.out, copies, args.skip_faulty, near_duplicates)


def rules(args: argparse.Namespace, source: str, **options: Any) -> Rules:
    """The rules of the data set.

    Raises:
        DatasetError: arguments that contradict each other.
    """
    renames = dict(text.partition("=")[::2] for text in args.rename)
    wrong = [f"{old}={new}" for old, new in renames.items() if not old or not new]
    if wrong:
        raise DatasetError(f"--rename {wrong[0]}: expected LABEL=CLASS")
    return Rules(
        source,
        rename=renames,
        rois=args.rois,
        min_side=args.min_side,
        disagreement=args.disagreement,
        unfinished=args.with_unfinished,
        **options,
    )


def noted_options(args: argparse.Namespace) -> dict[str, Any]:
    """The choices of a run for its provenance file."""
    return {name: getattr(args, name) for name in NOTED if getattr(args, name, None) not in (None, [], False)}


def _number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1 up")
    return int(text)


def _number_or_any(text: str) -> int | None:
    if text == "any":
        return None
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1 up, or any")
    return int(text)


def _copies(text: str) -> str:
    if text != "upright" and not (text.isdigit() and 32 <= int(text) <= 4096):
        raise argparse.ArgumentTypeError(f"{text!r}: expected upright or a side from 32 to 4096 px")
    return text
