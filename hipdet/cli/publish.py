"""Reduce a checkpoint to its weights and a description, as .pth and .safetensors with a SHA-256 in the name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hipdet.cli.main import command_parser
from hipdet.core.records import read_json
from hipdet.export.publish import publish

EXAMPLES = """examples:
  hipdet publish work_dirs/hip_ssd_exp3/epoch_120.pth
  hipdet publish work_dirs/experiments/seed0/exp3/epoch_120.pth --name hip_ssd_exp3 --out published
  hipdet test configs/hip_ssd_exp3.py published/hip_ssd_exp3-1a2b3c4d.safetensors           use it like any checkpoint

Kept: weights (the moving average, if training kept one), config without paths of this machine, classes, names of the
annotation files, epoch, seed, versions, and the metrics of val_report.json and test_report.json beside the checkpoint, if
they are of its epoch.  To read .safetensors files elsewhere: pip install safetensors.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Publish the checkpoint and print the files written."""
    parser = command_parser("publish", __doc__, EXAMPLES)
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CHECKPOINT", help="checkpoint of hipdet train, or a published one")
    add("--out", type=Path, default=Path("published"), metavar="FOLDER", help="output folder")
    add("--name", help="name of the model (default: that of its config)")
    add("--report", type=Path, nargs="+", metavar="FILE", help="reports of this checkpoint (default: those beside it)")
    args = parser.parse_args(argv)
    before = args.checkpoint.stat().st_size if args.checkpoint.is_file() else 0
    *files, card = publish(args.checkpoint, args.out, args.name, args.report)
    for path in files:
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    measured = [report["ann_file"] for report in read_json(card, "the card")["measured"]]
    print(f"{card}: metrics of {', '.join(measured) or 'no report, as no report of this checkpoint is beside it'}")
    print(f"from {args.checkpoint}: {before / 1e6:.1f} MB")
