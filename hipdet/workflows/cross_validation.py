"""Cross-validation: variants of a training recipe on the same folds; finished folds aren't trained or tested again."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config

from hipdet.core.errors import ConfigError
from hipdet.core.files import write_text
from hipdet.core.resumable import RunFolder, alone_in, fingerprint
from hipdet.data.split_files import NO_LEAK, Division, FoldTable, split_files
from hipdet.engine.checkpoint import training_times
from hipdet.engine.config import use_annotations
from hipdet.engine.safe_settings import require_writable
from hipdet.evaluation.report import read_report
from hipdet.workflows.fold_results import TABLE, summarize_folder
from hipdet.workflows.process import Follow, run_jobs, train, train_and_test

CONFIG = "config.py"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Variant:
    """A name, which is also the name of the variant's folder, and settings as in ``--cfg-options``.

    Raises:
        ConfigError: the name can't be that of a folder.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", self.name):
            raise ConfigError(
                f"variant {self.name!r}: expected a name of letters, digits and . _ + - that begins with a letter or digit"
            )


@dataclass(frozen=True)
class Fold:
    """A fold of a variant, in a folder of its own.

    Attributes:
        variant: What is trained.
        number: Number of the fold, from 0.
        seed: Seed of the weights, the order of films and the augmentation.
        folder: Folder for everything that training and test write.
        data_root: Folder that the films' names are relative to.
        train, test: COCO files; without a file to test on, it is only trained.
        interval: Epochs between two checkpoints.
    """

    variant: Variant
    number: int
    seed: int
    folder: Path
    data_root: Path
    train: Path
    test: Path | None
    interval: int = 5

    def config(self, base: Config) -> Config:
        """`base` with the settings of the variant and the films of the fold; the last epoch is the result.

        Raises:
            ConfigError: `base` takes its films from several files.
        """
        cfg = Config(base.to_dict())
        cfg.merge_from_dict(dict(self.variant.options))
        for part, file in (("train", self.train), ("val", self.test), ("test", self.test)):
            if part == "val" and not cfg.get("val_dataloader"):
                continue  # the config doesn't validate
            if file is not None:
                use_annotations(cfg, part, str(file.resolve()))
            cfg[f"{part}_dataloader"].dataset.data_root = str(self.data_root.resolve())
        cfg.randomness = dict(cfg.get("randomness") or {}, seed=self.seed)
        cfg.default_hooks.checkpoint.update(interval=self.interval, max_keep_ckpts=2, save_best=None, save_last=True)
        cfg.train_cfg.val_interval = cfg.train_cfg.max_epochs  # the fold left out must not choose the checkpoint
        return cfg

    def run(self, base: Config, follow: Follow | None = None) -> bool:
        """Train, resuming an interrupted training, then test; ``record.json`` is written last.

        Args:
            base: Config that the variant is applied to.
            follow: See :func:`hipdet.workflows.process.run_program`.

        Returns:
            Whether there was anything to do.

        Raises:
            ConfigError: the folder holds a training with other settings or films.
            ProgramError: training or testing failed.
        """
        cfg = self.config(base)
        self._claim(cfg)
        if RunFolder(self.folder).record is not None:
            return False
        config, tested = self.folder / CONFIG, (self.folder / TABLE).parent
        title, epochs = f"{self.variant.name}, fold {self.number}", cfg.train_cfg.max_epochs
        facts: dict[str, Any] = {}
        if self.test is None:
            checkpoint = train(config, title, epochs, follow=follow)
        else:
            checkpoint = train_and_test(config, config, tested, title, epochs, follow=follow)
            kept = ("parameters", "versions", "figures")
            report = read_report(tested / "test_report.json", *kept)
            facts = {name: report[name] for name in kept}
        RunFolder(self.folder).finish(dict(training_times(checkpoint), **facts))
        return True

    def _claim(self, cfg: Config) -> None:
        """Write config and inputs into a new folder; refuse a folder that holds another training."""
        require_writable(cfg.to_dict())
        # not pretty_text, whose lines break by the length of paths
        text = json.dumps(cfg.to_dict(), sort_keys=True, default=str, ensure_ascii=False)
        files = [self.train, *([self.test] if self.test else [])]
        start = [Path(cfg.load_from)] if cfg.get("load_from") else []
        for place in (*files, *start, self.data_root):  # their folders may change
            text = text.replace(str(place.resolve()), place.name)
        films = [fingerprint(file.read_bytes()) for file in files]
        RunFolder(self.folder).claim(dict(config=fingerprint(text), films=films))
        write_text(self.folder / CONFIG, cfg.pretty_text)  # with the current paths


@dataclass(frozen=True)
class CrossValidation:
    """Variants of a recipe on the same folds.

    Attributes:
        annotations: COCO file of all films.
        data_root: Folder that the films' names are relative to.
        out: Folder for folds, trainings and tables.
        variants: The others are compared with the first.
        folds: Number of folds, whose films of a patient stay together; or the table of given folds.
        seed: Seed of the folds and of every training.
        jobs: Number of trainings in parallel.
    """

    annotations: Path
    data_root: Path
    out: Path
    variants: Sequence[Variant]
    folds: int | Path = 5
    seed: int = 0
    jobs: int = 1

    def execute(self, base: Config) -> list[Path]:
        """Train and test what isn't finished, fold by fold, then write the tables; returns their paths.

        Raises:
            DatasetError: films are faulty, or another process uses the folder.
            ConfigError: a folder holds another training, or two variants have the same name.
            ProgramError: a training or test failed.
        """
        with alone_in(self.out):
            folds = self.trainings()
            for fold in folds:
                fold.config(base)  # wrong settings raise before the first training
            run_jobs([partial(fold.run, base) for fold in folds], self.jobs)
            return summarize_folder(self.out, [variant.name for variant in self.variants], self.annotations)

    def trainings(self) -> list[Fold]:
        """Write the folds and list the trainings, all variants of a fold before the next fold."""
        table = FoldTable.read(self.folds) if isinstance(self.folds, Path) else None
        division = Division(folds=self.folds if isinstance(self.folds, int) else None, seed=self.seed)
        (parts,) = split_files([self.annotations], division, self.out / "folds", table=table)
        for line in (*parts.notes, *([] if parts.leak == NO_LEAK else [parts.leak])):
            log.warning("%s: %s", parts.name, line)
        name = self.out / "folds" / parts.name
        return [
            Fold(
                variant=variant,
                number=number,
                seed=self.seed,
                folder=self.out / variant.name / f"fold{number}",
                data_root=self.data_root,
                train=Path(f"{name}_fold{number}_train.json"),
                test=Path(f"{name}_fold{number}_test.json"),
            )
            for number in range(len(parts.files) // 2)
            for variant in self.variants
        ]
