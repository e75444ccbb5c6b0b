#!/usr/bin/env python3
"""Make odd films with labels from ordinary ones, and test models on them: boxes, orientation and flags, kind by kind."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hipdet.cli.main import HelpFormatter, reports_errors, whole_number
from odd.kinds import KINDS
from odd.make import make_kinds
from odd.run import OddFilms, fold_models, run_models, write_report

EXAMPLES = """examples:
  benchmarks/odd_films.py make FracAtlas/annotations/hips.json --data-root FracAtlas --out odd
  benchmarks/odd_films.py test odd --out table                              the bundled model
  benchmarks/odd_films.py test odd --model hips/model.onnx --out table      an exported model, or a folder of hipdet fit
  benchmarks/odd_films.py test odd --fold-models odd_folds.csv --out table  each film with a model not trained on it

Films are made with numpy and Pillow alone, its font and its JPEG encoder: training, which changes films with OpenCV, has
never seen any of this.  The ordinary films must be upright, with bright bone.
"""
MAKE_EXAMPLES = f"""kinds:
{chr(10).join(f"  {name:<15} {kind.says}" for name, kind in KINDS.items())}

examples:
  benchmarks/odd_films.py make films.json --data-root FOLDER --out odd
  benchmarks/odd_films.py make films.json --data-root FOLDER --out few --kinds upside_down burnt --films 20

Writes OUT/images/<kind>/, OUT/<kind>.json (COCO, with `turned`, `inverted` and `made_from` in its image records) and
OUT/provenance.json.  Films without labels, or with boxes to ignore, are left out.  If interrupted, run it again: films that
exist are kept.
"""
TEST_EXAMPLES = """examples:
  benchmarks/odd_films.py test odd --out table
  benchmarks/odd_films.py test odd --model knees --kinds ordinary lying_left --out table
  benchmarks/odd_films.py test odd --fold-models odd_folds.csv --out table

The table of --fold-models has a row for each ordinary film, by its name in the COCO file; paths of models are relative to
the folder of the table:

  image,model
  images/IMG0000041.jpg,fold1/model.onnx

Writes OUT/odd_films.md, odd_films.csv (by kind) and odd_films.json (also by film).
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=HelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="make or test")
    make = commands.add_parser(
        "make", help="make odd films", description="Make odd films with labels.", epilog=MAKE_EXAMPLES,
        formatter_class=HelpFormatter,
    )  # fmt: skip
    make.add_argument("annotations", type=Path, help="COCO file of ordinary films, as hipdet convert writes it")
    make.add_argument(
        "--data-root", type=Path, required=True, help="folder that the films' names are relative to", metavar="FOLDER"
    )
    make.add_argument("--out", type=Path, required=True, help="folder for the films")
    make.add_argument("--seed", type=whole_number(0), default=0, help="seed of all random draws")
    make.add_argument("--films", type=whole_number(1), metavar="N", help="use the first N films alone (default: all)")
    test = commands.add_parser(
        "test", help="test models on odd films", description="Test models on odd films.", epilog=TEST_EXAMPLES,
        formatter_class=HelpFormatter,
    )  # fmt: skip
    test.add_argument("odd", type=Path, help="folder of odd films")
    which = test.add_mutually_exclusive_group()
    which.add_argument("--model", help="an exported model, or a folder of hipdet fit (default: the bundled model)")
    which.add_argument("--fold-models", type=Path, metavar="CSV", help="table image,model: the model of each film")
    test.add_argument("--out", type=Path, required=True, help="folder for the tables")
    test.add_argument("--threads", type=whole_number(1), metavar="N", help="threads of a model")
    for each in (make, test):
        each.add_argument("--kinds", nargs="+", choices=KINDS, metavar="KIND", help="these kinds alone (default: all)")
    return parser.parse_args(argv)


@reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    """Make films, or test models and print the tables."""
    args = parse_arguments(argv)
    if args.command == "make":
        counts = make_kinds(
            args.annotations, args.data_root, args.out, args.kinds or list(KINDS), args.seed, args.films
        )
        few = "".join(f", {count} of kind {kind}" for kind, count in counts.items() if count < max(counts.values()))
        print(f"{args.out}: {max(counts.values())} films of each of {len(counts)} kinds{few}")
        return
    odd = OddFilms.read(args.odd, args.kinds)
    models = fold_models(args.fold_models) if args.fold_models else args.model
    print(write_report(odd, run_models(odd, models, args.threads), args.out))


if __name__ == "__main__":
    main()
