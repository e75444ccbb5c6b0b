"""A set of experiments: gathers films, trains what is missing, writes the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from mmengine.config import Config

from hipdet.errors import DatasetError
from hipdet.experiments.data import DataSet, Films, Split, gather, write_data_root
from hipdet.experiments.experiment import EXPERIMENTS
from hipdet.experiments.paper import DETAIL_OF
from hipdet.experiments.predictions import predictions, write_predictions
from hipdet.experiments.scores import Scores
from hipdet.experiments.tables import TrainedModel, runs, table2, table3
from hipdet.experiments.training import TABLE, Training
from hipdet.experiments.write_tables import TABLE2, TABLE3, write_table


@dataclass(frozen=True)
class Run:
    """Experiments, films and seeds that share an output folder.

    Attributes:
        numbers: Experiments, 1 to 10.
        data_sets: By name; those that no experiment knows are further test sets.
        out: Folder for trainings and tables.
        tools: Folder of ``train.py`` and ``test.py``.
        split: Of training and validation.
        seeds: Of the trainings.
        processes: Ranks of a training.
        flags: Passed on to ``train.py``.
    """

    numbers: Sequence[int]
    data_sets: Mapping[str, DataSet]
    out: Path
    tools: Path
    split: Split = field(default_factory=Split)
    seeds: Sequence[int] = (0,)
    processes: int = 1
    flags: Sequence[str] = ()

    def gather(self) -> Films:
        """Join the films and write the data root.

        Raises:
            DatasetError: a data set that an experiment needs isn't given, or is faulty.
        """
        experiments = [EXPERIMENTS[number] for number in self.numbers]
        needed = {name for e in experiments for name in (*e.trained_on, e.tested_on)}
        missing = sorted(needed - set(self.data_sets))
        if missing:
            raise DatasetError(
                f"experiments {list(self.numbers)} need the data sets {missing}: give --data NAME=FILE for each"
            )
        films = gather(list(self.data_sets.values()), {e.pool: e.trained_on for e in experiments}.values(), self.split)
        write_data_root(films, list(self.data_sets.values()), self.out / "data")
        return films

    def execute(self, base: Config) -> list[Path]:
        """Train and test what isn't done yet, in order, then write the tables.

        Raises:
            DatasetError: faulty films, or another process is at work in the folder.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.out / ".lock", timeout=0):
                films = self.gather()
                for training in self.trainings():
                    news = training.run(base, films, self.flags)
                    print(self._line(training, films) + ("" if news else ", done before"))
                return self.write_tables(films)
        except Timeout as error:
            raise DatasetError(
                f"{self.out}: another run is at work here; wait for it or choose another --out"
            ) from error

    def trainings(self) -> list[Training]:
        """Distinct trainings, all experiments of a seed before the next seed."""
        numbers = dict.fromkeys(EXPERIMENTS[number].training for number in self.numbers)
        return [self._training(number, seed) for seed in self.seeds for number in numbers]

    def _training(self, number: int, seed: int) -> Training:
        folder = self.out / f"seed{seed}" / f"exp{number}"
        return Training(number, seed, folder, self.out / "data", self.tools, self.processes)

    def model(self, number: int, seeds: Sequence[int], films: Films) -> TrainedModel:
        """The trained model of experiment `number` with the scores of all `seeds`."""
        trainings = [self._training(EXPERIMENTS[number].training, seed) for seed in seeds]
        scores = Scores.read([training.tested / TABLE for training in trainings], films.coco)
        return TrainedModel(trainings[0].number, scores, [training.read_record() for training in trainings])

    def write_tables(self, films: Films) -> list[Path]:
        """Write ``table2``, ``table3`` and ``anchors`` as ``.md``, ``.csv`` and ``.json``; returns the Markdown files."""
        models = {t.number: self.model(t.number, self.seeds, films) for t in self.trainings()}
        known = {name for e in EXPERIMENTS.values() for name in (*e.trained_on, e.tested_on)}
        further = [name for name in self.data_sets if name not in known]
        how = runs(self.numbers, models)
        facts: dict[str, Any] = dict(
            split=asdict(self.split),
            seeds=list(self.seeds),
            versions=next(iter(models.values())).records[0]["versions"],
            data_sets={
                name: f"{len(films.subsets[name])} films of {data_set.annotations.name}"
                for name, data_set in self.data_sets.items()
            },
        )
        rows = table2(self.numbers, models, films.subsets, further)
        write_table(self.out / "table2", "Table 2: the experiments", TABLE2, rows, rows, facts, how)
        numbers = sorted(self.numbers, key=lambda number: number != DETAIL_OF)  # the paper's own first
        rows = [row for n in numbers for row in table3(n, models[EXPERIMENTS[n].training], films.subsets)]
        shown = [row for row in rows if row["experiment"] == numbers[0] or not row["part"]]
        write_table(self.out / "table3", "Table 3: the experiments in detail", TABLE3, shown, rows, facts, how)
        write_predictions(self.out / "anchors", predictions(self.numbers, models, films.coco, films.subsets, further))
        return [self.out / f"{name}.md" for name in ("table2", "table3", "anchors")]

    def _line(self, training: Training, films: Films) -> str:
        """How the experiments of a training came out."""
        model = self.model(training.number, [training.seed], films)
        parts = []
        for number in self.numbers:
            experiment = EXPERIMENTS[number]
            if experiment.training == training.number:
                test = model.figures(experiment.tested_on, films.subsets[experiment.tested_on])
                figures = f"average IoU {test['avg_iou']:.4f}, acc50 {test['acc50']:.4f}"
                parts.append(f"experiment {number} on {experiment.tested_on}: {figures}")
        return f"{'; '.join(parts)} ({model.records[0]['seconds'] / 60:.1f} min)"
