"""Design anchors for a data set: measure its ROIs, choose grid, scales and aspects, and write a config with them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hipdet.anchors.config import PlanData, config_text, plan_text
from hipdet.anchors.coverage import AnchorMetrics
from hipdet.anchors.feature_map import REFINING, RESNETS, Backbone
from hipdet.anchors.plan import Plan, design
from hipdet.anchors.rois import LabelledSet, read_sets, validation_beside
from hipdet.anchors.search import EQUAL, FITTED, Goal
from hipdet.cli.main import add_unfinished, command_parser
from hipdet.core.configs import get_data_root, read_config
from hipdet.core.errors import ConfigError, DatasetError, RadiographError
from hipdet.core.files import film_below, write_json, write_text
from hipdet.radiographs.read import read_radiograph
from hipdet.visualization.plots import write_anchor_figure

PLAN, PLOT = "anchor_plan.json", "anchors.png"
BASE = "configs/hip_ssd_exp3.py"
EXAMPLES = """examples:
  hipdet anchors data/annotations/knees_train.json                      validates on knees_val.json beside it
  hipdet anchors cgoa_train.json oaih_train.json --val cgoa_oaih_val.json --test gis.json
  hipdet anchors knees.json --scales fitted --coverage 0.95 --grids 7 14 14,7
  hipdet anchors data/annotations/hearts_train.json --base configs/hip_ssd_r18_demo.py     for a small backbone

Columns of the table: number, the anchors on a film; range, their sizes / side of the film; fit, the share of ROIs with an
anchor of their size; matched, the share of ROIs with an anchor of IoU 0.4 or more; IoU, the mean with the best anchor; reach,
the best IoU after regression; positive, anchors per ROI (median); contested, ROIs that share their best anchor with another.
Writes to --out: anchor_plan.json, anchors.png and ssd_NAME.py.  Next: hipdet train FOLDER/ssd_NAME.py
"""


def grids(text: str) -> tuple[int, ...]:
    """Parse ``7`` or ``14,7``: cells along a side of one feature map, or of several."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a grid such as 7, or several such as 14,7")
    return tuple(sorted(map(int, parts), reverse=True))


def share(text: str) -> float:
    """Parse a share above 0, up to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share above 0, up to 1")
    return value


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("anchors", __doc__, EXAMPLES)
    add = parser.add_argument
    add("annotations", nargs="+", type=Path, metavar="ANN.json", help="COCO files to measure and to train on")
    add("--val", type=Path, metavar="ANN.json", help="validation file (default: NAME_val.json beside NAME_train.json)")
    add("--test", type=Path, metavar="ANN.json", help="test file (default: the validation file)")
    add("--data-root", type=Path, metavar="FOLDER", help="folder of the films (default: the one above annotations/)")
    add("--out", type=Path, metavar="FOLDER", help="output folder (default: work_dirs/anchors/NAME)")
    add("--coverage", type=share, default=0.99, metavar="SHARE", help="share of ROIs to fit in size")
    add("--matched", type=share, default=Goal.matched, metavar="SHARE", help="share of ROIs to match in overlap")
    add("--scales", choices=[EQUAL, FITTED], default=EQUAL, help="equal steps as in the paper, or fitted to the ROIs")
    add(
        "--grids", nargs="+", type=grids, default=[], metavar="GRID",
        help="grids to choose from; 14,7 is two maps together (default: 7 14 28, the backbone's maps at 224 px; 1 2 4 need "
        "further convolutions)",
    )  # fmt: skip
    add_unfinished(parser)
    add("--base", default=BASE, metavar="CONFIG", help="config to build on")
    return parser.parse_args(argv)


def read_base(name: str) -> tuple[Mapping[str, Any], Path]:
    """Read the config `name`; returns it and its path.

    Raises:
        ConfigError: no such config, or one without a ResNet and a HipSSDHead.
    """
    base = read_config(name, components=False)
    model = base.get("model", {})
    if model.get("backbone", {}).get("type") not in RESNETS or model.get("bbox_head", {}).get("type") != "HipSSDHead":
        raise ConfigError(f"{name}: expected a config with a ResNet and a HipSSDHead, such as {BASE}")
    return base, Path(base.filename)


def write_plan_plot(path: Path, plan: Plan, sets: list[LabelledSet], root: Path) -> None:
    """Plot the anchors over a typical film of the first set, or over none if it can't be read."""
    first = sets[0]
    index = first.typical_film()
    try:
        film = read_radiograph(film_below(root, first.file_names[index], first.name))
    except RadiographError as error:
        print(f"warning: anchors are drawn without a film, as {error}; set --data-root", file=sys.stderr)
        film = None
    boxes = first.rois.boxes[first.rois.films == index]
    write_anchor_figure(path, {each.name: each.rois for each in sets}, plan.anchors, film, boxes)


def measure_elsewhere(plan: Plan, path: Path, unfinished: bool) -> AnchorMetrics:
    """The metrics of `plan` on the films of another file.

    Raises:
        DatasetError: a faulty file, or one with other classes.
    """
    rois = LabelledSet.read(path, unfinished).rois
    if rois.classes != plan.classes:
        raise DatasetError(
            f"{path}: has the classes {list(rois.classes)}, expected {list(plan.classes)} as for training"
        )
    return AnchorMetrics.of(rois, plan.anchors)


def main(argv: Sequence[str] | None = None) -> None:
    """Design anchors, print the plan and write it."""
    args = _parse_arguments(argv)
    val = args.val or (validation_beside(args.annotations[0]) if len(args.annotations) == 1 else None)
    others = dict.fromkeys(filter(None, (val, args.test)))
    for path in others:
        if not path.is_file():
            raise DatasetError(f"{path}: no such file: check the path, or make it with hipdet split")
    sets = read_sets(args.annotations, args.with_unfinished)
    base, base_path = read_base(args.base)
    goal = Goal(args.coverage, args.matched, scales=args.scales, grids=tuple(args.grids))
    plan = design({each.name: each.rois for each in sets}, goal, Backbone.of(base))
    if base["model"]["type"] == REFINING:
        plan = replace(plan, reasons=(*plan.reasons, *plan.second_look.reasons))
    print(plan_text(plan))
    for each in sets:
        if each.note:
            print(f"\n{each.name}: {each.note}")
    elsewhere = {path.stem: measure_elsewhere(plan, path, args.with_unfinished) for path in others}
    for where, found in elsewhere.items():
        overlapped = f"{found.matched:.0%} are overlapped"
        print(f"\n{where}: {found.fitted:.1%} of its ROIs have an anchor of their size, {overlapped}")
    name = sets[0].name.removesuffix("_train")
    out = args.out or Path("work_dirs/anchors") / name
    root = args.data_root or get_data_root(args.annotations[0])
    write_plan_plot(out / PLOT, plan, sets, root)
    write_json(out / PLAN, dict(plan.as_json(), other_films={where: asdict(each) for where, each in elsewhere.items()}))
    config = out / f"ssd_{name}.py"
    data = replace(PlanData.at(root, args.annotations, val, args.test), unfinished=args.with_unfinished)
    write_text(config, config_text(plan, base, base_path, config, data))
    if val is None:
        print("\nNo file for validation: split the films with hipdet split and run this again, or set --val.")
    print(f"\nwritten to {out}: {PLAN}, {PLOT} and {config.name}; next: hipdet train {config}")
