#!/usr/bin/env python3
"""Train other detectors on the folds that hipdet was trained on, for a number of CPU seconds, and score them as hipdet.

All are trained from scratch in float32 on one thread, with their own augmentation, in batches of 8; the last epoch is the
result.  Nobody mirrors films whose classes have sides, unless it swaps them, as hipdet does.  Ultralytics is AGPL-3.0 and not
a dependency: its command line runs in an environment of its own, and none of it is imported.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from compared.folds import TABLE_OF_FOLD, Folds, Part
from compared.programs import PROBES, choose_epochs
from compared.rtmdet import RtmDet
from compared.scores import Contestant, compare, square_table, tables
from compared.yolo import Yolo
from hipdet.cli.main import reports_errors
from hipdet.core.errors import DatasetError, HipdetError
from hipdet.core.files import write_json, write_text
from hipdet.core.records import Record, read_json
from hipdet.core.resumable import RunFolder, alone_in, fingerprint

EXAMPLES = """examples:
  hipdet fit films --labels knees.csv --out knees
  python -m venv yolo; yolo/bin/pip install ultralytics
  benchmarks/compare_folds.py knees --out compared --yolo yolo/bin/yolo --seconds 900              YOLO11n, all folds
  benchmarks/compare_folds.py knees --out compared --yolo yolo/bin/yolo --seconds 900 --model yolo26n --side 448 --folds 0
  benchmarks/compare_folds.py knees --out compared --seconds 900 --model rtmdet_tiny --folds 0
  benchmarks/compare_folds.py knees --out compared                                  the tables again, nothing is trained

  hipdet cross-validate configs/hip_roi_medium.py --data-root FracAtlas --ann annotations/hips.json --out OUT
  benchmarks/compare_folds.py OUT --data-root FracAtlas --out OUT --yolo yolo/bin/yolo --seconds 900

