"""An experiment as the difference to a config: the anchors, and which files train, validate and test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hipdet.anchors.feature_map import anchor_settings
from hipdet.core.errors import ConfigError
from hipdet.paper.facts import EXPERIMENTS


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
    return {**_data(base, train, val, test), **anchor_settings(experiment.anchors, base)}


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
