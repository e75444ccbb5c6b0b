#!/usr/bin/env python3
"""Write a checkpoint as one ONNX file that needs neither torch nor mmdet, and compare it with what it comes from."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hipdet.cli.needs_mm  # noqa: F401, I001  (before mmdet: makes mmcv-lite usable)

from hipdet.cli.errors import reports_errors
from hipdet.coco.data_root import coco_file
from hipdet.errors import ConfigError
from hipdet.export.comparison import NOISE, films_to_compare, with_bar
from hipdet.export.export_model import export_model
from hipdet.export.validation_films import validation_films
from hipdet.files import write_json
from hipdet.inference.model_card import ModelCard
from hipdet.inference.review import SHARE, limits_of
from hipdet.inference.torch_model import LIMITS_SUFFIX, TorchModel
from hipdet.roi_counts import RoiCounts

EXAMPLES = """examples:
  tools/export.py configs/hip_roi_medium.py work_dirs/hip_roi_medium/epoch_150.pth --out hips.onnx
  tools/export.py CONFIG WEIGHTS --calibrate OUT/base/fold*/test/test.roi.json \\
      --ann hips.json --data-root FracAtlas                      with review limits
  tools/export.py CONFIG WEIGHTS --films data/knees --rois knee=1-2       compared on films of one's own
  tools/export.py CONFIG WEIGHTS --about data='FracAtlas, CC BY 4.0' limits='adults; not for diagnosis'

Limits for the review come from detections on films that the model wasn't trained on; they go into the file, and into
WEIGHTS.review.json beside the weights, where config and weights are used as they are.
"""


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="config file, such as configs/hip_roi_medium.py")
    parser.add_argument("weights", type=Path, help="checkpoint (.pth or .safetensors)")
    parser.add_argument("--out", type=Path, help="file to write (default: WEIGHTS with .onnx)")
    parser.add_argument("--name", help="of the model (default: that of its config)")
    parser.add_argument(
        "--calibrate", nargs="+", type=Path, metavar="ROI.json", help="tables of a test, or of all folds"
    )
    parser.add_argument(
        "--ann", type=Path, help="COCO file of the films in these tables, under the data root or from here"
    )
    parser.add_argument("--data-root", type=Path, help="folder of these films, to learn how inverted films are told")
    parser.add_argument(
        "--share", type=float, default=SHARE, help="of their ROIs beyond each limit (default: %(default)s)"
    )
    parser.add_argument(
        "--rois",
        nargs="+",
        help="expected on a film: 2, or heart=1 lung=1-2 (default: those of the config's RoiMetric)",
    )
    parser.add_argument("--about", nargs="+", default=[], metavar="KEY=TEXT", help="texts for the file's metadata")
    parser.add_argument(
        "--films", nargs="+", default=["12"], metavar="N|PATH",
        help="to compare on: paths or folders of films, or a number of drawn ones, 0 for none (default: 12)",
    )  # fmt: skip
    return parser.parse_args()


def card_of(model: TorchModel, args: argparse.Namespace) -> ModelCard:
    """The card of the model, with what the arguments add.

    Raises:
        ConfigError: arguments that don't go together.
        DatasetError: tables that can't be read.
    """
    if bool(args.calibrate) != bool(args.ann):
        raise ConfigError("--calibrate needs --ann, the COCO file of the films in its tables, and the other way round")
    if wrong := [text for text in args.about if "=" not in text]:
        raise ConfigError(f"--about {wrong[0]}: expected KEY=TEXT")
    if not 0 <= args.share < 0.5:
        raise ConfigError(f"--share {args.share}: expected a share below 0.5, such as {SHARE}")
    about = dict(text.split("=", 1) for text in args.about)
    rois: Any = RoiCounts.from_words(args.rois, model.card.classes).to_json() if args.rois else model.card.rois
    card = replace(
        model.card,
        config=args.name or model.card.config,
        about={**model.card.about, **about},
        rois=rois,
    )
    if args.calibrate:
        films = validation_films(args.calibrate, coco_file(args.ann, args.data_root), args.data_root, card.classes)
        card = replace(card, limits=limits_of(films, args.share))
    return card


@reports_errors
def main() -> None:
    """Run it."""
    args = parse_arguments()
    model = TorchModel(args.config, args.weights)
    card = card_of(model, args)
    out = args.out or args.weights.with_suffix(".onnx")
    count, films, kind = films_to_compare(args.films, card.classes)
    if kind == NOISE and count:
        print(f"no films of {', '.join(card.classes)} can be drawn: compared on noise; name some films with --films")
    difference = export_model(model, card, out, with_bar(films, count))
    compared = "not compared" if count == 0 else f"boxes as torch's to {difference:.1g} px ({kind})"
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {compared}")
    if args.calibrate and card.limits:
        write_json(args.weights.with_suffix(LIMITS_SUFFIX), card.limits.to_json())
        print(f"review limits from {card.limits.films} films: in it, and {args.weights.with_suffix(LIMITS_SUFFIX)}")
    elif card.limits is None:
        print("without review limits: only the number of ROIs will be looked at (--calibrate)")


if __name__ == "__main__":
    main()
