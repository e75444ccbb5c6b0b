"""Make synthetic films with exactly known ROIs: pelvis films in three sources as in the paper's Table 1, and chest films."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hipdet.cli.main import command_parser, whole_number
from hipdet.phantoms.plan import SOURCES
from hipdet.phantoms.write import CHEST, write_phantoms

EXAMPLES = """examples:
  hipdet phantoms data/phantoms --films cgoa=600 oaih=400 gis=100 --max-side 320
  hipdet phantoms data/phantoms --films gis=101             full size: 225 to 4256 px
  hipdet convert phantom data/phantoms                           then: COCO files for training
  hipdet phantoms data --films chest=300                    a heart and two lungs: other ROIs than hips
  hipdet convert folder data/chest --labels data/chest/labels.csv

Run again, it makes what is missing.
"""


def source_and_count(text: str) -> tuple[str, int]:
    """``cgoa=40`` as a source and a number of films."""
    source, _, count = text.partition("=")
    if source not in (*SOURCES, CHEST) or not count.isdigit():
        known = ", ".join((*SOURCES, CHEST))
        raise argparse.ArgumentTypeError(f"{text!r}: expected SOURCE=NUMBER with SOURCE one of {known}")
    return source, int(count)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the films."""
    parser = command_parser("phantoms", __doc__, EXAMPLES)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder to write to: OUT/<source>/images and a table of labels")
    add(
        "--films", nargs="+", type=source_and_count, metavar="SOURCE=NUMBER",
        default=[("cgoa", 40), ("oaih", 40), ("gis", 10)], help="films per source (default: cgoa=40 oaih=40 gis=10)",
    )  # fmt: skip
    add("--seed", type=whole_number(0), default=0, help="of all random draws")
    add("--max-side", type=whole_number(32), help="make larger films at this long side, in pixels")
    add("--workers", type=whole_number(1), help="processes (default: one per core)")
    args = parser.parse_args(argv)
    for source, films in args.films:
        made = write_phantoms(args.out, source, films, args.seed, args.max_side, args.workers)
        print(f"{args.out / source}: {made} films made" + (", the others were there" if made < films else ""))
