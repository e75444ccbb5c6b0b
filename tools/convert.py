#!/usr/bin/env python3
"""Turn a data set's released films and its table of hips into COCO files for training and testing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hipdet.cli.errors import reports_errors
from hipdet.coco import SPLIT_BY, Film, summarize
from hipdet.converters import convert_fracatlas, convert_phantoms

EXAMPLES = """examples:
  tools/convert.py fracatlas data/FracAtlas --folds 3
  tools/convert.py phantom data/phantoms --val-fraction 0.1

ROOT/annotations holds the files if --out is not given.
Prints per file: films, ROIs, patients, ratio_ROI/image, and the long side of the films in pixels.
"""


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{fracatlas,phantom}")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("root", type=Path, metavar="ROOT", help="folder of the data set")
    shared.add_argument("--out", type=Path, help="folder for the JSON files (default: ROOT/annotations)")
    shared.add_argument("--seed", type=int, default=0, help="of the split (default: %(default)s)")
    fracatlas = _command(commands, shared, "fracatlas", "the released FracAtlas folder")
    fracatlas.add_argument(
        "--table",
        type=Path,
        help="table of hips (default: ROOT/hips.csv, else that of 100 films which comes with hipdet)",
    )
    fracatlas.add_argument("--folds", type=int, default=5, help="of the cross-validation (default: %(default)s)")
    phantom = _command(commands, shared, "phantom", "synthetic films: ROOT/<cgoa|oaih|gis>/{images,hips.csv}")
    phantom.add_argument("--val-fraction", type=float, default=0.1, help="part for validation (default: %(default)s)")
    phantom.add_argument(
        "--split",
        choices=SPLIT_BY,
        default="patient",
        help="films of a patient stay together, or film by film as in the paper, which leaks (default: %(default)s)",
    )
    return parser.parse_args()


def _command(commands: Any, shared: argparse.ArgumentParser, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        parents=[shared],
        help=text,
        description=text,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def table(written: Mapping[Path, Sequence[Film]]) -> str:
    """One line per written file."""
    width = max(len(path.name) for path in written)
    head = f"{'file':{width}}  films   ROIs  patients  ratio min/median/max     px max    min  median    mean   s.d."
    lines = [head]
    for path, films in written.items():
        s = summarize(films)
        ratio = f"{s.ratio.minimum:.3f} / {s.ratio.median:.3f} / {s.ratio.maximum:.3f}"
        px = s.long_side
        sizes = f"{px.maximum:9.0f} {px.minimum:6.0f} {px.median:7.0f} {px.mean:7.1f} {px.sd:6.1f}"
        lines.append(f"{path.name:{width}}  {s.films:5}  {s.rois:5}  {s.patients:8}  {ratio}  {sizes}")
    return "\n".join(lines)


@reports_errors
def main() -> None:
    """Convert and print what was written."""
    args = parse_args()
    if args.command == "fracatlas":
        written = convert_fracatlas(args.root, args.table, args.out, args.folds, args.seed)
    else:
        written = convert_phantoms(args.root, args.out, args.val_fraction, args.seed, args.split)
    print(table(written))
    films = set().union(*written.values())
    cut = sum(not roi.is_square for film in films for roi in film.rois)
    if cut:
        print(f"{cut} boxes reached over the edge of their film and were clipped to it")
    print(f"written to {next(iter(written)).parent}")


if __name__ == "__main__":
    main()
