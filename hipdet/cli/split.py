"""Split COCO files into training and validation, or into folds, by patient and source; or check that nothing leaks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hipdet.cli.main import add_unfinished, command_parser, folds, utf8
from hipdet.core.annotations import GUESSED, SAID, UNKNOWN, patients_mark
from hipdet.core.errors import DatasetError, one_line
from hipdet.core.files import write_json
from hipdet.data.coco_file import get_films
from hipdet.data.split import SPLIT_BY, Leaks, find_leaks
from hipdet.data.split_files import Division, FoldTable, split_files
from hipdet.data.statistics import Summary, table1
from hipdet.data.validate.check import require_valid

SHOWN = 10
EXAMPLES = """examples:
  hipdet split data/annotations/cgoa.json data/annotations/oaih.json --merge cgoa_oaih    90 / 10, by patient
  hipdet split data/annotations/gis.json --folds 5 --seed 1
  hipdet split data/annotations/hips.json --folds folds.csv
  hipdet split knees.json --val 0.15 --test 0.15 --out splits
  hipdet split --check train.json val.json test.json

Films of a patient stay together, if patients are known, and each source is split separately.  Writes ANN_train.json and
ANN_val.json, or ANN_fold0_train.json, ANN_fold0_test.json ..., beside ANN.json or to --out, always the same for a seed.
Exit status: 0; with --check, 1 if a patient or film is in more than one file; 2 if it can't run.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("split", __doc__, EXAMPLES)
    add = parser.add_argument
    add("annotations", nargs="+", type=Path, metavar="ANN.json", help="COCO files")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--val", type=float, default=0.1, metavar="SHARE", help="share for validation")
    how.add_argument(
        "--folds", type=folds, metavar="N|FILE",
        help="write N folds instead of training and validation, or those of a CSV table image,fold; its column patient or "
        "group is used where patients aren't known",
    )  # fmt: skip
    how.add_argument("--check", action="store_true", help="only report what the files share")
    add("--test", type=float, default=0.0, metavar="SHARE", help="share for a test set (default: none)")
    add("--seed", type=int, default=0, help="seed of the draw")
    add(
        "--by", choices=SPLIT_BY, default="patient",
        help="split by patient, or film by film as in the paper, which leaks",
    )  # fmt: skip
    add_unfinished(parser)
    add("--merge", type=utf8, metavar="NAME", help="also merge the parts of all inputs: NAME_train.json ...")
    add("--out", type=Path, metavar="FOLDER", help="output folder (default: that of the input)")
    add("--json", type=Path, metavar="FILE", help="with --check: write the leaks to this file")
    return parser.parse_args(argv)


def split(args: argparse.Namespace) -> None:
    """Write the parts of every input, and print what they contain and whether they leak."""
    if args.folds is not None and args.test:
        raise DatasetError("--test and --folds: expected one of them, as every fold has test films")
    fractions = {"val": args.val, **({"test": args.test} if args.test else {})}
    table = FoldTable.read(args.folds) if isinstance(args.folds, Path) else None
    division = Division(fractions, None if table else args.folds, args.seed, args.by)
    made = split_files(args.annotations, division, args.out, args.merge, args.with_unfinished, table)
    print(table1({path: Summary.of(get_films(part)) for each in made for path, part in each.files.items()}))
    for each in made:
        for line in (*each.notes, each.leak):
            print(one_line(f"{each.name}: {line}"))
    print(f"written to {args.out or args.annotations[0].parent}")


def check_leaks(args: argparse.Namespace) -> None:
    """Print what the files share and exit with 1 if they share anything."""
    if len(args.annotations) < 2:
        raise DatasetError("--check: expected two files or more")
    if len({path.name for path in args.annotations}) < len(args.annotations):
        raise DatasetError("two files have the same name, expected different names")
    cocos = {path.name: require_valid(path) for path in args.annotations}
    leaks = find_leaks({name: coco["images"] for name, coco in cocos.items()})
    marks = {name: mark for name, coco in cocos.items() if (mark := patients_mark(coco))}
    print("\n".join([leak_table(leaks), *(one_line(f"{name}: {SAID[mark]}") for name, mark in marks.items())]))
    if args.json:
        record = {
            "patients": [dict(patient=each.name, film=each.film, files=list(each.parts)) for each in leaks.patients],
            "films": [dict(film=each.film, files=list(each.parts)) for each in leaks.films],
            "without_patient": leaks.without_patient,
        }
        said = {f"patients_{mark}": [name for name in marks if marks[name] == mark] for mark in (UNKNOWN, GUESSED)}
        write_json(args.json, {**record, **said})
    sys.exit(1 if leaks else 0)


def leak_table(leaks: Leaks) -> str:
    """The leaks, as a table for the terminal."""
    lines = []
    for kind, shared in (("patient", leaks.patients), ("film", leaks.films)):
        lines.append(f"{len(shared)} {kind}s in more than one file")
        lines += [f"  {each.name}  {each.film}  {', '.join(each.parts)}" for each in shared[:SHOWN]]
        if len(shared) > SHOWN:
            lines.append(f"  ... and {len(shared) - SHOWN} more")
    if leaks.without_patient:
        lines.append(f"{leaks.without_patient} films without patient: they can't be checked")
    return "\n".join(map(one_line, lines))


def main(argv: Sequence[str] | None = None) -> None:
    """Split or check."""
    args = _parse_arguments(argv)
    if args.json and not args.check:
        raise DatasetError("--json: only with --check")
    check_leaks(args) if args.check else split(args)
