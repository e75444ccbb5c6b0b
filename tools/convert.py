#!/usr/bin/env python3
"""Turn films and their label files into COCO files for training and testing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hipdet.cli.needs_mm  # noqa: F401  (before what it looks for)
from hipdet.cli.collection_arguments import add_collection_arguments, label_source, noted_options, output, rules
from hipdet.cli.conversion_report import report, table1
from hipdet.cli.errors import reports_errors
from hipdet.coco import SPLIT_BY, summarize
from hipdet.collection.candidate import Found
from hipdet.collection.convert_found import convert_found
from hipdet.collection.rules import Rules
from hipdet.converters import convert_fracatlas, convert_phantoms, find_cgoa, find_folder, find_gis, find_oaih
from hipdet.converters.cgoa import ONE, PHASES
from hipdet.converters.gis import MIN_SIDE
from hipdet.converters.oai_series import VISITS
from hipdet.converters.oaih import PAPER_VISITS, ROUTES

EXAMPLES = """examples:
  tools/convert.py fracatlas data/FracAtlas --folds 3
  tools/convert.py cgoa data/CGOA --labels RL=data/CGOA/labels_RL SC=data/CGOA/labels_SC
  tools/convert.py oaih data/OAI --labels oai_hips.json --data-root data --copies 448
  tools/convert.py gis data/GIS --labels gis.xml --exclude exclude.csv
  tools/convert.py folder data/knees --labels knees.json --rois 2 --patient-from '(P[0-9]+)_'
  tools/convert.py phantom data/phantoms --val-fraction 0.1

Labels: COCO, Pascal VOC, LabelMe, CVAT, Label Studio, VGG VIA, YOLO or CSV; the format is told from the content.
Writes SOURCE.json with SOURCE.exclusions.csv (every film that was left out, and why) and SOURCE.provenance.json, and prints
films, ROIs, patients, ratio_ROI/image, and the long side of the films in pixels.  Then: tools/validate.py, tools/split.py.
"""


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{cgoa,oaih,gis,folder,fracatlas,phantom}")
    _add_cgoa(_command(commands, "cgoa", "films under serial numbers, with a table film,patient,group,fracture"))
    _add_oaih(_command(commands, "oaih", "AP pelvis films of the Osteoarthritis Initiative: its folders or zips"))
    _add_gis(_command(commands, "gis", "a folder of pictures, such as an image search finds"))
    _add_folder(_command(commands, "folder", "any folder of films with any ROI"))
    fracatlas = _command(commands, "fracatlas", "the released FracAtlas folder")
    fracatlas.add_argument(
        "--table",
        type=Path,
        help="table of hips (default: ROOT/hips.csv, else that of 100 films which comes with hipdet)",
    )
    fracatlas.add_argument("--folds", type=int, default=5, help="of the cross-validation (default: %(default)s)")
    phantom = _command(commands, "phantom", "synthetic films: ROOT/<cgoa|oaih|gis>/{images,hips.csv}")
    phantom.add_argument("--val-fraction", type=float, default=0.1, help="part for validation (default: %(default)s)")
    phantom.add_argument(
        "--split",
        choices=SPLIT_BY,
        default="patient",
        help="films of a patient stay together, or film by film as in the paper, which leaks (default: %(default)s)",
    )
    for made in (fracatlas, phantom):
        made.add_argument("--out", type=Path, help="folder for the JSON files (default: ROOT/annotations)")
        made.add_argument("--seed", type=int, default=0, help="of the split (default: %(default)s)")
    return parser.parse_args()


def _command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of the data set")
    return parser


def _add_cgoa(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", type=Path, help="film,patient,group,fracture (default: ROOT/films.csv)")
    parser.add_argument(
        "--phases",
        nargs="+",
        choices=[ONE, *PHASES],
        default=[ONE],
        help="films of a pair: pre, post, both, or one as in the paper: pre, or post where there is no pre (default: one)",
    )
    parser.add_argument(
        "--crop",
        nargs=2,
        type=int,
        default=[0, 0],
        metavar=("TOP", "BOTTOM"),
        help="pixel rows to cut off films, where patient data are burnt in; needs --copies",
    )
    add_collection_arguments(parser, rois=2)


def _add_oaih(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--visits",
        nargs="+",
        choices=VISITS,
        default=list(PAPER_VISITS),
        metavar="VISIT",
        help=f"{', '.join(VISITS)} (default: 12m 96m, as in the paper)",
    )
    parser.add_argument(
        "--route",
        choices=ROUTES,
        default="dicom",
        help="the DICOM films, or the previews <series>_1x1.jpg that the paper used (default: dicom)",
    )
    add_collection_arguments(parser, rois=2)


def _add_gis(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exclude", type=Path, help="table film,reason (default: ROOT/exclude.csv if it is there)")
    parser.add_argument("--table", type=Path, help="film,patient (default: each film counts as one)")
    add_collection_arguments(parser, rois=2, min_side=MIN_SIDE)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", default="folder", help="name of the data set (default: %(default)s)")
    parser.add_argument("--classes", nargs="+", default=[], help="class names in order (default: those of the labels)")
    parser.add_argument(
        "--patient-from",
        default="unknown",
        metavar="unknown|film|folder|REGEX",
        help="each film counts as a patient, and the file says that they aren't known (default); each film is another "
        "patient; each folder is one; or what a group of REGEX finds in the name",
    )
    parser.add_argument("--table", type=Path, help="film,patient; goes before --patient-from")
    parser.add_argument("--exclude", type=Path, help="table film,reason")
    parser.add_argument("--near-duplicates", action="store_true", help="look for them: decodes every film")
    add_collection_arguments(parser, rois=None)


def _find(args: argparse.Namespace) -> tuple[Found, Rules, bool]:
    """The films, the rules, and whether near duplicates are looked for."""
    if args.command == "cgoa":
        return find_cgoa(args.root, args.table, args.phases, tuple(args.crop)), rules(args, "cgoa"), False
    if args.command == "oaih":
        # who labelled the previews can train on the films
        scaled = args.route == "dicom"
        return find_oaih(args.root, args.visits, args.route), rules(args, "oaih", scaled_labels=scaled), False
    if args.command == "gis":
        return find_gis(args.root, args.exclude, args.table), rules(args, "gis"), True
    found = find_folder(args.root, args.source, args.patient_from, args.table, args.exclude)
    return found, rules(args, args.source, classes=tuple(args.classes)), args.near_duplicates


@reports_errors
def main() -> None:
    """Convert and print what was written."""
    args = parse_args()
    if args.command not in ("fracatlas", "phantom"):
        labels = label_source(args)
        found, its_rules, near_duplicates = _find(args)
        out = output(args, near_duplicates)
        print(report(convert_found(args.root, found, labels, its_rules, out, noted_options(args))))
        return
    if args.command == "fracatlas":
        written = convert_fracatlas(args.root, args.table, args.out, args.folds, args.seed)
    else:
        written = convert_phantoms(args.root, args.out, args.val_fraction, args.seed, args.split)
    print(table1({path: summarize(films) for path, films in written.items()}))
    cut = {roi for films in written.values() for film in films for roi in film.rois if not roi.is_square}
    if cut:
        print(f"{len(cut)} boxes reached over the edge of their film and were clipped to it")
    print(f"written to {next(iter(written)).parent}")


if __name__ == "__main__":
    main()
