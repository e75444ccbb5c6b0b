"""Make one folder of the results of shards: COCO results, table, review list."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hipdet.cli.main import command_parser, printable
from hipdet.core.errors import DatasetError
from hipdet.inference.archive import REMEDY, Results, find_runs, read_results
from hipdet.inference.results import write_films, write_predictions

EXAMPLES = """examples:
  hipdet merge predictions --out merged                              all shards in predictions, also those of ray
  hipdet merge predictions/shard-*-of-64 more/shard-1-of-1 --out merged

Writes predictions.json, predictions.csv, review.csv and films.json, as hipdet predict does without shards.  All must have
been predicted with the same model and settings, and each film once.  Films keep their ids; if two have the same one, because
films were added between shards, all are numbered again in order of their names.  It takes some kilobytes of memory a film.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("merge", __doc__, EXAMPLES)
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RESULTS", help="folders of shards, or one that has folders of shards")
    add("--out", type=Path, default=Path("merged"), metavar="FOLDER", help="output folder")
    return parser.parse_args(argv)


def results_at(places: Sequence[Path]) -> Results | None:
    """The results of shards at `places` as one; None if these are other results.

    Prints what is missing.

    Raises:
        DatasetError: results that don't belong together.
    """
    folders = find_runs(places)
    results = read_results(folders) if folders else None
    for line in results.lines if results else ():
        print(printable(f"warning: {line}"), file=sys.stderr)
    return results


def main(argv: Sequence[str] | None = None) -> None:
    """Write the files and print what was written."""
    args = _parse_arguments(argv)
    results = results_at(args.results)
    if results is None:
        raise DatasetError(f"{args.results[0]}: no results of a shard, which could be merged: {REMEDY}")
    films, review = results.films, args.out / "review.csv"
    write_predictions(args.out, films.__iter__, results.categories)
    write_films(args.out / "films.json", films.__iter__, results.categories)
    bad = sum(film.error is not None for _, film in films)
    print(printable(f"{len(films)} films, of which {bad} can't be read: {args.out}; films to review: {review}"))
