"""An experiment as the difference to a config: the anchors, and which files train, validate and test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hipdet.errors import ConfigError
from hipdet.experiments.experiment import EXPERIMENTS, IMAGE_SIDE, Anchors

STRIDE_OF_LAYER4, STRIDE_OF_LAYER3 = 32, 16
LAYER4 = "backbone.layer4"


def settings(number: int, base: Mapping[str, Any]) -> dict[str, Any]:
    """What experiment `number` changes in `base`, for mmengine to merge.

    Args:
        number: 1 to 10.
        base: A config whose ResNet ends with layer4 and feeds a ``HipSSDHead``: the paper's, or one with a smaller backbone.

    Raises:
        ConfigError: no such experiment.
    """
    if number not in EXPERIMENTS:
        raise ConfigError(f"experiment {number}: the paper has experiments 1 to {max(EXPERIMENTS)}")
    experiment = EXPERIMENTS[number]
    train, val, test = experiment.annotation_files
    changed = _data(base, train, val, test)
    if max(experiment.anchors.grids) * STRIDE_OF_LAYER4 > IMAGE_SIDE:
        changed["model"], changed["optim_wrapper"] = _without_layer4(base)
    else:
        changed["model"] = dict(bbox_head={})
    anchors = experiment.anchors
    changed["model"]["bbox_head"].update(
        downsamples=_downsamples(anchors),
        anchor_generator=dict(
            strides=anchors.strides, scales=dict(start=anchors.start, stop=anchors.stop, step=anchors.step)
        ),
    )
    return changed


def _data(base: Mapping[str, Any], train: str, val: str, test: str) -> dict[str, Any]:
    def evaluators(part: str, ann_file: str) -> list[dict]:
        root = base[f"{part}_dataloader"]["dataset"]["data_root"]
        return [dict(evaluator, ann_file=f"{root}/{ann_file}") for evaluator in base[f"{part}_evaluator"]]

    return dict(
        train_dataloader=dict(dataset=dict(ann_file=train)),
        val_dataloader=dict(dataset=dict(ann_file=val)),
        test_dataloader=dict(dataset=dict(ann_file=test)),
        val_evaluator=evaluators("val", val),
        test_evaluator=evaluators("test", test),
    )


def _without_layer4(base: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A 14x14 map can't come from layer4: the backbone ends with layer3, which has half the channels (recipe, "Head")."""
    model = dict(
        backbone=dict(num_stages=3, out_indices=(2,), strides=(1, 2, 2), dilations=(1, 1, 1)),
        bbox_head=dict(in_channels=base["model"]["bbox_head"]["in_channels"] // 2),
    )
    groups = [
        dict(group, prefixes=[prefix for prefix in group["prefixes"] if prefix != LAYER4])
        for group in base["optim_wrapper"]["paramwise_cfg"]["groups"]
    ]
    return model, dict(paramwise_cfg=dict(groups=groups))


def _downsamples(anchors: Anchors) -> list[int]:
    """Stride-2 convolutions between the feature map and every grid: 7 -> 4 -> 2 -> 1."""
    cells = [IMAGE_SIDE // (STRIDE_OF_LAYER3 if max(anchors.grids) > 7 else STRIDE_OF_LAYER4)]
    while cells[-1] > 1:
        cells.append(-(-cells[-1] // 2))
    return [cells.index(grid) for grid in anchors.grids]
