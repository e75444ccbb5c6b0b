"""The paper's ten experiments (Table 2) and its published metrics (Tables 2 and 3), with which ours are compared.

Tables, ``hipdet experiments`` and tests read them here; tests hold the ten configs against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.feature_map import anchor_settings
from hipdet.core.errors import ConfigError

CGOA, OAIH, GIS = "cgoa", "oaih", "gis"


@dataclass(frozen=True)
class Experiment:
    """One row of Table 2.

    Attributes:
        number: 1 to 10.
        trained_on: Data sets whose films are split into training and validation.
        tested_on: Data set of the test, which uses all its films.
        anchors: Grid and scales.
    """

    number: int
    trained_on: tuple[str, ...]
    tested_on: str
    anchors: AnchorSet

    @property
    def pool(self) -> str:
        """Name of the films for training and validation, such as ``cgoa_oaih``."""
        return "_".join(self.trained_on)

    @property
    def annotation_files(self) -> tuple[str, str, str]:
        """Training, validation and test file below the data root."""
        names = (f"{self.pool}_train", f"{self.pool}_val", self.tested_on)
        train, val, test = (f"annotations/{name}.json" for name in names)
        return train, val, test

    @property
    def training(self) -> int:
        """Number of the first experiment with the same anchors and training films: they share one trained model."""
        return next(
            number
            for number, other in EXPERIMENTS.items()
            if (other.trained_on, other.anchors) == (self.trained_on, self.anchors)
        )

    def __str__(self) -> str:
        trained = "+".join(self.trained_on).upper()
        return f"{self.anchors}; {trained} -> {self.tested_on.upper()}"


SIX_SCALES = AnchorSet.equal_steps((7,), 0.7, 2.2, 0.3)
BOTH = (CGOA, OAIH)
EXPERIMENTS = {
    experiment.number: experiment
    for experiment in (
        Experiment(1, BOTH, GIS, AnchorSet.equal_steps((4, 2, 1), 0.7, 1.3, 0.3)),
        Experiment(2, BOTH, GIS, AnchorSet.equal_steps((7,), 0.7, 2.2, 0.75)),
        Experiment(3, BOTH, GIS, SIX_SCALES),
        Experiment(4, BOTH, GIS, AnchorSet.equal_steps((7,), 0.7, 2.2, 0.1)),
        Experiment(5, BOTH, GIS, AnchorSet.equal_steps((7,), 0.7, 2.2, 0.05)),
        Experiment(6, BOTH, GIS, AnchorSet.equal_steps((14,), 0.7, 2.2, 0.05)),
        Experiment(7, (CGOA,), OAIH, SIX_SCALES),
        Experiment(8, (CGOA,), GIS, SIX_SCALES),
        Experiment(9, (OAIH,), CGOA, SIX_SCALES),
        Experiment(10, (OAIH,), GIS, SIX_SCALES),
    )
}


# published metrics by experiment; the paper calls "acc50" "AP50"
VALIDATION = {
    1: dict(avg_iou=0.8477, avg_conf=0.6932),
    2: dict(avg_iou=0.8565, avg_conf=0.9075),
    3: dict(avg_iou=0.8571, avg_conf=0.9582),
    4: dict(avg_iou=0.8471, avg_conf=0.9644),
    5: dict(avg_iou=0.8432, avg_conf=0.9403),
    6: dict(avg_iou=0.8267, avg_conf=0.9892),
    7: dict(avg_iou=0.8460, avg_conf=0.9496),
    8: dict(avg_iou=0.8460, avg_conf=0.9496),
    9: dict(avg_iou=0.8664, avg_conf=0.8971),
    10: dict(avg_iou=0.8664, avg_conf=0.8971),
}
TEST = {
    1: dict(avg_iou=0.7912, avg_conf=0.7130, min_iou=0.4042, acc50=0.9851),
    2: dict(avg_iou=0.8105, avg_conf=0.9422, min_iou=0.3829, acc50=0.9901),
    3: dict(avg_iou=0.8115, avg_conf=0.9812, min_iou=0.3861, acc50=0.9901),
    4: dict(avg_iou=0.8011, avg_conf=0.9843, min_iou=0.3809, acc50=0.9950),
    5: dict(avg_iou=0.7749, avg_conf=0.9751, min_iou=0.3680, acc50=0.9901),
    6: dict(avg_iou=0.7918, avg_conf=0.9950, min_iou=0.3732, acc50=0.9950),
    7: dict(avg_iou=0.8307, avg_conf=0.9428, min_iou=0.3622, acc50=0.9945),
    8: dict(avg_iou=0.7951, avg_conf=0.9634, min_iou=0.3652, acc50=0.9851),
    9: dict(avg_iou=0.7633, avg_conf=0.8667, min_iou=0.3075, acc50=0.9846),
    10: dict(avg_iou=0.7813, avg_conf=0.9221, min_iou=0.3449, acc50=0.9901),
}
# Table 3: experiment 3 in detail
DETAIL_OF = 3
DETAIL = {
    "all": dict(
        num_images=7399, num_rois=14798, avg_iou=0.9176, avg_conf=0.9688, min_iou=0.3861, below50=2, acc50=0.9999
    ),
    "train": dict(
        num_images=6568, num_rois=13136, avg_iou=0.9260, avg_conf=0.9698, min_iou=0.5955, below50=0, acc50=1.0
    ),
    "val": dict(num_images=730, num_rois=1460, avg_iou=0.8571, avg_conf=0.9582, min_iou=0.5907, below50=0, acc50=1.0),
    "test": dict(
        num_images=101, num_rois=202, avg_iou=0.8115, avg_conf=0.9812, min_iou=0.3861, below50=2, acc50=0.9901
    ),
}


def settings(number: int, base: Mapping[str, Any]) -> dict[str, Any]:
    """What experiment `number` changes in `base`, for mmengine to merge: ``hipdet experiments`` applies it to any config.

    Args:
        number: 1 to 10.
        base: A config whose ResNet ends with layer4 and feeds a ``HipSSDHead``: the paper's, or one with a smaller backbone.

    Raises:
        ConfigError: no such experiment.
    """
    if number not in EXPERIMENTS:
        raise ConfigError(f"experiment {number}: the paper has experiments 1 to {max(EXPERIMENTS)}")
    experiment = EXPERIMENTS[number]
    changed = anchor_settings(experiment.anchors, base)
    for part, ann_file in zip(("train", "val", "test"), experiment.annotation_files):
        changed[f"{part}_dataloader"] = dict(dataset=dict(ann_file=ann_file))
        if part != "train":
            path = f"{base[f'{part}_dataloader']['dataset']['data_root']}/{ann_file}"
            changed[f"{part}_evaluator"] = [dict(each, ann_file=path) for each in base[f"{part}_evaluator"]]
    return changed
