"""Convert films and their label files to COCO files for training and testing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from hipdet.cli.main import (
    MOST_WORKERS,
    HelpFormatter,
    add_unfinished,
    class_name,
    command_parser,
    number_or_any,
    utf8,
    whole_number,
)
from hipdet.core.errors import DatasetError
from hipdet.data.candidates import Found, Rules
from hipdet.data.collect import LabelSource, default_labels
from hipdet.data.convert import Output, convert_found, report
from hipdet.data.formats.reader import FORMATS
from hipdet.data.statistics import Summary, table1

# the options that a provenance file records: choices, but no paths
NOTED = (
    "classes", "rename", "rois", "min_side", "copies", "format", "origin", "rotated", "disagreement", "with_unfinished",
    "skip_faulty", "visits", "route", "phases", "crop", "patient_from",
)  # fmt: skip


def _add_collection(parser: argparse.ArgumentParser, rois: int = 2, min_side: int = 0) -> None:
    """Add the arguments for labels and output; `rois` (0 for any number) and `min_side` (px) are defaults."""
    group = parser.add_argument_group("labels")
    add = group.add_argument
    add(
        "--labels", nargs="+", default=[], metavar="[NAME=]PATH",
        help="label file or folder, NAME=PATH for each of several annotators (default: ROOT/labels or ROOT/labels.*; if it "
        "has only folders, each is an annotator)",
    )  # fmt: skip
    add("--format", choices=list(FORMATS), help="format of the labels (default: detected from their content)")
    add("--origin", choices=["auto", "0", "1"], default="auto", help="number of the first pixel in Pascal VOC files")
    add("--rotated", choices=["refuse", "enclose"], default="refuse", help="refuse rotated boxes or enclose them")
    _add_ignore(group)
    add("--rename", nargs="+", type=utf8, default=[], metavar="LABEL=CLASS", help="class names for labels")
    add(
        "--disagreement", choices=["exclude", "first"], default="exclude",
        help="what to do if annotators disagree on a film: exclude it, or take the boxes of the first",
    )  # fmt: skip
    add(
        "--rois", type=number_or_any, default=rois, metavar="N|any",
        help=f"ROIs that a film must have; others are excluded, except films that were checked and have none (default: "
        f"{rois or 'any'})",
    )  # fmt: skip
    add_unfinished(group)
    add("--min-side", type=int, default=min_side, metavar="PX", help="exclude films with a shorter long side")
    add = parser.add_argument_group("output").add_argument
    add("--data-root", type=Path, metavar="FOLDER", help="folder that film names start from (default: ROOT)")
    add("--out", type=Path, metavar="FOLDER", help="output folder (default: annotations/ below --data-root)")
    add(
        "--copies", type=_copies, metavar="upright|PX",
        help="write 8-bit PNG copies to <source>_* below --data-root: upright at full size, or with a long side of PX",
    )  # fmt: skip
    number = whole_number(1, high=MOST_WORKERS)
    add("--workers", type=number, metavar="N", help="processes that write copies (default: one per core)")
    add(
        "--skip-faulty", action="store_true",
        help="leave out films that can't be converted, or whose labels or rows of a table are faulty, and say why, instead "
        "of stopping",
    )  # fmt: skip


def _add_ignore(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--ignore", type=Path, metavar="FILE",
        help="CSV table image,x,y,side (or x,y,w,h, or x0,y0,x1,y1) of boxes that are neither ROI nor background; column "
        "label for those of a single class",
    )  # fmt: skip


def rules(args: argparse.Namespace, source: str, **options: Any) -> Rules:
    """The rules of the conversion, from the arguments.

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
        rois=args.rois or None,
        min_side=args.min_side,
        disagreement=args.disagreement,
        unfinished=args.with_unfinished,
        **options,
    )


def _copies(text: str) -> str:
    if text != "upright" and not (text.isdecimal() and 32 <= int(text) <= 4096):
        raise argparse.ArgumentTypeError(f"{text!r}: expected upright or a side from 32 to 4096 px")
    return text


