#!/usr/bin/env python3
"""What proposals save an annotator: hips accepted as they are, and clicks per film with and without them."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hipdet.cli.errors import reports_errors
from hipdet.core.boxes import paired_iou
from hipdet.core.errors import DatasetError
from hipdet.evaluation.report import CORNERS, FOUND_CORNERS

EXAMPLES = """examples:
  hipdet split FracAtlas/annotations/hips.json --val 0.8                   20 films to train on, 80 to propose on
  hipdet train configs/hip_roi_small.py --train-ann annotations/hips_train.json --val-ann annotations/hips_val.json
  hipdet test CONFIG CHECKPOINT --test-ann annotations/hips_val.json
  benchmarks/labelling_effort.py WORK_DIR/test.roi.json

The table of hipdet test has the labels of films and what was detected on them: proposals, and what a person would make of
them.  A hip whose proposal has the IoU of --accept or more is taken as it is.  Otherwise the square is moved (one drag), or
resized (one drag), or both, whichever brings it there; a hip without proposal is drawn (one drag); a square that is no hip is
picked (one click) and deleted (one key).  Every film takes one key to go on.  Without proposals: a drag per hip and that key.
"""


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, help="test.roi.json of films that weren't trained on")
    parser.add_argument("--accept", type=float, default=0.85, help="IoU (default: %(default)s)")
    return parser.parse_args()


def drags(label: Sequence[float], found: Sequence[float] | None, accept: float) -> int:
    """Mouse actions that make `label` out of the proposal `found`, both xyxy."""
    if found is None:
        return 1
    if _iou(label, found) >= accept:
        return 0
    centre = [(label[axis] + label[axis + 2]) / 2 for axis in (0, 1)]
    half = [(found[axis + 2] - found[axis]) / 2 for axis in (0, 1)]
    moved = [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]]
    # one corner stays when another is drawn
    side = max(label[2] - label[0], label[3] - label[1])
    resized = [
        [found[0], found[1], found[0] + side, found[1] + side],
        [found[2] - side, found[1], found[2], found[1] + side],
        [found[0], found[3] - side, found[0] + side, found[3]],
        [found[2] - side, found[3] - side, found[2], found[3]],
    ]
    return 1 if max(_iou(label, box) for box in (moved, *resized)) >= accept else 2


def _iou(label: Sequence[float], box: Sequence[float]) -> float:
    return float(paired_iou([label], [box])[0])


def effort(table: Mapping[str, Sequence[Mapping[str, Any]]], accept: float) -> dict[str, float]:
    """The figures of a table of RoiMetric."""
    mouse: dict[int, int] = defaultdict(int)
    keys: dict[int, int] = defaultdict(int)
    accepted = hips = 0
    for row in table["rois"]:
        found = None if row["found_x0"] is None else [row[corner] for corner in FOUND_CORNERS]
        actions = drags([row[corner] for corner in CORNERS], found, accept)
        mouse[row["image_id"]] += actions
        accepted += found is not None and actions == 0
        hips += 1
    films = len(mouse)
    for row in table["extras"]:
        mouse[row["image_id"]] += 1
        keys[row["image_id"]] += 1
    return {
        "films": films,
        "hips": hips,
        f"hips accepted (IoU >= {accept:g})": accepted / hips,
        "films accepted whole": sum(not count for count in mouse.values()) / films,
        "mouse actions per film, with proposals": sum(mouse.values()) / films,
        "mouse actions per film, without": hips / films,
        "keys per film, with proposals": 1 + sum(keys.values()) / films,
        "keys per film, without": 1.0,
    }


@reports_errors
def main() -> None:
    """Print the figures."""
    args = parse_arguments()
    try:
        table = json.loads(args.table.read_text(encoding="utf-8"))
        figures = effort(table, args.accept)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise DatasetError(f"{args.table}: expected test.roi.json as hipdet test writes it ({error!r})") from error
    for name, value in figures.items():
        print(f"{name:<42} {value:>8.3f}" if isinstance(value, float) else f"{name:<42} {value:>8}")


if __name__ == "__main__":
    main()
