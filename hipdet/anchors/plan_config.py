"""A config that trains a detector with the anchors of a plan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hipdet.anchors.plan import Plan
from hipdet.anchors.second_look import SecondLook
from hipdet.anchors.settings import REFINING, anchor_settings
from hipdet.config_source import Name, as_source
from hipdet.errors import ConfigError
from hipdet.mirrored_classes import sided_pairs
from hipdet.safe_settings import PASTED

PALETTE = [(220, 20, 60), (0, 130, 200), (60, 180, 75), (245, 130, 48), (145, 30, 180), (70, 240, 240), (240, 50, 230)]
PASSES = (3, 2)  # of a RefiningDetector whose config doesn't say
FILMS: dict[str, Any] = {"**": Name("films")}  # what all data sets of the config share


@dataclass(frozen=True)
class PlanData:
    """Where films and annotations are.

    Attributes:
        root: Folder that file names are below, as the user wrote it.
        train: Annotation files, relative to `root`.
        val: The same, if there is one.
        test: The same.
        unfinished: Whether films that their annotator hasn't finished are taken.
    """

    root: str
    train: Sequence[str]
    val: str | None = None
    test: str | None = None
    unfinished: bool = False

    @classmethod
    def at(cls, root: Path, train: Sequence[Path], val: Path | None = None, test: Path | None = None) -> PlanData:
        """Files anywhere; without `test`, `val` is tested on."""

        def below(path: Path | None) -> str | None:
            return None if path is None else Path(os.path.relpath(path, root)).as_posix()

        return cls(root.as_posix(), [str(below(path)) for path in train], below(val), below(test or val))


def config_text(plan: Plan, base: Mapping[str, Any], base_path: Path, path: Path, data: PlanData) -> str:
    """The source of a config at `path` that is based on `base`, read from `base_path`.

    Raises:
        ConfigError: grids that the backbone of `base` can't have, or names of files or classes that a config can't hold.
    """
    names = ", ".join(ascii(Path(name).name)[1:-1] for name in data.train)  # in a comment, so no line breaks
    anchors = str(plan.anchors)
    lines = [
        f"# Anchors read off {names} by tools/design_anchors.py; anchor_plan.json has figures and reasons.",
        f"# {anchors[0].upper()}{anchors[1:]}.",
    ]
    if data.val is None:
        lines.append("# There was no file for validation: after tools/split.py, design again with --val.")
    above = Path(os.path.relpath(base_path.resolve(), path.parent.resolve())).as_posix()
    palette = [PALETTE[index % len(PALETTE)] for index in range(len(plan.classes))]
    settings = dict(
        _base_=above,
        data_root=data.root,
        classes=tuple(plan.classes),
        metainfo=dict(classes=Name("classes"), palette=palette, **_mirrored_pairs(plan.classes, base)),
        films=dict(data_root=Name("data_root"), metainfo=Name("metainfo"), **_unfinished(data)),
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
        raise ConfigError(
            f"{line.strip()}: mmengine pastes variables where {PASTED!r} stands; rename the file or the class"
        )
    return source


def _mirrored_pairs(classes: Sequence[str], base: Mapping[str, Any]) -> dict[str, Any]:
    """The classes that change places in a mirror image, where there are any; also in place of those that `base` names."""
    pairs = sided_pairs(classes)
    return dict(mirrored_pairs=pairs) if pairs or "mirrored_pairs" in base.get("metainfo", {}) else {}


def _model(plan: Plan, base: Mapping[str, Any]) -> dict[str, Any]:
    changed = anchor_settings(plan.anchors, base)
    head = changed["model"]["bbox_head"]
    changed["model"]["bbox_head"] = dict(num_classes=len(plan.classes), **head)
    most = plan.roi_counts.most
    few = dict(max_per_img=most) if base["model"]["test_cfg"]["max_per_img"] < most else {}
    changed["model"]["test_cfg"] = dict(nms=dict(iou_threshold=plan.nms_threshold), **few)
    if base["model"]["type"] == REFINING:
        changed["model"].update(_second_look(plan.second_look, base))
    return changed


def _unfinished(data: PlanData) -> dict[str, Any]:
    return dict(unfinished=True) if data.unfinished else {}


def _second_look(look: SecondLook, base: Mapping[str, Any]) -> dict[str, Any]:
    """As many to spare in each reading as `base` has beyond the ROIs of its own films."""
    passes = base["model"].get("passes", PASSES)
    spare = [max(count - _rois_of(base), 0) for count in passes]
    return dict(
        refiner=dict(square=look.square),
        one_size=look.one_size,
        passes=tuple(look.most + more for more in spare),
    )


def _rois_of(base: Mapping[str, Any]) -> int:
    """ROIs of a class on a film that `base` is made for, at most."""
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
    if ann_file is None:
        return {f"{part}_dataloader": None, f"{part}_evaluator": None, f"{part}_cfg": None}
    path = Name(f"data_root + {'/' + ann_file!r}")
    evaluators = [dict(evaluator, ann_file=path) for evaluator in base[f"{part}_evaluator"]]
    for evaluator in evaluators:
        if evaluator["type"] == "RoiMetric":
            counts = plan.roi_counts.to_json()
            # names of classes may be no identifiers
            evaluator["rois_per_image"] = Name(repr(counts)) if isinstance(counts, dict) else counts
    return {
        f"{part}_dataloader": dict(dataset=dict(**FILMS, ann_file=ann_file)),
        f"{part}_evaluator": evaluators,
    }
