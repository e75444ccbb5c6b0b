"""Crop the ROIs from their films: squares or boxes for a second stage, with a table of their windows."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from hipdet.cli.main import USER_ERROR, command_parser, printable
from hipdet.cli.merge import results_at
from hipdet.core.errors import ConfigError, DatasetError, RadiographError
from hipdet.core.files import film_below, write_csv
from hipdet.core.records import Record, read_json
from hipdet.inference.crops import (
    COLUMNS,
    MANIFEST,
    CropSettings,
    RoiCrop,
    crops_by_film,
    manifest_row,
    strangers,
    write_crops,
)
from hipdet.inference.film_list import read_ahead

SOME_UNREADABLE = 1
THREADS = 2

EXAMPLES = """examples:
  hipdet crop predictions/predictions.json --data-root films --out crops
  hipdet crop predictions/predictions.json --data-root films --size 512 --depth 16 --margin 0.3
  hipdet crop predictions/predictions.json --data-root films --tight       long ROIs, without what is beside them
  hipdet crop predictions/shard-*-of-64 --data-root archive                of all shards; so does the folder predictions

Writes <film>_<class>[_<side>][_<n>].png to --out, and manifest.csv with the window of each crop in pixels of its film.  The
side is the PATIENT's left or right (on an AP film, the patient's left is on the right of the picture), omitted if unknown; n
numbers crops of the same name, best first.  Films that hipdet predict rotated or inverted are rotated or inverted here, too,
unless --as-stored.  An ROI at the edge of its film is a box without what is beyond the edge, and the crop is centred on that.
If interrupted, run it again: it continues.  Exit status: 0; 1 if some films can't be read; 2 if none can; 3 if the disk is
full or the folder read-only.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("crop", __doc__, EXAMPLES)
    add = parser.add_argument
    add("predictions", nargs="+", type=Path, metavar="PATH", help="predictions.json, its folder, or folders of shards")
    add("--data-root", type=Path, required=True, metavar="FOLDER", help="folder that film names start from")
    add("--out", type=Path, default=Path("crops"), metavar="FOLDER", help="output folder")
    add("--tight", action="store_true", help="crop the box of the ROI itself (default: a square)")
    add(
        "--margin", type=float, metavar="SIDES",
        help="margin at every edge, in longer sides of the ROI (default: 0.2); with --tight in its widths and heights "
        "(default: 0)",
    )  # fmt: skip
    add("--size", type=int, metavar="PX", help="longer side of every crop in pixels (default: the film's resolution)")
    add("--depth", type=int, choices=(8, 16), default=8, help="bits per pixel")
    add(
        "--candidates",
        action="store_true",
        help="crop candidates, too: detections that score less than the model's limit",
    )
    add("--as-stored", action="store_true", help="don't rotate or invert crops of rotated or inverted films")
    return parser.parse_args(argv)


def build_crop_settings(args: argparse.Namespace) -> CropSettings:
    """Settings of the crops, from the arguments.

    Raises:
        ConfigError: a margin or size out of range, or crops among the films.
    """
    margin = (0.0 if args.tight else CropSettings.margin) if args.margin is None else args.margin
    if not 0 <= margin <= 5:
        raise ConfigError(f"--margin {margin}: expected 0 to 5 sides of the ROI")
    if args.size is not None and not 1 <= args.size <= 8192:
        raise ConfigError(f"--size {args.size}: expected 1 to 8192 pixels")
    out, films = Path(os.path.realpath(args.out)), Path(os.path.realpath(args.data_root))
    if out == films or out in films.parents:
        raise ConfigError(
            f"--out {args.out}: is the folder of the films or one above it, whose films would pass for crops: choose another"
        )
    return CropSettings(margin, args.size, args.depth, args.as_stored, args.tight)


def _explain_no_rois(predictions: Path) -> None:
    """Say why there is nothing to crop.

    Raises:
        DatasetError: films.json beside the predictions says that no film was read.
    """
    films = predictions.with_name("films.json")
    if films.is_file():
        coco = Record.of(read_json(films, "films.json of hipdet predict"), films, remedy="predict the films again")
        if not coco.items("images"):
            raise DatasetError(
                f"{predictions}: hipdet predict could read no film (by films.json): review.csv beside it says why"
            )
    why = "review.csv beside it has the films without ROIs, and those not read; --candidates crops what may be one"
    print(printable(f"{predictions}: no ROI, so no crop: {why}"))


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
    merged, predictions = results_at(args.predictions), args.predictions[0]
    if merged is None and len(args.predictions) > 1:
        raise ConfigError(f"{args.predictions[1]}: expected one predictions.json, or folders of shards")
    if merged is None and predictions.is_dir():
        predictions /= "predictions.json"
    films = crops_by_film(predictions, settings, args.candidates, None if merged is None else merged.rows())
    manifest = args.out / MANIFEST
    if not films:
        _explain_no_rois(predictions)
    if not manifest.exists():  # with it, the folder isn't taken for one of films, even if this run is killed
        write_csv(manifest, [COLUMNS])
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
        write_csv(manifest, [COLUMNS, *rows])
    for error in unreadable:
        print(printable(str(error)), file=sys.stderr)
    if old := strangers(args.out, films):
        print(
            printable(
                f"warning: {len(old)} crops in {args.out} aren't of these predictions, such as {old[0]}: an earlier call or "
                f"version made them, and manifest.csv doesn't list them; remove them if they aren't needed"
            ),
            file=sys.stderr,
        )
    print(printable(f"{len(rows)} crops of {len(written)} films: {args.out}, table: {manifest}"))
    if unreadable:
        sys.exit(SOME_UNREADABLE if written else USER_ERROR)
