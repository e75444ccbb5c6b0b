"""Prints the final table of training and testing and writes it beside the checkpoints."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from hipdet.environment import installed
from hipdet.evaluation.report import table
from hipdet.files import write_json
from hipdet.plain import plain
from hipdet.version import __version__


def versions() -> dict[str, str]:
    """Versions of hipdet and of what it runs on, by distribution."""
    names = ("torch", "mmengine", "mmcv", "mmcv-lite", "mmdet", "numpy")
    return {"hipdet": __version__, **dict(filter(None, (installed((name,)) for name in names)))}


@HOOKS.register_module()
class ReportHook(Hook):
    """Writes ``val_report.json`` at the end of training and ``test_report.json`` after testing into the work dir.

    Checkpoints carry the seconds of training until then, also those before an interruption (``meta.seconds``).
    """

    priority = "LOWEST"

    def __init__(self) -> None:
        self.started = time.time()
        self.validated: dict[str, float] | None = None
        self.tested_epoch: int | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the epoch of the weights: asking the runner for it would build the training set, which a tester may lack."""
        meta = checkpoint.get("meta", {})
        self.tested_epoch = meta.get("epoch")
        if runner._resume:
            self.started = time.time() - meta.get("seconds", 0.0)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note how long training has taken."""
        checkpoint["meta"]["seconds"] = self._seconds()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the figures of the latest validation."""
        self.validated = metrics

    def after_train(self, runner: Runner) -> None:
        """Report the last validation."""
        if self.validated:
            self._report(runner, "val", self.validated, runner.epoch)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report the test."""
        if metrics:
            self._report(runner, "test", metrics, self.tested_epoch)

    def _seconds(self) -> float:
        return round(time.time() - self.started, 1)

    @master_only
    def _report(self, runner: Runner, what: str, metrics: dict[str, Any], epoch: int | None) -> None:
        path = Path(runner.work_dir) / f"{what}_report.json"
        dataset = (runner.val_dataloader if what == "val" else runner.test_dataloader).dataset
        write_json(
            path,
            dict(
                experiment=runner.experiment_name,
                ann_file=Path(dataset.ann_file).name,
                checkpoint=Path(runner._load_from).name if runner._load_from else None,
                epoch=epoch,
                seed=runner.seed,
                seconds=self._seconds(),
                parameters=sum(p.numel() for p in runner.model.parameters()),
                versions=versions(),
                figures=plain(metrics),
            ),
        )
        runner.logger.info(f"{Path(dataset.ann_file).name}: {table(metrics)}\nwritten to {path}")