Two short trainings on the first fold say how many epochs take --seconds.  Finished folds aren't trained again; others may be
trained by a second process.  The tables, compared.md and compared.json in --out, have all that was ever trained there.
YOLO gets upright films as PNG.
"""
SQUARED, RTMDET = "_squared", RtmDet.model
Model = Yolo | RtmDet


def do_fold(model: Model, folds: Folds, part: Part, place: Path, seconds: float) -> None:
    """Train and score a fold in ``<place>/fold<k>`` unless that is done."""
    fold = place / f"fold{part.number}"
    films = [fingerprint(file.read_bytes()) for file in (part.train, part.test)]
    RunFolder(fold).claim(dict(settings=fingerprint(dict(model.settings(), seconds=seconds)), films=films))
    if RunFolder(fold).record is None:
        epochs = choose_epochs(measured(model, part, place), seconds)
        shutil.rmtree(fold / "train", ignore_errors=True)  # of a run that was ended
        shutil.rmtree(fold / "predict", ignore_errors=True)
        model.prepare(part, fold)
        used = model.train(part, fold, epochs)
        model.test(part, fold)
        figures = read_json(fold / TABLE_OF_FOLD, "a table of ROIs")["figures"]
        record = dict(seconds=used.seconds, cpu_seconds=used.cpu_seconds, epochs=epochs, figures=figures)
        shutil.rmtree(fold / "films", ignore_errors=True)  # copies
        RunFolder(fold).finish(record)
        print(f"{place.name}, fold {part.number}: {epochs} epochs, {used.cpu_seconds:.0f} CPU seconds", flush=True)
    square = place.with_name(place.name + SQUARED) / fold.name
    if folds.square_classes and RunFolder(square).record is None:
        square_table(folds, part.number, (fold / TABLE_OF_FOLD).parent, (square / TABLE_OF_FOLD).parent)
        figures = read_json(square / TABLE_OF_FOLD, "a table of ROIs")["figures"]
        record = read_json(fold / "record.json", "a record")
        RunFolder(square).finish(dict(record, figures=figures))


def measured(model: Model, part: Part, place: Path) -> dict[int, float]:
    """CPU seconds of short trainings by their epochs, measured once for all folds and any --seconds."""
    path = place.with_name(f"{model.model}_{model.side}.speed.json")
    if not path.is_file():
        found, folder = {}, place / "measured"
        with alone_in(place):
            for epochs in PROBES:
                shutil.rmtree(folder, ignore_errors=True)
                model.prepare(part, folder)
                found[str(epochs)] = model.train(part, folder, epochs, probe=True).cpu_seconds
        shutil.rmtree(folder)
        write_json(path, found)
    speeds = Record.of(read_json(path, "measured speeds"), path, remedy="remove the file to measure again")
    return {epochs: float(speeds.number(str(epochs), 0)) for epochs in PROBES}


def contestants(folds: Folds, out: Path) -> list[Contestant]:
    """hipdet's trainings, then all that was trained in `out`."""
    found = [Contestant(name, folders) for name, folders in folds.trained.items()]
    for place in sorted(each for each in out.iterdir() if each.is_dir() and each.name not in folds.trained):
        folders = {number: place / f"fold{number}" for number in folds.parts}
        folders = {number: folder for number, folder in folders.items() if RunFolder(folder).record is not None}
        if folders:
            found.append(Contestant(place.name, folders))
    return found


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folds_of", type=Path, metavar="FOLDER", help="--out of a finished hipdet fit or hipdet cross-validate")
    add("--out", type=Path, required=True, help="folder for the trainings and tables")
    add(
        "--data-root",
        type=Path,
        help="folder that the films' names are relative to (default: the copies of hipdet fit)",
    )
    add("--seconds", type=float, help="CPU seconds of a training, with its start; without it nothing is trained")
    add("--model", default="yolo11n", help="an architecture of Ultralytics, or rtmdet_tiny (default: %(default)s)")
    add("--side", type=int, default=320, help="side of the network's input, px (default: %(default)s)")
    add("--folds", type=int, nargs="+", metavar="NUMBER", help="these folds alone (default: all)")
    add("--yolo", default="yolo", help="Ultralytics' command (default: %(default)s)")
    add(
        "--rate",
        type=float,
        help="learning rate of rtmdet_tiny (default: its own, in proportion to the batch: 0.000125)",
    )
    add("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.side % 32 or args.side < 32:
        raise HipdetError(f"--side {args.side}: expected a multiple of 32, such as 320")
    if args.seconds is not None and not args.seconds > 0:
        raise HipdetError(f"--seconds {args.seconds:g}: expected more than 0")
    if args.rate is not None and not (args.rate > 0 and args.model == RTMDET):
        raise HipdetError(f"--rate {args.rate:g}: expected more than 0, and --model {RTMDET}: YOLO chooses its own")
    return args


@reports_errors
def main() -> None:
    """Train and score what isn't finished, and write the tables."""
    args = parse_arguments()
    folds = Folds.read(args.folds_of, args.data_root)
    numbers = list(folds.parts) if args.folds is None else args.folds
    if unknown := [number for number in numbers if number not in folds.parts]:
        raise DatasetError(f"--folds {unknown[0]}: {args.folds_of} has folds {' '.join(map(str, folds.parts))}")
    common: dict[str, Any] = dict(folds=folds, side=args.side, seed=args.seed)
    rate = {} if args.rate is None else {"rate": args.rate}
    model = RtmDet(**common, **rate) if args.model == RTMDET else Yolo(command=args.yolo, model=args.model, **common)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.seconds is not None:
        name = "_".join(
            [args.model, str(args.side), f"{args.seconds:g}s", *(f"rate{value:g}" for value in rate.values())]
        )
        place = args.out.resolve() / name
        for number in numbers:
            with alone_in(place / f"fold{number}"):  # other folds may be trained at the same time
                do_fold(model, folds, folds.parts[number], place, args.seconds)
    found = compare(folds, contestants(folds, args.out))
    text = tables(found)
    write_json(args.out / "compared.json", found)
    write_text(args.out / "compared.md", text)
    print(text)


if __name__ == "__main__":
    main()
