"""Draw the films of a test or of predictions, the worst first: yellow = label, red = detection, with IoU and score."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hipdet.cli.main import command_parser, printable, whole_number
from hipdet.cli.merge import results_at
from hipdet.core.configs import default_root
from hipdet.core.errors import DatasetError
from hipdet.core.records import read_json
from hipdet.data.film_status import counted, left_out
from hipdet.data.validate.check import validate
from hipdet.evaluation.report import read_roi_table
from hipdet.visualization.film_pictures import PICTURED, evaluated_films, predicted_films, read_predictions
from hipdet.visualization.html_page import write_page
from hipdet.visualization.sheets import write_sheets
from hipdet.visualization.tiles import PicturedFilm, below, by_source, named, worst_first

SHEET_FILMS = 24
MOST_LISTED = 4
EXAMPLES = """examples:
  hipdet gallery work_dirs/hip_ssd_exp3/test.roi.json --data-root data                     the 24 worst films
  hipdet gallery work_dirs/hip_ssd_exp3/test.roi.json --data-root data --films 0           all films, 48 on a sheet
  hipdet gallery work_dirs/hip_ssd_exp3/test.roi.json --data-root data --below 0.5         films with an ROI below 0.5
  hipdet gallery cv/base/fold*/test/test.roi.json --data-root FracAtlas --html --out worst.html
  hipdet gallery predictions/predictions.json --data-root films --html        of hipdet predict, lowest score first
  hipdet gallery predictions/shard-*-of-64 --data-root archive --html         of all shards; so does the folder predictions
  hipdet gallery predictions.json --ann data/annotations/gis.json --data-root data --by-source

Labels are marked with IoU (score) of the detection that was matched one to one, or "not found"; "extra" is a detection
without a label.  The page of --html is one self-contained file; it sorts, filters and enlarges.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("gallery", __doc__, EXAMPLES)
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RESULTS", help="test.roi.json, COCO results, or folders of shards")
    add(
        "--ann", type=Path, metavar="ANN.json",
        help="COCO file with the films and labels of predictions (default: films.json beside the predictions)",
    )  # fmt: skip
    rois = whole_number(0, "a number of detections, or 0 for all")
    add("--rois", type=rois, default=2, metavar="N", help="detections to draw per film, 0 for all")
    add("--below", type=float, metavar="IOU", help="only films with an ROI below this IoU")
    add_picture_arguments(parser, "gallery.png or gallery.html beside the first file")
    return parser.parse_args(argv)


