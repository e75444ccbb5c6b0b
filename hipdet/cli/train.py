"""Train a detector with mmengine's runner."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmengine.runner import Runner

from hipdet.cli.config_arguments import add_config_arguments, load_config
from hipdet.cli.errors import reports_errors
from hipdet.engine.config import require_readable_start, use_amp, use_auto_scale_lr, use_resume
from hipdet.engine.loop import joined_ranks

EXAMPLES = """examples:
  hipdet train configs/hip_ssd_exp3.py
  hipdet train configs/hip_ssd_exp3.py --resume                     carry on from the last epoch
  hipdet train configs/hip_ssd_r18_demo.py --data-root data/phantoms --cfg-options train_cfg.max_epochs=30
  hipdet train configs/hip_roi_medium.py --train-ann annotations/knees_train.json --val-ann annotations/knees_val.json
  tools/dist_train.sh configs/hip_ssd_exp3.py 8                       eight GPUs of this machine
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="hipdet train", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser, parts=("train", "val"))
    parser.add_argument("--amp", action="store_true", help="mixed precision (GPU only)")
    parser.add_argument("--auto-scale-lr", action="store_true", help="scale the learning rate by the batch size")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        help="checkpoint to resume from; without a path the last one of the work dir",
    )
    return parser.parse_args(argv)


@reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    """Run it."""
    args = parse_arguments(argv)
    cfg = load_config(args)
    if args.amp:
        use_amp(cfg)
    if args.auto_scale_lr:
        use_auto_scale_lr(cfg)
    if args.resume:
        use_resume(cfg, args.resume)
    else:
        require_readable_start(cfg)
    with joined_ranks(cfg):
        Runner.from_cfg(cfg).train()
