"""Make synthetic films with exactly known ROIs: pelvis films of three sources as in the paper's Table 1, odd ones, chests."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hipdet.cli.main import MOST_WORKERS, command_parser, whole_number
from hipdet.phantoms.odd import ODD
from hipdet.phantoms.plan import SOURCES
from hipdet.phantoms.write import CHEST, write_phantoms

EXAMPLES = """examples:
  hipdet phantoms data/phantoms --films cgoa=600 oaih=400 gis=100 --max-side 320
  hipdet convert phantom data/phantoms                      next: COCO files for training
  hipdet phantoms data/full_size --films gis=101            with long sides from 225 to 4256 px
  hipdet phantoms data/odd --films odd=400 --max-side 512   one hip, children, thighs turned out, fractures, metal
  hipdet phantoms data --films chest=300                    a heart and two lungs: other ROIs than hips
  hipdet convert folder data/chest --labels data/chest/labels.csv

If interrupted, run it again: it makes the missing films.
"""


KNOWN = (*SOURCES, ODD, CHEST)
MOST_DIGITS = 6  # of a number of films, all of which are planned before the first is made


def source_and_count(text: str) -> tuple[str, int]:
    """Parse ``cgoa=40`` as a source and a number of films."""
    source, _, count = text.partition("=")
    if source not in KNOWN or not (count.isdecimal() and len(count) <= MOST_DIGITS):
        known = ", ".join(KNOWN)
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected SOURCE=NUMBER with SOURCE one of {known}, and a number of at most {MOST_DIGITS} digits"
        )
    return source, int(count)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the films."""
    parser = command_parser("phantoms", __doc__, EXAMPLES)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="output folder: OUT/<source>/images and a table of labels")
    add(
        "--films", nargs="+", type=source_and_count, metavar="SOURCE=NUMBER",
        default=[("cgoa", 40), ("oaih", 40), ("gis", 10)],
        help="films per source: cgoa, oaih, gis, odd, chest (default: cgoa=40 oaih=40 gis=10)",
    )  # fmt: skip
    add("--seed", type=whole_number(0), default=0, help="seed of all random draws")
    add("--max-side", type=whole_number(32), metavar="PX", help="largest long side; larger films are made at this size")
    add("--workers", type=whole_number(1, high=MOST_WORKERS), metavar="N", help="processes (default: one per core)")
    args = parser.parse_args(argv)
    for source, films in args.films:
        made = write_phantoms(args.out, source, films, args.seed, args.max_side, args.workers)
        print(f"{args.out / source}: {made} films made" + (", the others existed" if made < films else ""))
