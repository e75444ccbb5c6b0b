"""Draw the films of a test or of predictions, the worst first: yellow = label, red = detection, with IoU and score."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hipdet.cli.main import command_parser, whole_number
from hipdet.core.configs import default_root
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
  hipdet gallery predictions/predictions.json --data-root films --html        of hipdet predict: lowest score first
  hipdet gallery predictions.json --ann data/annotations/gis.json --data-root data --by-source

Beside a label stands IoU (score) of the detection it was matched with one to one, or "not found"; "extra" is a detection
without a label.  The page of --html is one file without a link to anything else; it sorts, filters and enlarges.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("gallery", __doc__, EXAMPLES)
    add = parser.add_argument
    add(
        "results", nargs="+", type=Path, metavar="RESULTS.json",
        help="test.roi.json of hipdet test, or predictions in COCO results form",
    )  # fmt: skip
    add(
        "--ann", type=Path,
        help="COCO file of the predictions' films; its labels are compared with (default: films.json beside)",
    )  # fmt: skip
    add("--rois", type=int, default=2, help="detections of a film to draw, 0 for all")
    add("--below", type=float, metavar="IOU", help="only films with an ROI whose IoU is below this")
    add_picture_arguments(parser, "gallery.png or gallery.html beside the first file")
    return parser.parse_args(argv)


def add_picture_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """Add what commands that draw films share; `out` says where pictures go by default."""
    add = parser.add_argument
    add("--data-root", help="folder that the file names are relative to (default: $HIPDET_DATA, else data)")
    add("--out", type=Path, help=f"file to write (default: {out}); several sheets are numbered")
    add("--html", action="store_true", help="one HTML page with filters and sorting in place of PNG sheets")
    add(
        "--films", type=whole_number(0, "a number of films, or 0 for all"), metavar="N",
        help=f"films to draw, of each data set with --by-source; 0 for all (default: {SHEET_FILMS}, on a page all)",
    )  # fmt: skip
    add("--names", nargs="+", default=[], metavar="PART", help="only films with one of these in their names")
    add("--by-source", action="store_true", help="each data set on its own sheets, or under its own heading of a page")
    add("--columns", type=whole_number(1, "a number from 1 up"), default=6, help="films in a row of a sheet")
    side = whole_number(64, "pixels from 64 to 4096", 4096)
    add("--side", type=side, default=320, help="pixels of the long side of a film")


def image_root(args: argparse.Namespace) -> Path:
    """The folder that file names are relative to.

    Raises:
        DatasetError: no such folder.
    """
    root = Path(args.data_root or default_root())
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder of films: say where they are with --data-root")
    return root


def out_file(args: argparse.Namespace, beside: Path) -> Path:
    """The file to write: ``--out``, or `beside` with the suffix of its kind.

    Raises:
        DatasetError: a name of another kind.
    """
    suffix = ".html" if args.html else ".png"
    out: Path = args.out or beside.with_name(beside.name + suffix)
    if out.suffix.lower() != suffix:
        raise DatasetError(f"--out {out}: expected a name that ends in {suffix}")
    return out


def limited(args: argparse.Namespace, films: Sequence[PicturedFilm], most: int) -> Sequence[PicturedFilm]:
    """As many of `films` as ``--films`` asks for, by default `most`; 0 stands for all."""
    return films[: (most if args.films is None else args.films) or None]


def write_pictures(
    args: argparse.Namespace, films: Sequence[PicturedFilm], beside: Path, title: str, strict: bool = True
) -> str:
    """Choose films as the arguments say and draw them; returns the files written, for a message.

    Args:
        args: With what :func:`add_picture_arguments` added.
        films: In the order to draw them.
        beside: File to write, without its suffix, unless ``--out`` says otherwise.
        title: What the films are.
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
    """The files for a message, however many."""
    names = [str(path) for path in written]
    return ", ".join(names) if len(names) <= MOST_LISTED else f"{names[0]} to {names[-1]}, {len(names)} sheets"


def _outs(groups: Mapping[str, Sequence[PicturedFilm]], out: Path) -> dict[str, Path]:
    """Where each group goes: ``gallery_cgoa.png``; names that can't stand in a file's name become numbers."""
    if list(groups) == [""]:
        return {"": out}
    safe = {source: source if re.fullmatch(r"[\w-]{1,60}", source) else "" for source in groups}
    return {
        source: out.with_name(f"{out.stem}_{safe[source] or f'set{number}'}{out.suffix}")
        for number, source in enumerate(groups, 1)
    }


def read_results(path: Path, ann: Path | None, rois: int) -> list[PicturedFilm]:
    """The films of one file of results.

    Raises:
        DatasetError: a file of another kind, or a faulty COCO file.
    """
    if is_table(path):
        return list(evaluated_films(read_roi_table(path)).values())
    beside = path.with_name("films.json")
    ann = ann or (beside if beside.is_file() else None)
    coco = None
    if ann is not None:
        coco, faults = validate(ann)
        if errors := [fault for fault in faults if not fault.warning and fault.kind != "no-boxes"]:
            raise DatasetError(f"{ann}: {len(errors)} faults; hipdet validate shows them; the first: {errors[0]}")
        if reasons := list(filter(None, map(left_out, coco["images"]))):
            print(f"{ann}: {len(reasons)} films are drawn without their labels: {counted(reasons)}")
    return predicted_films(read_predictions(path), coco, rois)


def main(argv: Sequence[str] | None = None) -> None:
    """Run it."""
    args = _parse_arguments(argv)
    films = [film for path in args.results for film in read_results(path, args.ann, args.rois)]
    drawn = worst_first(films)
    if args.below is not None:
        drawn = below(drawn, args.below)
        if not drawn:
            print(f"no film of {len(films)} has an ROI with IoU below {args.below}: nothing to draw")
            return
    title = f"{', '.join(dict.fromkeys(path.name for path in args.results))}: {len(drawn)} films, the worst first"
    written = write_pictures(args, drawn, args.results[0].with_name("gallery"), title)
    print(f"{written}: {title} (yellow = label, red = detection)")
