#!/usr/bin/env python3
"""Draw the films of a test, the worst first: yellow = label, red = detection, with IoU and score."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hipdet.cli.needs_mm  # noqa: F401  (before what it looks for)
from hipdet.cli.errors import reports_errors
from hipdet.errors import DatasetError
from hipdet.visualization.gallery import write_gallery

EXAMPLES = """examples:
  tools/gallery.py work_dirs/hip_ssd_exp3/test.roi.json --data-root data --out gallery.png
  tools/gallery.py work_dirs/hip_ssd_exp3/test.roi.json --data-root data --films 0     all films
"""


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, help="test.roi.json of tools/test.py")
    parser.add_argument(
        "--data-root", help="folder that the file names are relative to (default: $HIPDET_DATA, else data)"
    )
    parser.add_argument("--out", type=Path, help="PNG to write (default: gallery.png beside the table)")
    parser.add_argument("--films", type=int, default=24, help="number of films, 0 for all (default: 24)")
    parser.add_argument("--columns", type=int, default=6, help="films in a row (default: 6)")
    parser.add_argument("--side", type=int, default=320, help="pixels of a film's square (default: 320)")
    return parser.parse_args()


@reports_errors
def main() -> None:
    """Run it."""
    args = parse_arguments()
    try:
        table = json.loads(args.table.read_text(encoding="utf-8"))
        table["rois"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{args.table}: expected test.roi.json as tools/test.py writes it ({error!r})") from error
    out = args.out or args.table.with_name("gallery.png")
    root = args.data_root or os.environ.get("HIPDET_DATA", "data")
    films = write_gallery(table, root, out, args.films, args.columns, args.side)
    print(f"{out}: {films} films, the worst first (yellow = label, red = detection)")


if __name__ == "__main__":
    main()
