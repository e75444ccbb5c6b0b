#!/usr/bin/env python3
"""Train a detector with mmengine's runner."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hipdet  # noqa: F401, I001  (before mmdet: makes mmcv-lite usable)
from mmengine.runner import Runner

from hipdet.cli import mm_arguments
from hipdet.cli.errors import reports_errors
from hipdet.cli.ranks import joined_ranks

EXAMPLES = """examples:
  tools/train.py configs/hip_ssd_exp3.py
  tools/train.py configs/hip_ssd_exp3.py --resume                     carry on from the last epoch
  tools/train.py configs/hip_ssd_r18_demo.py --data-root data/phantoms --cfg-options train_cfg.max_epochs=30
  tools/train.py configs/hip_roi_medium.py --train-ann annotations/knees_train.json --val-ann annotations/knees_val.json
  tools/dist_train.sh configs/hip_ssd_exp3.py 8                       eight GPUs of this machine
"""


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mm_arguments.add_arguments(parser, parts=("train", "val"))
    parser.add_argument("--amp", action="store_true", help="mixed precision (GPU only)")
    parser.add_argument("--auto-scale-lr", action="store_true", help="scale the learning rate by the batch size")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        help="checkpoint to resume from; without a path the last one of the work dir",
    )
    return parser.parse_args()


@reports_errors
def main() -> None:
    """Run it."""
    args = parse_arguments()
    cfg = mm_arguments.load_config(args)
    if args.amp:
        mm_arguments.use_amp(cfg)
    if args.auto_scale_lr:
        mm_arguments.use_auto_scale_lr(cfg)
    if args.resume:
        mm_arguments.use_resume(cfg, args.resume)
    else:
        mm_arguments.require_readable_start(cfg)
    with joined_ranks(cfg):
        Runner.from_cfg(cfg).train()


if __name__ == "__main__":
    main()
