"""Train a detector with mmengine's runner."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from hipdet.cli.main import command_parser
from hipdet.core.configs import read_config
from hipdet.core.files import stored_in
from hipdet.engine.config import (
    require_annotations,
    require_readable_start,
    use_amp,
    use_annotations,
    use_auto_scale_lr,
    use_data_root,
    use_environment,
    use_resume,
)
from hipdet.engine.loop import joined_ranks, strict_logs
from hipdet.engine.safe_settings import require_writable

PARTS = {"train": "training", "val": "validation", "test": "testing"}


def add_config_arguments(parser: argparse.ArgumentParser, parts: Sequence[str]) -> None:
    """Add the arguments that train and test share; `parts` ("train", "val", "test") get an option for their COCO file."""
    add = parser.add_argument
    add("config", metavar="CONFIG", help="config file, such as configs/hip_ssd_exp3.py")
    add("--work-dir", metavar="FOLDER", help="logs, checkpoints and reports (default: work_dirs/<config name>)")
    add("--data-root", metavar="FOLDER", help="folder of films and annotations/ (default: $HIPDET_DATA, else data)")
    for part in parts:
        add(
            f"--{part}-ann", metavar="ANN.json",
            help=f"COCO file for {PARTS[part]}, below --data-root (default: the config's)",
        )  # fmt: skip
    add(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE",
        help="override settings of the config, such as train_cfg.max_epochs=30 or key='[(a,b),(c,d)]'",
    )  # fmt: skip
    add("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="job launcher")
    add("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config from any working directory and apply the arguments.

    Raises:
        ConfigError: a config that doesn't exist, or that the arguments can't be applied to.
    """
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = read_config(args.config)
    if args.data_root:
        use_data_root(cfg, str(Path(args.data_root).resolve()))
    else:
        use_environment(cfg)
    for part in PARTS:
        if ann_file := getattr(args, f"{part}_ann", None):
            use_annotations(cfg, part, ann_file)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    require_writable(cfg.to_dict())  # training saves it
    cfg.launcher = args.launcher
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get("work_dir"):
        cfg.work_dir = f"work_dirs/{Path(args.config).stem}"
    return cfg


EXAMPLES = """examples:
  hipdet train configs/hip_ssd_exp3.py
  hipdet train configs/hip_ssd_exp3.py --resume                     from the last checkpoint
  hipdet train configs/hip_ssd_r18_demo.py --data-root data/phantoms --cfg-options train_cfg.max_epochs=30
  hipdet train configs/hip_roi_medium.py --train-ann annotations/hips_train.json --val-ann annotations/hips_val.json
  tools/dist_train.sh configs/hip_ssd_exp3.py 8                       on eight GPUs
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Train the detector."""
    parser = command_parser("train", __doc__, EXAMPLES)
    add = parser.add_argument
    add_config_arguments(parser, parts=("train", "val"))
    add("--amp", action="store_true", help="mixed precision (GPU only)")
    add("--auto-scale-lr", action="store_true", help="scale the learning rate with the batch size")
    add(
        "--resume", nargs="?", const="auto", metavar="CHECKPOINT",
        help="resume from a checkpoint, without a path from the last one in the work dir",
    )  # fmt: skip
    args = parser.parse_args(argv)
    cfg = load_config(args)
    if args.amp:
        use_amp(cfg)
    require_annotations(cfg, ("train", "val"))
    if args.auto_scale_lr:
        use_auto_scale_lr(cfg)
    if args.resume:
        use_resume(cfg, args.resume)
    else:
        require_readable_start(cfg)
    with strict_logs(), stored_in(cfg.work_dir), joined_ranks(cfg):
        Runner.from_cfg(cfg).train()
