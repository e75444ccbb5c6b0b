"""Measure how well two annotators agree: IoU, centres and sizes of the ROIs, and the films to look at again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hipdet.cli.main import command_parser
from hipdet.core.errors import DatasetError, one_line
from hipdet.core.files import name_of, write_csv, write_json
from hipdet.data.annotators import DIFFERENCES, Comparison, compare
from hipdet.data.validate.check import require_valid

EXAMPLES = """examples:
  hipdet agree films/labels/alice.json films/labels/bob.json
  hipdet agree alice.json bob.json --out agreement         agreement/agreement.csv and .json, the worst films first

For comparison: three readings of the hips of FracAtlas by AI annotators agree at a mean IoU of 0.926, over all pairs.
"""
COLUMNS = ("film", "remarks", "label", "found_by", "iou", *DIFFERENCES)


def agreement_text(comparison: Comparison, least_iou: float, show: int) -> str:
    """The text for the terminal: metrics, and the first `show` films to look at again."""
    lines = [f"{name.replace('_', ' '):<32} {_number(value):>10}" for name, value in comparison.metrics().items()]
    again = comparison.again(least_iou)
    lines += ["", f"{len(again)} films to look at again (IoU below {least_iou:g}, found by one only, or a remark)"]
    shown = again[: show or None]
    width = max((len(film.film) for film in shown), default=0)
    for film in shown:
        alone = [f"{row['label']} by {row['found_by']} only" for row in film.rois if row["found_by"] != "both"]
        iou = f"{film.worst:.3f}" if film.rois else "     "
        lines.append(f"  {film.film:<{width}}  {iou}  {'; '.join([*film.remarks, *alone])}".rstrip())
    if len(again) > len(shown):
        lines.append(f"  ... and {len(again) - len(shown)} more")
    return "\n".join(map(one_line, lines))


def write(comparison: Comparison, least_iou: float, folder: Path) -> None:
    """Write everything as CSV, a row per ROI, and as JSON."""
    rows: list[tuple[object, ...]] = [COLUMNS]
    for film in comparison.films:
        for roi in film.rois or ({},):
            cells = {"film": film.film, "remarks": "; ".join(film.remarks), **roi}
            rows.append(tuple(_cell(cells.get(column)) for column in COLUMNS))
    write_csv(folder / "agreement.csv", rows)
    films = [{"film": film.film, "remarks": film.remarks, "rois": film.rois} for film in comparison.films]
    content = {
        "annotators": comparison.names,
        "figures": comparison.metrics(),
        "look_again": [film.film for film in comparison.again(least_iou)],
        "films": films,
        "films_of_one_only": dict(zip(comparison.names, comparison.alone)),
        "films_unchecked": dict(zip(comparison.names, comparison.unchecked)),
    }
    write_json(folder / "agreement.json", content)


def _cell(value: object) -> object:
    return "" if value is None else round(value, 4) if isinstance(value, float) else value


def _number(value: float) -> str:
    return f"{value:d}" if isinstance(value, int) else f"{value:.4f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Compare two files and print the result."""
    parser = command_parser("agree", __doc__, EXAMPLES)
    add = parser.add_argument
    add("first", type=Path, metavar="A.json", help="COCO file of one annotator")
    add("second", type=Path, metavar="B.json", help="COCO file of the other annotator")
    add("--least-iou", type=float, default=0.85, metavar="IOU", help="list films with an ROI below this IoU")
    add("--show", type=int, default=20, metavar="N", help="films to list, 0 for all")
    add("--out", type=Path, metavar="FOLDER", help="folder for agreement.csv and agreement.json (default: none)")
    args = parser.parse_args(argv)
    if not 0 <= args.least_iou <= 1:
        parser.error(f"--least-iou {args.least_iou}: expected an IoU from 0 to 1")
    names = (name_of(args.first.stem), name_of(args.second.stem))
    first, second = (require_valid(path) for path in (args.first, args.second))
    comparison = compare(first, second, names)
    if not comparison.films:
        raise DatasetError(
            f"{args.first} and {args.second} have no film in common that both have checked, expected the same file names"
        )
    print(agreement_text(comparison, args.least_iou, args.show))
    if args.out:
        write(comparison, args.least_iou, args.out)
        print(f"written to {args.out}")
