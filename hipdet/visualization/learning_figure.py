"""How trainings went: loss, rate and figures by epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hipdet.errors import DatasetError
from hipdet.visualization.colours import QUIET_LINE
from hipdet.visualization.figure_frame import panels, write_figure
from hipdet.visualization.training_log import TrainingLog

FIGURES = {"roi/avg_iou": "o-", "roi/acc50": "s--", "coco/bbox_mAP": "^:"}  # of validation, with their lines


def write_learning_curves(path: str | os.PathLike[str], runs: Mapping[str, TrainingLog]) -> None:
    """Write loss, learning rate and, where there was validation, its figures by epoch as PNG; a colour for each run.

    Args:
        path: PNG to write.
        runs: By name.

    Raises:
        DatasetError: runs without a whole epoch.
    """
    if not any(log.training for log in runs.values()):
        raise DatasetError(f"{', '.join(runs)}: nothing was logged yet: wait for the first epoch")
    validated = sorted(
        {name for log in runs.values() for name in FIGURES if name in log.validation}, key=list(FIGURES).index
    )
    figure, axes = panels(3 if validated else 2)
    axes[0].set(title="loss", yscale="log")
    axes[1].set(title="learning rate")
    for number, (run, log) in enumerate(runs.items()):
        for axis, name in zip(axes, ("loss", "lr")):
            values = log.training.get(name, {})
            axis.plot(list(values), list(values.values()), color=f"C{number % 10}", label=run)
        for name in validated:
            values, style = log.validation.get(name, {}), f"C{number % 10}{FIGURES[name]}"
            axes[2].plot(list(values), list(values.values()), style, markersize=4)
    if validated:
        axes[2].set(title="validation", ylim=(None, 1.02))
        for name in validated:
            axes[2].plot([], [], FIGURES[name], markersize=4, color=QUIET_LINE, label=name)
        axes[2].legend()
    last = max(epoch for log in runs.values() for values in log.training.values() for epoch in values)
    for axis in axes:
        axis.set(xlabel="epoch", xlim=(0, 1.03 * last + 1))
        axis.grid(alpha=0.3)
    axes[0].legend()
    write_figure(path, figure)