EXAMPLES = """examples:
  hipdet convert fracatlas data/FracAtlas --folds 3
  hipdet convert fracatlas data/FracAtlas --joint knees
  hipdet convert cgoa data/CGOA --labels RL=data/CGOA/labels_RL SC=data/CGOA/labels_SC
  hipdet convert oaih data/OAI --labels oai_hips.json --data-root data --copies 448
  hipdet convert gis data/GIS --labels gis.xml --exclude exclude.csv
  hipdet convert folder data/knees --labels knees.json --rois 2 --patient-from '(P[0-9]+)_'
  hipdet convert phantom data/phantoms --val-fraction 0.1

Labels: COCO, Pascal VOC, LabelMe, CVAT, Label Studio, VGG VIA, YOLO or CSV; the format is detected from the content.
Columns of CSV: image, label, and x,y,side or x,y,w,h or x0,y0,x1,y1.
Writes SOURCE.json with SOURCE.exclusions.csv (every film that was left out, and why) and SOURCE.provenance.json; fracatlas
and phantom also write folds or splits.  Prints films, ROIs, patients, ratio_ROI/image, and the long side of the films in
pixels.  Next: hipdet validate, hipdet split.
"""


def _add_cgoa(parser: argparse.ArgumentParser, cgoa: ModuleType) -> None:
    add = parser.add_argument
    add("--table", type=Path, metavar="FILE", help="CSV table film,patient,group,fracture (default: ROOT/films.csv)")
    add(
        "--phases", nargs="+", choices=[cgoa.ONE, *cgoa.PHASES], default=[cgoa.ONE],
        help="films to take of a pair: pre, post, or one as in the paper: pre, or post if there is no pre (default: one)",
    )  # fmt: skip
    add(
        "--crop", nargs=2, type=int, default=[0, 0], metavar=("TOP", "BOTTOM"),
        help="pixel rows to cut off, where patient data are burned in; needs --copies",
    )  # fmt: skip
    _add_collection(parser)


def _add_oaih(parser: argparse.ArgumentParser, oaih: ModuleType) -> None:
    parser.add_argument(
        "--visits", nargs="+", choices=oaih.VISITS, default=list(oaih.PAPER_VISITS), metavar="VISIT",
        help=f"visits to take: {', '.join(oaih.VISITS)} (default: 12m 96m, as in the paper)",
    )  # fmt: skip
    parser.add_argument(
        "--route", choices=oaih.ROUTES, default="dicom",
        help="take the DICOM films, or the previews <series>_1x1.jpg that the paper used",
    )  # fmt: skip
    _add_collection(parser)


def _add_gis(parser: argparse.ArgumentParser, folder: ModuleType) -> None:
    add = parser.add_argument
    add("--exclude", type=Path, metavar="FILE", help="CSV table film,reason (default: ROOT/exclude.csv, if it exists)")
    add("--table", type=Path, metavar="FILE", help="CSV table film,patient (default: each film counts as one patient)")
    _add_collection(parser, min_side=folder.GIS_MIN_SIDE)


def _add_folder(parser: argparse.ArgumentParser, folder: ModuleType) -> None:
    add = parser.add_argument
    add("--source", type=utf8, default="folder", metavar="NAME", help="name of the data set")
    add(
        "--classes", nargs="+", type=class_name, default=[], metavar="CLASS",
        help="class names in order (default: those of the labels)",
    )  # fmt: skip
    add(
        "--patient-from", type=utf8, default="unknown", metavar="unknown|film|folder|REGEX",
        help="how to tell patients apart: unknown, each film counts as one and the file says so; film, each film is another; "
        "folder, each folder is one; or a REGEX whose group finds the patient in the film's name",
    )  # fmt: skip
    add(
        "--table", type=Path, metavar="FILE",
        help="CSV table film,patient, or film,group of films that may be of one patient; overrides --patient-from",
    )  # fmt: skip
    add("--exclude", type=Path, metavar="FILE", help="CSV table film,reason of films to leave out")
    add("--near-duplicates", action="store_true", help="report nearly equal films; decodes every film")
    _add_collection(parser, rois=0)


def _add_fracatlas(parser: argparse.ArgumentParser, fracatlas: ModuleType) -> None:
    parser.add_argument(
        "--joint", choices=list(fracatlas.JOINTS), default=fracatlas.HIPS,
        help="ROIs to write: hips of 100 films, or knees of 104; labelled by AI annotators, CC BY 4.0",
    )  # fmt: skip
    parser.add_argument(
        "--table", type=Path, metavar="FILE",
        help="CSV table image,x,y,side (default: ROOT/hips.csv or ROOT/knees.csv, otherwise the bundled one)",
    )  # fmt: skip
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="folds of a cross-validation")
    _add_ignore(parser)
    _add_parts(parser)


def _add_phantom(parser: argparse.ArgumentParser, phantoms: ModuleType) -> None:
    from hipdet.data.split import SPLIT_BY

    parser.add_argument("--val-fraction", type=float, default=0.1, metavar="SHARE", help="share for validation")
    parser.add_argument(
        "--split", choices=SPLIT_BY, default="patient",
        help="split by patient, or film by film as in the paper, which leaks",
    )  # fmt: skip
    _add_parts(parser)


