"""One training of an experiment and its test on every film: a step that is done, or carried on with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from hipdet.checkpoint import read_checkpoint
from hipdet.cli.tool_process import run_tool
from hipdet.errors import ConfigError
from hipdet.experiments.data import EVERYTHING, Coco, Films, subset
from hipdet.experiments.experiment import EXPERIMENTS
from hipdet.experiments.scores import coco_ap
from hipdet.experiments.settings import settings
from hipdet.files import write_json, write_text
from hipdet.safe_settings import require_writable

CONFIG = "config.py"
INPUTS, RECORD = "inputs.json", "record.json"
TABLE = "test.roi.json"
DETECTIONS = "detections"  # CocoMetric adds .bbox.json
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Training:
    """A training of one seed in a folder of its own.

    Attributes:
        number: Of the experiment.
        seed: Of weights, order of films and augmentation.
        folder: For everything that it writes.
        data_root: That :func:`hipdet.experiments.data.write_data_root` wrote.
        tools: Folder of ``train.py`` and ``test.py``.
        processes: Ranks; the batch is divided among them.
    """

    number: int
    seed: int
    folder: Path
    data_root: Path
    tools: Path
    processes: int = 1

    @property
    def tested(self) -> Path:
        """Folder for what was found on all films of the run, those of the training too."""
        return self.folder / "tested"

    def run(self, base: Config, films: Films, flags: Sequence[str] = ()) -> bool:
        """Train, resuming what was interrupted, then test on all films; ``record.json`` comes last.

        What was done before isn't done again; further films are only tested on.

        Args:
            base: Config that the experiment is applied to.
            films: Of the run.
            flags: Passed on to ``train.py``, such as ``--amp``.

        Returns:
            Whether there was something to do.

        Raises:
            ConfigError: the folder holds a training with other settings or films.
            ToolError: training or testing failed.
        """
        cfg = self.config(base)
        self._claim(cfg, films, flags)
        if (self.folder / RECORD).is_file() and self.read_record()["films"] == fingerprint(films.coco):
            return False
        title = f"experiment {self.number}, seed {self.seed}"
        epochs = cfg.train_cfg.max_epochs
        checkpoint = self.folder / f"epoch_{epochs}.pth"
        if self._last_checkpoint() != checkpoint.name:
            arguments = [self.folder / CONFIG, "--work-dir", self.folder, "--resume", *flags]
            run_tool(self.tools / "train.py", arguments, self.processes, self.folder / "train.log", title, epochs)
        write_text(self.tested / CONFIG, self.test_config(cfg).pretty_text)
        arguments = [self.tested / CONFIG, checkpoint, "--work-dir", self.tested]
        run_tool(self.tools / "test.py", arguments, self.processes, self.folder / "test.log", f"{title}, test")
        write_json(self.folder / RECORD, self._record(checkpoint, films))
        return True

    def _last_checkpoint(self) -> str | None:
        """Name of the last checkpoint that was written whole: mmengine notes it afterwards."""
        note = self.folder / "last_checkpoint"
        return Path(note.read_text(encoding="utf-8").strip()).name if note.is_file() else None

    def _claim(self, cfg: Config, films: Films, flags: Sequence[str]) -> None:
        """Write config and inputs into a new folder; refuse one that holds another training."""
        require_writable(cfg.to_dict())
        text = cfg.pretty_text
        pool = EXPERIMENTS[self.number].pool
        parts = [without_ids(subset(films.coco, films.subsets[f"{pool}_{part}"])) for part in ("train", "val")]
        inputs = dict(config=fingerprint(text), films=fingerprint(parts), flags=list(flags))
        path = self.folder / INPUTS
        if not path.is_file():
            write_text(self.folder / CONFIG, text)
            write_json(path, inputs)
            return
        found = json.loads(path.read_text(encoding="utf-8"))
        differ = [name for name in inputs if found.get(name) != inputs[name]]
        if differ:
            raise ConfigError(
                f"{self.folder}: holds a training with other settings ({', '.join(differ)} differ; its config is {CONFIG}); "
                f"choose another --out, give the same settings, or remove the folder to train it anew"
            )

    def config(self, base: Config) -> Config:
        """`base` with the anchors and films of the experiment.

        Raises:
            ConfigError: a `base` whose batch can't be divided among the processes.
        """
        cfg = Config(base.to_dict())
        for part in PARTS:
            dataset = cfg[f"{part}_dataloader"].dataset
            dataset.data_root = str(self.data_root.resolve())
            dataset.data_prefix = dict(img="")
        cfg.merge_from_dict(settings(self.number, cfg))
        batch = cfg.train_dataloader.batch_size
        if batch % self.processes:
            raise ConfigError(f"a batch of {batch} films can't be divided among {self.processes} processes")
        cfg.train_dataloader.batch_size = batch // self.processes
        cfg.randomness = dict(cfg.get("randomness") or {}, seed=self.seed)
        cfg.experiment_name = f"exp{self.number}_seed{self.seed}"
        # the last epoch is the result: nothing is chosen by validation.  mmengine removes the oldest before it writes
        cfg.default_hooks.checkpoint.update(max_keep_ckpts=2, save_best=None, save_last=True)
        return cfg

    def test_config(self, cfg: Config) -> Config:
        """`cfg` tested on all films of the run, with every detection written down."""
        cfg = Config(cfg.to_dict())
        ann_file = f"annotations/{EVERYTHING}.json"
        cfg.test_dataloader.dataset.ann_file = ann_file
        path = str(self.data_root.resolve() / ann_file)
        for evaluator in cfg.test_evaluator:
            evaluator.ann_file = path
            if evaluator.type in ("CocoMetric", "RoiCocoMetric"):
                evaluator.update(format_only=True, outfile_prefix=str(self.tested / DETECTIONS))
        return cfg

    def _record(self, checkpoint: Path, films: Films) -> dict[str, Any]:
        experiment = EXPERIMENTS[self.number]
        report = json.loads((self.tested / "test_report.json").read_text(encoding="utf-8"))
        meta = read_checkpoint(checkpoint)["meta"]
        return dict(
            films=fingerprint(films.coco),
            training=self.number,
            seed=self.seed,
            epochs=report["epoch"],
            train_images=len(films.subsets[f"{experiment.pool}_train"]),
            val_images=len(films.subsets[f"{experiment.pool}_val"]),
            shared_patients=films.shared_patients[experiment.pool],
            parameters=report["parameters"],
            seconds=meta["seconds"],
            checkpoint=checkpoint.name,
            versions=report["versions"],
            coco=self._coco(films),
        )

    def _coco(self, films: Films) -> Mapping[str, dict[str, float]]:
        detections = json.loads((self.tested / f"{DETECTIONS}.bbox.json").read_text(encoding="utf-8"))
        return {name: coco_ap(films.coco, detections, ids) for name, ids in films.subsets.items()}

    def read_record(self) -> dict[str, Any]:
        """What ``run`` noted at its end."""
        record: dict[str, Any] = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        return record


def without_ids(coco: Coco) -> list[dict[str, Any]]:
    """Films and boxes of `coco` but for their numbers, which depend on the other data sets of the run."""
    records = [*coco["images"], *coco["annotations"]]
    return [{key: value for key, value in record.items() if key not in ("id", "image_id")} for record in records]


def fingerprint(content: Any) -> str:
    """SHA-256 of a text or of JSON content."""
    text = content if isinstance(content, str) else json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
