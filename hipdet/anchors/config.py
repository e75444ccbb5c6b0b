"""A plan as a config that trains a detector with its anchors, and as text for a terminal."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.coverage import AnchorMetrics
from hipdet.anchors.feature_map import REFINING, anchor_settings
from hipdet.anchors.plan import Plan
from hipdet.anchors.rois import RoiSpread
from hipdet.anchors.second_look import PASSES
from hipdet.core.classes import sided_pairs
from hipdet.core.configs import PASTED, Name, as_source
from hipdet.core.errors import ConfigError

PALETTE = [(220, 20, 60), (0, 130, 200), (60, 180, 75), (245, 130, 48), (145, 30, 180), (70, 240, 240), (240, 50, 230)]
WIDTH = 120
SPREAD = ("data set", "films", "ROIs", "a film", "ratio min / median / max", "height/width", "long side, px")
SETS = ("anchors", "number", "range", "fit", "matched", "IoU", "reach", "positive", "contested")
FILMS: dict[str, Any] = {"**": Name("films")}  # the settings that all data sets of the config share


@dataclass(frozen=True)
class PlanData:
    """Where films and annotations are.

    Attributes:
        root: Folder that file names are relative to, as the user wrote it.
        train: Annotation files for training, relative to `root`.
        val: Annotation file for validation, relative to `root`; None if there is none.
        test: Annotation file for the test, relative to `root`; None if there is none.
        unfinished: Whether films that their annotator hasn't finished are used.
    """

    root: str
    train: Sequence[str]
    val: str | None = None
    test: str | None = None
    unfinished: bool = False

    @classmethod
    def at(cls, root: Path, train: Sequence[Path], val: Path | None = None, test: Path | None = None) -> PlanData:
        """From paths of any folder; without `test`, the test uses `val`."""

        def below(path: Path | None) -> str | None:
            return None if path is None else Path(os.path.relpath(path, root)).as_posix()

        return cls(root.as_posix(), [str(below(path)) for path in train], below(val), below(test or val))


def config_text(plan: Plan, base: Mapping[str, Any], base_path: Path, path: Path, data: PlanData) -> str:
    """The source of a config at `path` that is based on `base`, read from `base_path`.

    Raises:
        ConfigError: the backbone of `base` can't have the grids, or a config can't hold the name of a file or class.
    """
    names = ", ".join(ascii(Path(name).name)[1:-1] for name in data.train)  # in a comment, so no line breaks
    anchors = str(plan.anchors)
    lines = [
        f"# Anchors derived from {names} by hipdet anchors; anchor_plan.json has metrics and reasons.",
        f"# {anchors[0].upper()}{anchors[1:]}.",
    ]
    if not os.path.isabs(data.root):
        lines.append(f"# Run commands from the folder that has {ascii(data.root)[1:-1]}, or give --data-root.")
    if data.val is None:
        lines.append("# There was no file for validation: run hipdet split, then hipdet anchors again with --val.")
    above = Path(os.path.relpath(base_path.resolve(), path.parent.resolve())).as_posix()
    palette = [PALETTE[index % len(PALETTE)] for index in range(len(plan.classes))]
    metainfo = dict(classes=Name("classes"), palette=palette)
    pairs = sided_pairs(plan.classes)
    if pairs or "mirrored_pairs" in base.get("metainfo", {}):  # an empty list replaces those of `base`
        metainfo.update(mirrored_pairs=pairs)
    unfinished = dict(unfinished=True) if data.unfinished else {}
    settings = dict(
        _base_=above,
        data_root=data.root,
        classes=tuple(plan.classes),
        metainfo=metainfo,
        films=dict(data_root=Name("data_root"), metainfo=Name("metainfo"), **unfinished),
        **_model(plan, base),
        **_training(base, data),
        **_evaluation("val", data.val, base, plan),
        **_evaluation("test", data.test, base, plan),
    )
    if data.val is None:
        settings["default_hooks"] = dict(checkpoint=dict(save_best=None))
    source = "\n".join(
        [*lines, *(f"{key} = {as_source(value, 0, len(key) + 3)}" for key, value in settings.items()), ""]
    )
    if PASTED in source:
        line = next(line for line in source.splitlines() if PASTED in line)
        raise ConfigError(f"{line.strip()}: mmengine substitutes variables at {PASTED!r}; rename the file or the class")
    return source


def _model(plan: Plan, base: Mapping[str, Any]) -> dict[str, Any]:
    changed = anchor_settings(plan.anchors, base)
    model = changed["model"]
    model["bbox_head"] = dict(num_classes=len(plan.classes), **model["bbox_head"])
    most = plan.roi_counts.most
    few = dict(max_per_img=most) if base["model"]["test_cfg"]["max_per_img"] < most else {}
    model["test_cfg"] = dict(nms=dict(iou_threshold=plan.nms_threshold), **few)
    if base["model"]["type"] == REFINING:
        look = plan.second_look
        # as many spare ROIs in each pass as `base` has beyond the ROIs of its own films
        spare = [max(count - _get_roi_count(base), 0) for count in base["model"].get("passes", PASSES)]
        model.update(
            refiner=dict(square=look.square), one_size=look.one_size and (base["model"].get("one_size") or True)
        )
        model.update(passes=tuple(look.most + more for more in spare))
    return changed


def _get_roi_count(base: Mapping[str, Any]) -> int:
    """Largest number of ROIs of a class on a film that `base` is made for."""
    for evaluator in base.get("test_evaluator") or ():
        if evaluator["type"] == "RoiMetric":
            counts = evaluator.get("rois_per_image", 2)
            each = counts.values() if isinstance(counts, Mapping) else [counts]
            return max(max(count) if isinstance(count, Sequence) else count for count in each)
    return 2


def _training(base: Mapping[str, Any], data: PlanData) -> dict[str, Any]:
    if len(data.train) == 1:
        return dict(train_dataloader=dict(dataset=dict(**FILMS, ann_file=data.train[0])))
    own = ("data_root", "metainfo", "ann_file", "pipeline")
    inherited = {key: value for key, value in base["train_dataloader"]["dataset"].items() if key not in own}
    each = dict(inherited, **FILMS, pipeline=Name("_base_.train_dataloader.dataset.pipeline"))
    datasets = [dict(each, ann_file=ann_file) for ann_file in data.train]
    return dict(train_dataloader=dict(dataset=dict(_delete_=True, type="ConcatDataset", datasets=datasets)))


def _evaluation(part: str, ann_file: str | None, base: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    if ann_file is None and part == "val":
        return {f"{part}_dataloader": None, f"{part}_evaluator": None, f"{part}_cfg": None}
    # without films to test on, the config still says how films are read and how many ROIs they have
    path = "" if ann_file is None else Name(f"data_root + {'/' + ann_file!r}")
    evaluators = [dict(evaluator, ann_file=path) for evaluator in base[f"{part}_evaluator"]]
    for evaluator in evaluators:
        if evaluator["type"] == "RoiMetric":
            counts = plan.roi_counts.to_json()
            # class names may not be identifiers
            evaluator["rois_per_image"] = Name(repr(counts)) if isinstance(counts, dict) else counts
    loader = dict(dataset=dict(**FILMS, ann_file=ann_file or ""))
    return {f"{part}_dataloader": loader, f"{part}_evaluator": evaluators}


def plan_text(plan: Plan) -> str:
    """The data, the recommended and the rejected anchors, reasons and warnings as text."""
    lines = [*_table(SPREAD, [_spread_row(spread) for spread in plan.spreads]), ""]
    rows = [_set_row("* ", plan.anchors, plan.metrics)]
    rows += [_set_row("  ", neighbour.anchors, neighbour.metrics) for neighbour in plan.neighbours]
    lines += [*_table(SETS, rows), ""]
    lines += [f"Recommended: {plan.anchors}", *_bullets(plan.reasons)]
    if plan.neighbours:
        lines += ["", "Rejected:"]
        lines += _bullets([f"{each.change} ({each.anchors}): {each.why}." for each in plan.neighbours])
    if plan.warnings:
        lines += ["", "Warnings:", *_bullets([f"{warning}." for warning in plan.warnings])]
    return "\n".join(lines)


def _bullets(sentences: Sequence[str]) -> Iterator[str]:
    for sentence in sentences:
        yield textwrap.fill(sentence, WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _spread_row(spread: RoiSpread) -> tuple[str, ...]:
    minimum, _, median, _, maximum = spread.ratio
    usual, most = spread.usual_rois, spread.most_rois
    return (
        f"  {spread.label}" if spread.label else spread.name,
        str(spread.films),
        str(spread.rois),
        f"{usual}" if usual == most else f"{usual}, up to {most}",
        f"{minimum:.3f} / {median:.3f} / {maximum:.3f}",
        f"{spread.aspect[0]:.2f} .. {spread.aspect[-1]:.2f}",
        f"{spread.long_side[0]:.0f} .. {spread.long_side[-1]:.0f}",
    )


def _set_row(mark: str, anchors: AnchorSet, metrics: AnchorMetrics) -> tuple[str, ...]:
    return (
        mark + str(anchors).rpartition(", ")[0],
        str(metrics.anchors),
        f"{metrics.smallest:.1%} .. {metrics.largest:.1%}",
        f"{metrics.fitted:.1%}",
        f"{metrics.matched:.0%}",
        f"{metrics.best_iou:.3f}",
        f"{metrics.reachable_iou:.3f}",
        f"{metrics.positives:g}",
        f"{metrics.contested:.1%}",
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of aligned columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]).rstrip()
        for row in (header, *rows)
    ]