def _add_parts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="output folder (default: ROOT/annotations)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split")


class SourceCommand(NamedTuple):
    """A data set: its module in ``hipdet.data.sources``, a help text, and the function that adds its arguments."""

    module: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser, ModuleType], None]

    def load(self) -> ModuleType:
        """Import the module, which is only needed for this data set."""
        return import_module(f"hipdet.data.sources.{self.module}")


SOURCES = {
    "cgoa": SourceCommand("cgoa", "films with serial numbers, and a CSV table film,patient,group,fracture", _add_cgoa),
    "oaih": SourceCommand("oaih", "AP pelvis films of the Osteoarthritis Initiative, as folders or zips", _add_oaih),
    "gis": SourceCommand("folder", "a folder of pictures, such as an image search finds", _add_gis),
    "folder": SourceCommand("folder", "any folder of films with any ROI", _add_folder),
    "fracatlas": SourceCommand("fracatlas", "the released FracAtlas folder", _add_fracatlas),
    "phantom": SourceCommand("phantoms", "synthetic films: ROOT/<cgoa|oaih|gis|odd>/{images,hips.csv}", _add_phantom),
}


def _parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("convert", __doc__, EXAMPLES)
    how = "hipdet convert SOURCE --help shows the options of each"
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="SOURCE", title="data sets", description=how
    )
    for name, source in SOURCES.items():
        text = f"Convert {source.help}."
        command = commands.add_parser(
            name, help=source.help, description=text, epilog=EXAMPLES, formatter_class=HelpFormatter
        )
        command.add_argument("root", type=Path, metavar="ROOT", help="folder of the data set")
        if name in argv:
            source.add_arguments(command, source.load())
    return parser.parse_args(argv)


def _find(args: argparse.Namespace, source: ModuleType) -> tuple[Found, Rules, bool]:
    """The films, the rules, and whether to search for near duplicates."""
    if args.command == "cgoa":
        found = source.find_cgoa(args.root, args.table, args.phases, tuple(args.crop), args.skip_faulty)
        return found, rules(args, "cgoa"), False
    if args.command == "oaih":
        # labels of the previews can be used on the films
        scaled = args.route == "dicom"
        return source.find_oaih(args.root, args.visits, args.route), rules(args, "oaih", scaled_labels=scaled), False
    if args.command == "gis":
        return source.find_gis(args.root, args.exclude, args.table, args.skip_faulty), rules(args, "gis"), True
    found = source.find_folder(args.root, args.source, args.patient_from, args.table, args.exclude, args.skip_faulty)
    return found, rules(args, args.source, classes=tuple(args.classes)), args.near_duplicates


def convert_collection(args: argparse.Namespace, source: ModuleType) -> str:
    """Convert a collection of films and label files; returns a report for the terminal.

    Raises:
        DatasetError: films or labels that aren't found or don't go together.
    """
    origin = args.origin if args.origin == "auto" else int(args.origin)
    options: dict[str, Any] = dict(format=args.format, origin=origin, rotated=args.rotated)
    labels = LabelSource(default_labels(args.root, args.labels), options, args.ignore)
    found, its_rules, near_duplicates = _find(args, source)
    data_root = args.data_root or (args.root if args.root.is_dir() else args.root.parent)
    copies = None
    if args.copies is not None:
        from hipdet.data.copies import Copies

        copies = Copies(data_root, None if args.copies == "upright" else int(args.copies), args.workers)
    out = Output(data_root, args.out, copies, args.skip_faulty, near_duplicates)
    noted = {name: getattr(args, name) for name in NOTED if getattr(args, name, None) not in (None, [], False)}
    return report(convert_found(args.root, found, labels, its_rules, out, noted))


def main(argv: Sequence[str] | None = None) -> None:
    """Convert a data set and print what was written."""
    args = _parse_arguments(sys.argv[1:] if argv is None else argv)
    source = SOURCES[args.command].load()
    if args.command not in ("fracatlas", "phantom"):
        print(convert_collection(args, source))
        return
    if args.command == "fracatlas":
        written = source.convert_fracatlas(
            args.root, args.table, args.out, args.folds, args.seed, args.ignore, args.joint
        )
    else:
        written = source.convert_phantoms(args.root, args.out, args.val_fraction, args.seed, args.split)
    print(table1({path: Summary.of(films) for path, films in written.items()}))
    cut = {roi for films in written.values() for film in films for roi in film.rois if not roi.is_square}
    if cut:
        print(f"{len(cut)} boxes reach over the edge of their film: tests compare the part on the film")
    print(f"written to {next(iter(written)).parent}")
