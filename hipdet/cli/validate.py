"""Find every fault in COCO annotations and their films before training."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hipdet.cli.main import class_name, command_parser, number_or_any
from hipdet.core.annotations import SAID, mark_record, patients_mark
from hipdet.core.configs import default_root
from hipdet.core.errors import DatasetError, one_line
from hipdet.core.files import write_json
from hipdet.data.split import check_across
from hipdet.data.validate.check import SQUARE_TOLERANCE, Expected, validate
from hipdet.data.validate.faults import Fault, fault_table, record

EXAMPLES = """examples:
  hipdet validate data/annotations/cgoa.json --data-root data
  hipdet validate data/annotations/cgoa_train.json data/annotations/cgoa_val.json --data-root data    and for leaks
  hipdet validate knees.json --no-films --classes knee --rois 2 --json report.json

Errors are faults that training would silently drop or get wrong; warnings should be reviewed.
Exit status: 0 without errors; 1 with errors, or with warnings if --strict; 2 if it can't run.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("validate", __doc__, EXAMPLES)
    add = parser.add_argument
    add("annotations", nargs="+", type=Path, metavar="ANN.json", help="COCO files")
    add("--data-root", type=Path, metavar="FOLDER", help="folder of the films (default: $HIPDET_DATA, else data)")
    add("--no-films", action="store_true", help="don't read the films")
    add(
        "--classes",
        nargs="+",
        type=class_name,
        default=["hip"],
        metavar="CLASS",
        help="expected classes, or any (default: hip)",
    )
    add("--rois", type=number_or_any, metavar="N|any", help="expected ROIs per film (default: 2 for hips, else any)")
    add(
        "--square-tolerance", type=float, metavar="SHARE",
        help=f"share by which sides may differ; 1 for no check (default: {SQUARE_TOLERANCE} for hips, else no check)",
    )  # fmt: skip
    add("--show", type=int, default=20, metavar="N", help="faults of each kind to print, 0 for all")
    add("--json", type=Path, metavar="FILE", help="write all faults to this file")
    add("--strict", action="store_true", help="fail on warnings too")
    return parser.parse_args(argv)


def expectations(args: argparse.Namespace) -> Expected:
    """What to expect of the data, from the arguments; hips have their own defaults."""
    base = Expected.of_classes(None if args.classes == ["any"] else args.classes)
    rois = base.rois if args.rois is None else args.rois or None
    tolerance = base.square_tolerance if args.square_tolerance is None else args.square_tolerance
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise DatasetError(f"--square-tolerance {tolerance}: expected a share from 0 to 1")
    return Expected(base.classes, rois, tolerance)


def main(argv: Sequence[str] | None = None) -> None:
    """Check the files, print the faults, and exit with the status."""
    args = _parse_arguments(argv)
    root = None if args.no_films else args.data_root or Path(default_root())
    if missing := [path for path in args.annotations if not path.is_file()]:
        raise DatasetError(f"{missing[0]}: no such file: check the path, or make it with hipdet convert")
    if len({path.name for path in args.annotations}) < len(args.annotations):
        raise DatasetError(
            "two annotation files have the same name, expected different names, as faults are listed by file name"
        )
    expected = expectations(args)
    start, films = time.perf_counter(), 0
    faults: list[Fault] = []
    contents: dict[str, dict[str, Any]] = {}
    files = []
    for path in args.annotations:
        contents[path.name], found = validate(path, root, expected, progress=True)
        faults += found
        counts = {key: len(contents[path.name].get(key, ())) for key in ("images", "annotations")}
        files.append({"file": path.name, **counts, "errors": sum(not fault.warning for fault in found)})
        files[-1] |= mark_record(patients_mark(contents[path.name]))
        films += counts["images"]
    faults += check_across(contents)
    report = record(files, faults)
    if args.json:
        write_json(args.json, report)
    if faults:
        print(fault_table(faults, args.show))
    for name, coco in contents.items():
        if mark := patients_mark(coco):
            print(one_line(f"{name}: {SAID[mark]}"))
    rate = films / max(time.perf_counter() - start, 1e-9)
    print(
        f"{len(files)} files, {films} films: {report['errors']} errors, {report['warnings']} warnings ({rate:.0f} films/s)"
    )
    sys.exit(1 if report["errors"] or (args.strict and report["warnings"]) else 0)