def add_picture_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the arguments that commands share that draw films; `out` describes the default output file."""
    add = parser.add_argument
    add("--data-root", metavar="FOLDER", help="folder that film names start from (default: $HIPDET_DATA, else data)")
    add("--out", type=Path, metavar="FILE", help=f"file to write (default: {out}); several sheets are numbered")
    add("--html", action="store_true", help="write one HTML page with filters and sorting instead of PNG sheets")
    add(
        "--films", type=whole_number(0, "a number of films, or 0 for all"), metavar="N",
        help=f"films to draw, per data set with --by-source; 0 for all (default: {SHEET_FILMS}, with --html all)",
    )  # fmt: skip
    add("--names", nargs="+", default=[], metavar="PART", help="only films with one of these parts in their names")
    add("--by-source", action="store_true", help="give each data set its own sheets, or its own heading of the page")
    columns = whole_number(1, "a number from 1 up")
    add("--columns", type=columns, default=6, metavar="N", help="films per row of a sheet")
    side = whole_number(64, "pixels from 64 to 4096", 4096)
    add("--side", type=side, default=320, metavar="PX", help="long side of a drawn film in pixels")


def image_root(args: argparse.Namespace) -> Path:
    """The folder that film names start from.

    Raises:
        DatasetError: no such folder.
    """
    root = Path(args.data_root or default_root())
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder of films: say where they are with --data-root")
    return root


def out_file(args: argparse.Namespace, beside: Path) -> Path:
    """The file to write: ``--out``, or `beside` with the suffix for pictures or pages.

    Raises:
        DatasetError: a name with another suffix.
    """
    suffix = ".html" if args.html else ".png"
    out: Path = args.out or beside.with_name(beside.name + suffix)
    if out.suffix.lower() != suffix:
        raise DatasetError(f"--out {out}: expected a name that ends in {suffix}")
    return out


def limited(args: argparse.Namespace, films: Sequence[PicturedFilm], most: int) -> Sequence[PicturedFilm]:
    """The first films, as many as ``--films`` says (0 for all), by default `most`."""
    return films[: (most if args.films is None else args.films) or None]


def write_pictures(
    args: argparse.Namespace, films: Sequence[PicturedFilm], beside: Path, title: str, strict: bool = True
) -> str:
    """Choose films by the arguments and draw them; returns the files written, for a message.

    Args:
        args: Arguments of :func:`add_picture_arguments`.
        films: Films in the order to draw them.
        beside: File to write, without its suffix, unless ``--out`` says otherwise.
        title: Title of the sheets or the page.
        strict: Whether a film that can't be read is an error.

    Raises:
        DatasetError: nothing to draw, or a name that no film has.
        RadiographError: a film that can't be read.
    """
    root, out = image_root(args), out_file(args, beside)
    films = named(films, args.names) if args.names else films
    groups = by_source(films) if args.by_source else {"": films}
    groups = {source: limited(args, group, 0 if args.html else SHEET_FILMS) for source, group in groups.items()}
    if args.html:
        drawn = [film for group in groups.values() for film in group]
        write_page(drawn, root, out, title, args.side, strict, args.by_source)
        return str(out)
    written: list[Path] = []
    for source, path in _outs(groups, out).items():
        heading = f"{title}, {source or 'no data set'}" if args.by_source else title
        written += write_sheets(groups[source], root, path, heading, args.columns, args.side, strict)
    return listed(written)


def listed(written: Sequence[Path]) -> str:
    """The files for a message, shortened if there are many."""
    names = [str(path) for path in written]
    return ", ".join(names) if len(names) <= MOST_LISTED else f"{names[0]} to {names[-1]}, {len(names)} sheets"


def _outs(groups: Mapping[str, Sequence[PicturedFilm]], out: Path) -> dict[str, Path]:
    """The file of each group, such as ``gallery_cgoa.png``; unsafe names are replaced by numbers."""
    if list(groups) == [""]:
        return {"": out}
    safe = {source: source if re.fullmatch(r"[\w-]{1,60}", source) else "" for source in groups}
    return {
        source: out.with_name(f"{out.stem}_{safe[source] or f'set{number}'}{out.suffix}")
        for number, source in enumerate(groups, 1)
    }


def read_results(path: Path, ann: Path | None, rois: int) -> list[PicturedFilm]:
    """Read the films of one file of results.

    Raises:
        DatasetError: a file of another kind, or a faulty COCO file.
    """
    if not isinstance(read_json(path, "test.roi.json of hipdet test, or COCO results"), list):
        return list(evaluated_films(read_roi_table(path, *PICTURED)).values())
    beside = path.with_name("films.json")
    ann = ann or (beside if beside.is_file() else None)
    coco = None
    if ann is not None:
        coco, faults = validate(ann)
        if errors := [fault for fault in faults if not fault.warning and fault.kind != "no-boxes"]:
            raise DatasetError(f"{ann}: {len(errors)} faults; hipdet validate shows them; the first: {errors[0]}")
        if reasons := list(filter(None, map(left_out, coco["images"]))):
            print(printable(f"{ann}: {len(reasons)} films are drawn without their labels: {counted(reasons)}"))
    return predicted_films(read_predictions(path), coco, rois)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the films and print the files written."""
    args = _parse_arguments(argv)
    if results := results_at(args.results):  # of shards
        if args.ann:
            raise DatasetError(f"--ann {args.ann}: expected a predictions.json: hipdet merge makes one of shards")
        films = predicted_films(results.rows(), results.coco(), args.rois)
    else:
        paths = [path / "predictions.json" if path.is_dir() else path for path in args.results]
        films = [film for path in paths for film in read_results(path, args.ann, args.rois)]
    drawn = worst_first(films)
    if args.below is not None:
        drawn = below(drawn, args.below)
        if not drawn:
            print(f"no film of {len(films)} has an ROI with IoU below {args.below}: nothing to draw")
            return
    title = f"{', '.join(dict.fromkeys(path.name for path in args.results))}: {len(drawn)} films, the worst first"
    written = write_pictures(args, drawn, args.results[0].with_name("gallery"), title)
    print(printable(f"{written}: {title} (yellow = label, red = detection)"))
