"""Test a detector: COCO mAP and the ROI figures, as a table, JSON and a list of ROIs with the worst on top."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.evaluation import DumpDetResults
from mmengine.runner import Runner

from hipdet.cli.main import command_parser
from hipdet.cli.train import add_config_arguments, load_config
from hipdet.core.errors import ConfigError
from hipdet.engine.checkpoint import read_checkpoint
from hipdet.engine.config import use_flip_averaging
from hipdet.engine.loop import joined_ranks

EXAMPLES = """examples:
  hipdet test configs/hip_ssd_exp3.py work_dirs/hip_ssd_exp3/epoch_120.pth
  hipdet test configs/hip_ssd_exp3.py CHECKPOINT --show-dir pictures     painted films too
  hipdet test configs/hip_ssd_exp3.py CHECKPOINT --tta                   average with the mirror image
  hipdet test configs/hip_ssd_exp3.py CHECKPOINT --test-ann annotations/elsewhere.json     other films
  tools/dist_test.sh configs/hip_ssd_exp3.py CHECKPOINT 8                  eight GPUs of this machine
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = command_parser("test", __doc__, EXAMPLES)
    add = parser.add_argument
    add_config_arguments(parser, parts=("test",))
    add("checkpoint", help="checkpoint file (.pth)")
    add("--out", help="dump predictions to a pickle file, as mmdet's tools do")
    add("--show", action="store_true", help="show painted films")
    add("--show-dir", help="save painted films to <work dir>/<timestamp>/<show dir>")
    add("--wait-time", type=float, default=2, help="seconds per shown film")
    add("--tta", action="store_true", help="average each film with its mirror image")
    args = parser.parse_args(argv)
    if args.out and not args.out.endswith((".pkl", ".pickle")):
        raise ConfigError(f"--out {args.out}: the dump is a pickle file; let the name end in .pkl")
    cfg = load_config(args)
    if not cfg.get("test_dataloader") or not cfg.get("test_evaluator"):
        raise ConfigError(f"{args.config}: has no films to test on: set test_dataloader, test_evaluator and test_cfg")
    read_checkpoint(args.checkpoint)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.show or args.show_dir:
        cfg = trigger_visualization_hook(cfg, args)
    if args.tta:
        use_flip_averaging(cfg)
    for evaluator in cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]:
        if evaluator.type == "RoiMetric":
            evaluator.setdefault("outfile_prefix", f"{cfg.work_dir}/test")
    with joined_ranks(cfg):
        runner = Runner.from_cfg(cfg)
        if args.out:
            runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
        runner.test()
