#!/usr/bin/env python3
"""Measure speed side by side, as ratios with their spread: benchmark.md and benchmark.json."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from hipdet.cli.main import reports_errors, require
from speed.results import Results, say

EXAMPLES = """examples:
  benchmarks/benchmark.py --yolo yolo11n_640.onnx yolo11n_320.onnx     all sections; ratios to the first YOLO
  benchmarks/benchmark.py network training --turns 10                   two sections
  benchmarks/benchmark.py growth --films 100 1000 10000

Exported YOLO files come from ultralytics, in an environment of its own (it is AGPL):
  yolo export model=yolo11n.yaml format=onnx imgsz=640
A section that is in OUT/benchmark.json isn't measured again without --again.  Nothing else should run on the machine.
"""
# each is a module of speed/, such as speed/end_to_end.py, with a function `section`
SECTIONS = ("end-to-end", "network", "training", "growth")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/benchmark"), help="(default: %(default)s)")
    parser.add_argument("--yolo", nargs="+", type=Path, default=[], metavar="ONNX", help="exported YOLO detectors")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="(default: one per core)")
    parser.add_argument("--turns", type=int, default=15, help="runs of each contestant (default: %(default)s)")
    parser.add_argument("--films", nargs="+", type=int, default=[100, 1000], help="for growth (default: 100 1000)")
    parser.add_argument("--again", action="store_true", help="measure also the sections that OUT already has")
    args = parser.parse_args(argv)
    args.out = args.out.resolve()
    if unknown := [name for name in args.sections if name not in SECTIONS]:
        parser.error(f"no section {unknown[0]!r}: expected some of {', '.join(SECTIONS)}")
    return args


@reports_errors
def main() -> None:
    """Measure the sections and print their tables."""
    args = parse_arguments()
    say("loading torch and mmdet")
    require(["mm"], "benchmark")
    results = Results(args.out)
    for name in args.sections or SECTIONS:
        if name in results.sections and not args.again:
            print(f"{name}: already in {results.json}")
            continue
        say(f"{name}: making films and models")
        tables = import_module(f"speed.{name.replace('-', '_')}").section(args.out / "files", args)
        results.add(name, args.threads, tables)
        print("\n".join(table.markdown() for table in tables))
    print(results.markdown)


if __name__ == "__main__":
    main()
