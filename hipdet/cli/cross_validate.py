"""Cross-validate a config and variants of it on the same folds, and compare them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from hipdet.cli.main import command_parser, folds
from hipdet.core.configs import coco_file, default_root, read_config
from hipdet.core.errors import ConfigError
from hipdet.workflows.cross_validation import CrossValidation, Variant

EXAMPLES = """examples:
  hipdet cross-validate configs/hip_roi_medium.py --data-root FracAtlas --ann annotations/hips.json
  hipdet cross-validate configs/hip_roi_medium.py --data-root FracAtlas --ann annotations/hips.json --folds 3 \\
      --variant once model.passes='(4,)' --variant short train_cfg.max_epochs=100 --jobs 2
  hipdet cross-validate configs/hip_roi_medium.py --data-root FracAtlas --ann annotations/hips.json --folds folds.csv
  hipdet cross-validate configs/hip_roi_medium.py --data-root FracAtlas --ann splits/hips_fold0_train.json --folds 3
                                       choose on folds of a training part; its test part stays unseen

Films of a patient stay together, and every variant has the same folds and seed.  If interrupted, run it again: finished
folds are kept, an interrupted training resumes.  Writes to --out: summary.md, .csv and .json, calibration.png, and
<variant>/fold<k>/ with config, logs, weights and every ROI.  The table includes folders of this form from other programs.
"""


class VariantAction(argparse.Action):
    """``--variant NAME [KEY=VALUE ...]``, any number of times."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Parse the settings as ``--cfg-options`` does."""
        name, *settings = values
        holder = argparse.Namespace()
        DictAction([], "options")(parser, holder, settings)
        try:
            variant = Variant(name, holder.options)
        except ConfigError as error:
            raise argparse.ArgumentError(self, str(error)) from error
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), variant])


def main(argv: Sequence[str] | None = None) -> None:
    """Train and test every variant on every fold, and print the table."""
    parser = command_parser("cross-validate", __doc__, EXAMPLES)
    add = parser.add_argument
    add("config", metavar="CONFIG", help="config file, such as configs/hip_roi_medium.py")
    add("--ann", type=Path, required=True, metavar="ANN.json", help="COCO file of all films, below --data-root or here")
    add("--data-root", type=Path, metavar="FOLDER", help="folder of the films (default: $HIPDET_DATA, else data)")
    add("--out", type=Path, metavar="FOLDER", help="output folder (default: work_dirs/cross_validation/<config name>)")
    add(
        "--folds",
        type=folds,
        default=5,
        metavar="N|FILE",
        help="number of folds, or CSV table image,fold of given ones",
    )
    add("--seed", type=int, default=0, help="seed of the folds and of every training")
    add("--jobs", type=int, default=1, metavar="N", help="trainings in parallel, which share the cores")
    add("--cfg-options", nargs="+", action=DictAction, default={}, metavar="KEY=VALUE", help="override the config")
    add(
        "--variant", nargs="+", action=VariantAction, default=[], metavar=("NAME", "KEY=VALUE"),
        help="a variant of the config with other settings; the table compares it with the config as it is",
    )  # fmt: skip
    args = parser.parse_args(argv)
    root = args.data_root or Path(default_root())
    annotations = coco_file(args.ann, root)
    if (isinstance(args.folds, int) and args.folds < 2) or args.jobs < 1:
        raise ConfigError(f"--folds {args.folds} --jobs {args.jobs}: expected at least 2 folds and 1 job")
    variants = [Variant("base"), *args.variant]
    if len({variant.name for variant in variants}) < len(variants):
        raise ConfigError(
            f"variants are called {', '.join(v.name for v in variants)}; expected different names ('base' is the config)"
        )
    base = read_config(args.config)
    base.merge_from_dict(args.cfg_options)
    out = args.out or Path("work_dirs/cross_validation") / Path(args.config).stem
    run = CrossValidation(annotations, root, out, variants, args.folds, args.seed, args.jobs)
    table, *others = run.execute(base)
    print(table.read_text(encoding="utf-8"))
    print(f"written: {', '.join(map(str, (table, *others)))}")
