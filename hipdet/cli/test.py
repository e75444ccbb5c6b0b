"""Test a detector: COCO mAP and ROI metrics as a table and as JSON, and a list of ROIs, worst first."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.evaluation import DumpDetResults
from mmengine.runner import Runner

from hipdet.cli.main import command_parser
from hipdet.cli.train import add_config_arguments, load_config
from hipdet.core.errors import ConfigError
from hipdet.core.files import stored_in
from hipdet.engine.checkpoint import read_checkpoint
from hipdet.engine.config import require_annotations, use_flip_averaging
from hipdet.engine.loop import joined_ranks, strict_logs

EXAMPLES = """examples:
  hipdet test configs/hip_ssd_exp3.py work_dirs/hip_ssd_exp3/epoch_120.pth
  hipdet test configs/hip_ssd_exp3.py CHECKPOINT --show-dir pictures     save films with detections
  hipdet test configs/hip_ssd_exp3.py CHECKPOINT --tta                   with test-time augmentation
  hipdet test configs/hip_ssd_exp3.py CHECKPOINT --test-ann annotations/elsewhere.json     on other films
  tools/dist_test.sh configs/hip_ssd_exp3.py CHECKPOINT 8                  on eight GPUs
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Test the checkpoint; the metrics are printed and written to the work dir."""
    parser = command_parser("test", __doc__, EXAMPLES)
    add = parser.add_argument
    add_config_arguments(parser, parts=("test",))
    add("checkpoint", metavar="CHECKPOINT", help="checkpoint (.pth or .safetensors)")
    add("--out", metavar="FILE", help="dump predictions to a pickle file, as mmdet's tools do")
    add("--show", action="store_true", help="show films with detections drawn on them")
    add("--show-dir", metavar="FOLDER", help="save such films to <work dir>/<timestamp>/FOLDER")
    add("--wait-time", type=float, default=2, metavar="SECONDS", help="seconds per shown film")
    add("--tta", action="store_true", help="test-time augmentation: average each film with its mirror image")
    args = parser.parse_args(argv)
    if args.out and not args.out.endswith((".pkl", ".pickle")):
        raise ConfigError(f"--out {args.out}: expected a name that ends in .pkl, as it is a pickle file")
    cfg = load_config(args)
    loader = cfg.get("test_dataloader")
    if not loader or not cfg.get("test_evaluator") or loader.get("dataset", {}).get("ann_file") == "":
        raise ConfigError(f"{args.config}: has no films to test on: name them with --test-ann")
    require_annotations(cfg, ("test",))
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
    with strict_logs(), stored_in(cfg.work_dir), joined_ranks(cfg):
        runner = Runner.from_cfg(cfg)
        if args.out:
            runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
        runner.test()
