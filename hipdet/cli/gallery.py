"""Draw the films of a test or of predictions, the worst first: yellow = label, red = detection, with IoU and score."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hipdet.cli.arguments import add_picture_arguments, draw, listed
from hipdet.cli.errors import reports_errors
from hipdet.core.errors import DatasetError
from hipdet.data.film_status import counted, left_out
from hipdet.data.validate.check import validate
from hipdet.visualization.film_pictures import (
    evaluated_films,
    is_table,
    predicted_films,
    read_predictions,
    read_roi_table,
)
from hipdet.visualization.tiles import PicturedFilm, below, worst_first

FILMS = "films.json"
EXAMPLES = """examples:
  hipdet gallery work_dirs/hip_ssd_exp3/test.roi.json --data-root data                     the 24 worst films
  hipdet gallery work_dirs/hip_ssd_exp3/test.roi.json --data-root data --films 0           all films, 48 on a sheet
  hipdet gallery work_dirs/hip_ssd_exp3/test.roi.json --data-root data --below 0.5         films with an ROI below 0.5
  hipdet gallery cv/base/fold*/test/test.roi.json --data-root FracAtlas --html --out worst.html
  hipdet gallery predictions/predictions.json --data-root films --html        of hipdet predict: lowest score first
  hipdet gallery predictions.json --ann data/annotations/gis.json --data-root data --by-source

Beside a label stands IoU (score) of the detection it was matched with one to one, or "not found"; "extra" is a detection
without a label.  The page of --html is one file without a link to anything else; it sorts, filters and enlarges.
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="hipdet gallery",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULTS.json",
        help="test.roi.json of hipdet test, or predictions in COCO results form",
    )  # fmt: skip
    parser.add_argument(
        "--ann",
        type=Path,
        help="COCO file of the predictions' films; its labels are compared with (default: films.json beside)",
    )
    parser.add_argument("--rois", type=int, default=2, help="detections of a film to draw, 0 for all (default: 2)")
    parser.add_argument("--below", type=float, metavar="IOU", help="only films with an ROI whose IoU is below this")
    add_picture_arguments(parser, "gallery.png or gallery.html beside the first file")
    return parser.parse_args(argv)


def read_films(path: Path, ann: Path | None, rois: int) -> list[PicturedFilm]:
    """The films of one file of results.

    Raises:
        DatasetError: a file of another kind, or a faulty COCO file.
    """
    if is_table(path):
        return list(evaluated_films(read_roi_table(path)).values())
    beside = path.with_name(FILMS)
    ann = ann or (beside if beside.is_file() else None)
    coco = None if ann is None else read_annotations(ann)
    if coco and (reasons := [reason for image in coco["images"] if (reason := left_out(image))]):
        print(f"{ann}: {len(reasons)} films are drawn without their labels: {counted(reasons)}")
    return predicted_films(read_predictions(path), coco, rois)


def read_annotations(path: Path) -> dict:
    """A COCO file that may lack labels.

    Raises:
        DatasetError: with its faults.
    """
    coco, faults = validate(path)
    if errors := [fault for fault in faults if not fault.warning and fault.kind != "no-boxes"]:
        raise DatasetError(f"{path}: {len(errors)} faults; hipdet validate shows them; the first: {errors[0]}")
    return coco


@reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    """Run it."""
    args = parse_arguments(argv)
    films = [film for path in args.results for film in read_films(path, args.ann, args.rois)]
    drawn = worst_first(films)
    if args.below is not None:
        drawn = below(drawn, args.below)
        if not drawn:
            print(f"no film of {len(films)} has an ROI with IoU below {args.below}: nothing to draw")
            return
    title = f"{', '.join(dict.fromkeys(path.name for path in args.results))}: {len(drawn)} films, the worst first"
    written = draw(args, drawn, args.results[0].with_name("gallery"), title)
    print(f"{listed(written)}: {title} (yellow = label, red = detection)")
