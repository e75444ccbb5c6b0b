#!/usr/bin/env python3
"""Labelling effort that proposals save: hips accepted unchanged, and mouse actions per film with and without proposals."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hipdet.cli.main import reports_errors
from hipdet.core.boxes import iou_matrix
from hipdet.core.errors import DatasetError
from hipdet.core.records import read_json
from hipdet.evaluation.report import CORNERS, FOUND_CORNERS

EXAMPLES = """examples:
  hipdet split FracAtlas/annotations/hips.json --val 0.8                   20 films to train on, 80 to propose on
  hipdet train configs/hip_roi_small.py --train-ann annotations/hips_train.json --val-ann annotations/hips_val.json
  hipdet test CONFIG CHECKPOINT --test-ann annotations/hips_val.json
  benchmarks/labelling_effort.py WORK_DIR/test.roi.json

In the table of hipdet test the detections serve as proposals, and the labels as the boxes that an annotator would make of
them.  A proposal with the IoU of --accept or more is kept unchanged.  Otherwise the square is moved (one drag), or resized
(one drag), or both, whichever is needed; a hip without proposal is drawn (one drag); a square that is no hip is selected (one
click) and deleted (one key).  Every film takes one key to go on.  Without proposals: one drag per hip and that key.
"""


def drags(label: Sequence[float], found: Sequence[float] | None, accept: float) -> int:
    """Number of mouse actions that turn the proposal `found` into `label`, both xyxy."""
    if found is None:
        return 1
    x0, y0, x1, y1 = found
    across, down = (label[0] + label[2] - x0 - x1) / 2, (label[1] + label[3] - y0 - y1) / 2
    moved = x0 + across, y0 + down, x1 + across, y1 + down
    side = max(label[2] - label[0], label[3] - label[1])
    resized = [  # the opposite corner stays when one is dragged
        (x0, y0, x0 + side, y0 + side), (x1 - side, y0, x1, y0 + side),
        (x0, y1 - side, x0 + side, y1), (x1 - side, y1 - side, x1, y1),
    ]  # fmt: skip
    as_it_is, *changed = iou_matrix([label], [found, moved, *resized])[0]
    if as_it_is >= accept:
        return 0
    return 1 if max(changed) >= accept else 2


def effort(table: Mapping[str, Sequence[Mapping[str, Any]]], accept: float) -> dict[str, float]:
    """The effort from a table of RoiMetric, by name."""
    mouse: Counter[int] = Counter()  # actions by film
    accepted = 0
    for row in table["rois"]:
        found = None if row["found_x0"] is None else [row[corner] for corner in FOUND_CORNERS]
        actions = drags([row[corner] for corner in CORNERS], found, accept)
        mouse[row["image_id"]] += actions
        accepted += found is not None and actions == 0
    films, hips = len(mouse), len(table["rois"])
    mouse.update(row["image_id"] for row in table["extras"])  # selected by a click, deleted by a key
    return {
        "films": films,
        "hips": hips,
        f"hips accepted (IoU >= {accept:g})": accepted / hips,
        "films accepted whole": sum(not count for count in mouse.values()) / films,
        "mouse actions per film, with proposals": sum(mouse.values()) / films,
        "mouse actions per film, without": hips / films,
        "keys per film, with proposals": 1 + len(table["extras"]) / films,
        "keys per film, without": 1.0,
    }


@reports_errors
def main() -> None:
    """Print the effort."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, help="test.roi.json of films that weren't trained on")
    parser.add_argument(
        "--accept", type=float, default=0.85, help="least IoU to accept a proposal (default: %(default)s)"
    )
    args = parser.parse_args()
    expected = "test.roi.json as hipdet test writes it"
    try:
        metrics = effort(read_json(args.table, expected), args.accept)
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise DatasetError(f"{args.table}: expected {expected} ({error!r})") from error
    for name, value in metrics.items():
        print(f"{name:<42} {value:>8.3f}" if isinstance(value, float) else f"{name:<42} {value:>8}")


if __name__ == "__main__":
    main()
