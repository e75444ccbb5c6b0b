"""Crop the ROIs from their films: square crops for a second stage, with a table of their windows."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from hipdet.cli.main import USER_ERROR, command_parser
from hipdet.core.errors import ConfigError, RadiographError
from hipdet.core.files import film_below, write_csv
from hipdet.inference.crops import COLUMNS, CropSettings, RoiCrop, crops_by_film, manifest_row, strangers, write_crops
from hipdet.inference.film_list import read_ahead

SOME_UNREADABLE = 1
THREADS = 2

EXAMPLES = """examples:
  hipdet crop predictions/predictions.json --data-root films --out crops
  hipdet crop predictions/predictions.json --data-root films --size 512 --depth 16 --margin 0.3

Writes <film>_<class>[_<side>][_<n>].png to --out, and manifest.csv with the window of each crop in pixels of its film.  The
side is the PATIENT's left or right (on an AP film, the patient's left is on the right of the picture), omitted if unknown; n
numbers crops of the same name, best first.  Films that hipdet predict rotated or inverted are rotated or inverted here, too,
unless --as-stored.  If interrupted, run it again: it continues.  Exit status: 0; 1 if some films can't be read; 2 if none
can.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("crop", __doc__, EXAMPLES)
    add = parser.add_argument
    add("predictions", type=Path, metavar="PREDICTIONS.json", help="predictions.json of hipdet predict")
    add("--data-root", type=Path, required=True, metavar="FOLDER", help="folder that film names start from")
    add("--out", type=Path, default=Path("crops"), metavar="FOLDER", help="output folder")
    add("--margin", type=float, default=0.2, metavar="SIDES", help="margin at every edge, in sides of the ROI")
    add("--size", type=int, metavar="PX", help="side of every crop in pixels (default: the resolution of the film)")
    add("--depth", type=int, choices=(8, 16), default=8, help="bits per pixel")
    add("--as-stored", action="store_true", help="don't rotate or invert crops of rotated or inverted films")
    return parser.parse_args(argv)


def build_crop_settings(args: argparse.Namespace) -> CropSettings:
    """Settings of the crops, from the arguments.

    Raises:
        ConfigError: a margin or size out of range.
    """
    if not 0 <= args.margin <= 5:
        raise ConfigError(f"--margin {args.margin}: expected 0 to 5 sides of the ROI")
    if args.size is not None and not 1 <= args.size <= 8192:
        raise ConfigError(f"--size {args.size}: expected 1 to 8192 pixels")
    return CropSettings(args.margin, args.size, args.depth, args.as_stored)


def _write(item: tuple[str, list[RoiCrop]], root: Path, out: Path, settings: CropSettings) -> RadiographError | None:
    film, crops = item
    try:
        write_crops(film_below(root, film, "predictions"), crops, out, settings)
    except RadiographError as error:
        return RadiographError(error.reason, film)
    return None


def main(argv: Sequence[str] | None = None) -> None:
    """Write the crops and their table."""
    args = _parse_arguments(argv)
    settings = build_crop_settings(args)
    films = crops_by_film(args.predictions, settings)
    work = partial(_write, root=args.data_root, out=args.out, settings=settings)
    written: list[str] = []
    unreadable: list[RadiographError] = []
    try:
        results = tqdm(
            read_ahead(work, films.items(), THREADS), total=len(films), desc="crops", unit="film", disable=None
        )
        for film, error in zip(films, results):
            if error is None:
                written.append(film)
            else:
                unreadable.append(error)
    finally:  # also after an interruption
        rows = [manifest_row(film, crop, settings) for film in written for crop in films[film]]
        write_csv(args.out / "manifest.csv", [COLUMNS, *rows])
    for error in unreadable:
        print(error, file=sys.stderr)
    if old := strangers(args.out, films):
        print(
            f"warning: {len(old)} crops in {args.out} aren't of these predictions, such as {old[0]}: an earlier call or "
            f"version made them, and manifest.csv doesn't list them; remove them if they aren't needed",
            file=sys.stderr,
        )
    print(f"{len(rows)} crops of {len(written)} films: {args.out}, table: {args.out / 'manifest.csv'}")
    if unreadable:
        sys.exit(SOME_UNREADABLE if written else USER_ERROR)
