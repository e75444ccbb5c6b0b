"""All variants on all folds."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from mmengine.config import Config

from hipdet.coco.split_files import NO_LEAK, Division, split_files
from hipdet.cross_validation.fold import Fold
from hipdet.cross_validation.summary import summarize_folder
from hipdet.cross_validation.variant import Variant
from hipdet.errors import DatasetError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossValidation:
    """Variants of a recipe on the same folds.

    Attributes:
        annotations: COCO file of all films.
        data_root: Folder that the films' names start from.
        out: Folder for folds, trainings and tables.
        variants: The first is what the others are compared with.
        folds: Their number; films of a patient stay together.
        seed: Of the folds and of every training.
        jobs: Trainings side by side.
    """

    annotations: Path
    data_root: Path
    out: Path
    variants: Sequence[Variant]
    folds: int = 5
    seed: int = 0
    jobs: int = 1

    def execute(self, base: Config, tools: Path) -> list[Path]:
        """Train and test what isn't done yet, fold by fold, then write the tables; returns them.

        Raises:
            DatasetError: faulty films, or another process is at work in the folder.
            ConfigError: a folder that holds another training, or two variants of one name.
            ToolError: a training or test failed.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.out / ".lock", timeout=0):
                folds = self.trainings()
                for fold in folds:
                    fold.config(base)  # settings that don't fit show before the first training
                self._work(folds, base, tools)
                return summarize_folder(self.out, [variant.name for variant in self.variants], self.annotations)
        except Timeout as error:
            raise DatasetError(
                f"{self.out}: another run is at work here; wait for it or choose another --out"
            ) from error

    def trainings(self) -> list[Fold]:
        """Write the folds and list the trainings, all variants of a fold before the next fold."""
        division = Division(folds=self.folds, seed=self.seed)
        (parts,) = split_files([self.annotations], division, self.out / "folds")
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
            for number in range(self.folds)
            for variant in self.variants
        ]

    def _work(self, folds: Sequence[Fold], base: Config, tools: Path) -> None:
        if self.jobs == 1:
            for fold in folds:
                fold.run(base, tools)
            return
        # each gets its share of the cores
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self.jobs)))
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = [pool.submit(fold.run, base, tools) for fold in folds]
            try:
                for each in waiting:
                    each.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
