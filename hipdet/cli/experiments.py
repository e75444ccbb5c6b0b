"""Train and test the paper's experiments, and write its Tables 2 and 3 with our metrics beside the paper's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import DictAction

from hipdet.cli.main import command_parser, whole_number
from hipdet.core.configs import default_root, read_config
from hipdet.data.sources.phantoms import convert_phantoms
from hipdet.data.split import SPLIT_BY
from hipdet.engine.config import require_gpu_for_amp
from hipdet.paper.data import DataSet, Split
from hipdet.paper.facts import CGOA, EXPERIMENTS, GIS, OAIH
from hipdet.paper.run import Run
from hipdet.phantoms.write import write_phantoms

CONFIG = "configs/hip_ssd_exp3.py"
QUICK_CONFIG = "configs/hip_ssd_r18_demo.py"
QUICK_FILMS = {CGOA: 360, OAIH: 240, GIS: 200}
QUICK_OPTIONS = {"train_cfg.max_epochs": 16, "train_cfg.val_interval": 16}
QUICK_MAX_SIDE = 256  # pixels; the network sees 224
EXAMPLES = """examples:
  hipdet experiments --quick                               all ten on synthetic films, about 35 minutes on 2 cores
  hipdet experiments --data-root data                      on the paper's: data/annotations/{cgoa,oaih,gis}.json
  hipdet experiments 1-3 7 --data-root data --seeds 3      mean and spread of three seeds
  hipdet experiments 3 --data cgoa=A/cgoa.json oaih=B/oaih.json@B/films gis=FracAtlas/annotations/hips.json
  hipdet experiments 3 --data-root data --data fracatlas=FracAtlas/annotations/hips.json    one more test set
  hipdet experiments --data-root data --split image        split film by film as in the paper, which leaks
  hipdet experiments --data-root data --processes 8        on 8 GPUs; without a GPU, in 8 processes on the CPU

If interrupted, run it again: finished trainings are kept, an interrupted one resumes from its last epoch.
Writes to --out: table2, table3 and anchors (predicted from the anchors, and measured) as .md, .csv and .json, and
seed<S>/exp<N>/ with config, logs, weights and every ROI.
"""


def experiment_numbers(text: str) -> list[int]:
    """Parse ``3`` or ``7-10`` as experiment numbers."""
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number or a range such as 7-10")
    numbers = list(range(int(first), int(last or first) + 1))
    if not numbers or not set(numbers) <= set(EXPERIMENTS):
        raise argparse.ArgumentTypeError(f"{text!r}: the paper has experiments 1 to {max(EXPERIMENTS)}")
    return numbers


def data_set(text: str) -> DataSet:
    """Parse ``NAME=FILE`` or ``NAME=FILE@FOLDER`` as a data set."""
    name, _, place = text.partition("=")
    file, _, folder = place.partition("@")
    if not name.isidentifier() or not file:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=FILE or NAME=FILE@FOLDER, such as gis=data/gis.json")
    return DataSet.at(name, Path(file), Path(folder) if folder else None)


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("experiments", __doc__, EXAMPLES)
    add = parser.add_argument
    add(
        "experiments", nargs="*", type=experiment_numbers, metavar="N",
        help="numbers or ranges, such as 1 3 7-10 (default: all ten)",
    )  # fmt: skip
    add(
        "--data-root", type=Path, metavar="FOLDER",
        help="folder with annotations/{cgoa,oaih,gis}.json (default: $HIPDET_DATA, else data)",
    )  # fmt: skip
    add(
        "--data", nargs="+", type=data_set, default=[], metavar="NAME=FILE[@FOLDER]",
        help="COCO file of a data set, with the folder of its films if that isn't the one above annotations/; names other "
        "than cgoa, oaih and gis are additional test sets",
    )  # fmt: skip
    add("--out", type=Path, default=Path("work_dirs/experiments"), metavar="FOLDER", help="output folder")
    add("--config", metavar="CONFIG", help=f"config to start from (default: {CONFIG}, with --quick {QUICK_CONFIG})")
    add(
        "--quick", action="store_true",
        help="train a small backbone from scratch; on synthetic films unless the paper's sets are given",
    )  # fmt: skip
    add("--seeds", type=whole_number(1), default=1, metavar="N", help="trainings per experiment, with seeds 0, 1, ...")
    add("--split", choices=SPLIT_BY, default="patient", help="split by patient, or film by film, which leaks")
    add("--val-fraction", type=float, default=0.1, metavar="SHARE", help="share for validation")
    add("--split-seed", type=int, default=0, metavar="SEED", help="seed of the split, the same for all trainings")
    gpus = torch.cuda.device_count()
    add("--processes", type=whole_number(1), default=max(1, gpus), metavar="N", help="ranks (default: one per GPU)")
    add("--amp", action="store_true", help="mixed precision (GPU only)")
    add("--cfg-options", nargs="+", action=DictAction, default={}, metavar="KEY=VALUE", help="override the config")
    return parser.parse_args(argv)


def data_sets(args: argparse.Namespace) -> dict[str, DataSet]:
    """The data sets by name, in the paper's order; ``--quick`` makes synthetic ones if none of the paper's is given."""
    root = args.data_root
    if root is None and args.quick and not {CGOA, OAIH, GIS} & {given.name for given in args.data}:
        root = args.out / "phantoms"
        for source, films in QUICK_FILMS.items():
            write_phantoms(root, source, films, max_side=QUICK_MAX_SIDE)
        convert_phantoms(root)
    root = root or Path(default_root())
    found = {name: DataSet.at(name, root / f"annotations/{name}.json") for name in (CGOA, OAIH, GIS)}
    found = {name: there for name, there in found.items() if there.annotations.is_file()}
    return {**found, **{given.name: given for given in args.data}}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiments and print Table 2."""
    args = _parse_arguments(argv)
    if args.amp:
        require_gpu_for_amp()
    base = read_config(args.config or (QUICK_CONFIG if args.quick else CONFIG))
    base.merge_from_dict({**(QUICK_OPTIONS if args.quick else {}), **args.cfg_options})
    run = Run(
        numbers=sorted({number for numbers in args.experiments for number in numbers}) or list(EXPERIMENTS),
        data_sets=data_sets(args),
        out=args.out,
        split=Split(args.split, args.val_fraction, args.split_seed),
        seeds=range(args.seeds),
        processes=args.processes,
        flags=["--amp"] if args.amp else [],
    )
    tables = run.execute(base)
    print(tables[0].read_text(encoding="utf-8"))
    print(f"written to {', '.join(map(str, tables))}, and as .csv and .json")
