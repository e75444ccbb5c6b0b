"""Runs experiments: joins the films, trains and tests what isn't finished, and writes the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from hipdet.core.errors import ConfigError, DatasetError
from hipdet.core.files import write_text
from hipdet.core.records import Record
from hipdet.core.resumable import RunFolder, alone_in, fingerprint
from hipdet.data.coco_file import subset
from hipdet.engine.checkpoint import training_times
from hipdet.engine.safe_settings import require_writable
from hipdet.evaluation.report import read_report
from hipdet.paper.data import EVERYTHING, Coco, DataSet, Films, Split, gather, write_data_root
from hipdet.paper.facts import CGOA, DETAIL_OF, EXPERIMENTS, GIS, OAIH, settings
from hipdet.paper.scores import Scores, coco_ap
from hipdet.paper.tables import (
    TABLE2,
    TABLE3,
    TrainedModel,
    predictions,
    runs,
    table2,
    table3,
    write_anchor_table,
    write_paper_table,
)
from hipdet.visualization.film_pictures import read_predictions
from hipdet.workflows.process import train_and_test

CONFIG = "config.py"
TABLE = "test.roi.json"
DETECTIONS = "detections"  # CocoMetric adds .bbox.json


@dataclass(frozen=True)
class Training:
    """A training of one seed in a folder of its own.

    Attributes:
        number: Number of the experiment.
        seed: Seed of the weights, the order of films and the augmentation.
        folder: Folder for everything that training and test write.
        data_root: Data root that :func:`hipdet.paper.data.write_data_root` wrote.
        processes: Number of ranks; the batch is divided among them.
    """

    number: int
    seed: int
    folder: Path
    data_root: Path
    processes: int = 1

    @property
    def tested(self) -> Path:
        """Folder for the detections on all films of the run, including the training films."""
        return self.folder / "tested"

    def run(self, base: Config, films: Films, flags: Sequence[str] = ()) -> bool:
        """Train, resuming an interrupted training, then test on all films; ``record.json`` is written last.

        Finished work isn't repeated; films that were added later are only tested on.

        Args:
            base: Config that the experiment is applied to.
            films: Films of the run.
            flags: Passed on to ``train``, such as ``--amp``.

        Returns:
            Whether there was anything to do.

        Raises:
            ConfigError: the folder holds a training with other settings or films.
            ProgramError: training or testing failed.
        """
        cfg = self.config(base)
        self._claim(cfg, films, flags)
        done = RunFolder(self.folder).record
        if done is not None and done.values.get("films") == fingerprint(films.coco):
            return False
        config, test_config = self.folder / CONFIG, self.tested / CONFIG
        write_text(test_config, self.test_config(cfg).pretty_text)
        title = f"experiment {self.number}, seed {self.seed}"
        epochs = cfg.train_cfg.max_epochs
        checkpoint = train_and_test(config, test_config, self.tested, title, epochs, self.processes, flags)
        RunFolder(self.folder).finish(self._record(checkpoint, films))
        return True

    def _claim(self, cfg: Config, films: Films, flags: Sequence[str]) -> None:
        """Write config and inputs into a new folder; refuse a folder that holds another training."""
        require_writable(cfg.to_dict())
        text = cfg.pretty_text
        pool = EXPERIMENTS[self.number].pool
        parts = [without_ids(subset(films.coco, films.subsets[f"{pool}_{part}"])) for part in ("train", "val")]
        inputs = dict(config=fingerprint(text), films=fingerprint(parts), flags=list(flags))
        if RunFolder(self.folder).claim(inputs) or not (self.folder / CONFIG).is_file():
            write_text(self.folder / CONFIG, text)

    def config(self, base: Config) -> Config:
        """`base` with the anchors and films of the experiment.

        Raises:
            ConfigError: the batch of `base` can't be divided among the processes.
        """
        cfg = Config(base.to_dict())
        for part in ("train", "val", "test"):
            dataset = cfg[f"{part}_dataloader"].dataset
            dataset.data_root = str(self.data_root.resolve())
            dataset.data_prefix = dict(img="")
        cfg.merge_from_dict(settings(self.number, cfg))
        batch = cfg.train_dataloader.batch_size
        if batch % self.processes:
            raise ConfigError(
                f"a batch of {batch} films can't be divided among {self.processes} processes: "
                f"give --processes a divisor of {batch}"
            )
        cfg.train_dataloader.batch_size = batch // self.processes
        cfg.randomness = dict(cfg.get("randomness") or {}, seed=self.seed)
        cfg.experiment_name = f"exp{self.number}_seed{self.seed}"
        # the last epoch is the result, not the best by validation; mmengine removes the oldest checkpoint before it writes
        cfg.default_hooks.checkpoint.update(max_keep_ckpts=2, save_best=None, save_last=True)
        return cfg

    def test_config(self, cfg: Config) -> Config:
        """`cfg` for a test on all films of the run that writes every detection."""
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
        report = read_report(self.tested / "test_report.json", "parameters", "versions")
        found = self.tested / f"{DETECTIONS}.bbox.json"
        detections = read_predictions(found)
        if strangers := {each["image_id"] for each in detections} - {image["id"] for image in films.coco["images"]}:
            raise DatasetError(f"{found}: has film {min(strangers)}, which isn't of this run: remove it and run again")
        return dict(
            films=fingerprint(films.coco),
            training=self.number,
            seed=self.seed,
            epochs=report["epoch"],
            train_images=len(films.subsets[f"{experiment.pool}_train"]),
            val_images=len(films.subsets[f"{experiment.pool}_val"]),
            shared_patients=films.shared_patients[experiment.pool],
            parameters=report["parameters"],
            seconds=training_times(checkpoint)["seconds"],
            checkpoint=checkpoint.name,
            versions=report["versions"],
            coco={name: coco_ap(films.coco, detections, ids) for name, ids in _tested_on(self.number, films).items()},
        )


def _tested_on(number: int, films: Films) -> dict[str, list[int]]:
    """The subsets that the tables need of training `number`: not those of other pools, which other runs may lack."""
    pools = {experiment.pool for experiment in EXPERIMENTS.values()} - {EXPERIMENTS[number].pool}
    others = {f"{pool}_{part}" for pool in pools for part in ("train", "val")}
    return {name: ids for name, ids in films.subsets.items() if name not in others}


def _checked(number: int, record: Record, films: Films) -> dict[str, Any]:
    """What the tables show of the record of training `number` on `films`."""
    counts = ("training", "seed", "epochs", "train_images", "val_images", "parameters")
    shared, versions, coco = record.values.get("shared_patients"), record.record("versions"), record.record("coco")
    return dict(
        **{key: record.whole(key, 0) for key in counts},
        shared_patients=shared if shared == "unknown" else record.whole("shared_patients", 0),
        seconds=record.number("seconds", 0),
        checkpoint=record.text("checkpoint"),
        versions={name: versions.text(name) for name in versions.values},
        coco={
            name: {key: coco.record(name).number(key, -1, 1) for key in ("coco_map", "coco_ap50")}
            for name in _tested_on(number, films)
        },
    )


def without_ids(coco: Coco) -> list[dict[str, Any]]:
    """Image records and annotations of `coco` without their ids, which depend on the other data sets of the run."""
    records = [*coco["images"], *coco["annotations"]]
    return [{key: value for key, value in record.items() if key not in ("id", "image_id")} for record in records]


@dataclass(frozen=True)
class Run:
    """Experiments, films and seeds that share an output folder.

    Attributes:
        numbers: Numbers of the experiments, 1 to 10.
        data_sets: Data sets by name; those that aren't in the paper are further test sets.
        out: Folder for trainings and tables.
        split: Split into training and validation.
        seeds: Seeds of the trainings.
        processes: Number of ranks of a training.
        flags: Passed on to ``train``.
    """

    numbers: Sequence[int]
    data_sets: Mapping[str, DataSet]
    out: Path
    split: Split = field(default_factory=Split)
    seeds: Sequence[int] = (0,)
    processes: int = 1
    flags: Sequence[str] = ()

    def gather(self) -> Films:
        """Join the films and write the data root.

        Raises:
            DatasetError: a data set that an experiment needs is missing or faulty.
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
        """Train and test what isn't finished, in order, then write the tables; returns the Markdown files.

        Raises:
            DatasetError: films are faulty, or another process uses the folder.
        """
        with alone_in(self.out):
            films = self.gather()
            for training in self.trainings():
                worked = training.run(base, films, self.flags)
                print(self._line(training, films) + ("" if worked else ", done before"))
            return self.write_tables(films)

    def trainings(self) -> list[Training]:
        """Distinct trainings, all experiments of a seed before the next seed."""
        numbers = dict.fromkeys(EXPERIMENTS[number].training for number in self.numbers)
        return [self._training(number, seed) for seed in self.seeds for number in numbers]

    def _training(self, number: int, seed: int) -> Training:
        folder = self.out / f"seed{seed}" / f"exp{number}"
        return Training(number, seed, folder, self.out / "data", self.processes)

    def model(self, number: int, seeds: Sequence[int], films: Films) -> TrainedModel:
        """The trained model of experiment `number` with the scores of all `seeds`."""
        trainings = [self._training(EXPERIMENTS[number].training, seed) for seed in seeds]
        scores = Scores.read([training.tested / TABLE for training in trainings], films.coco)
        found = [RunFolder(training.folder).record for training in trainings]
        records = [_checked(trainings[0].number, record, films) for record in found if record is not None]
        return TrainedModel(trainings[0].number, scores, records)

    def write_tables(self, films: Films) -> list[Path]:
        """Write ``table2``, ``table3`` and ``anchors`` as ``.md``, ``.csv`` and ``.json``; returns the Markdown files."""
        models = {t.number: self.model(t.number, self.seeds, films) for t in self.trainings()}
        further = [name for name in self.data_sets if name not in (CGOA, OAIH, GIS)]
        trainings = runs(self.numbers, models)
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
        write_paper_table(self.out / "table2", "Table 2: the experiments", TABLE2, rows, rows, facts, trainings)
        numbers = sorted(self.numbers, key=lambda number: number != DETAIL_OF)  # that of the paper's Table 3 first
        rows = [row for n in numbers for row in table3(n, models[EXPERIMENTS[n].training], films.subsets)]
        shown = [row for row in rows if row["experiment"] == numbers[0] or not row["part"]]
        title = "Table 3: the experiments in detail"
        write_paper_table(self.out / "table3", title, TABLE3, shown, rows, facts, trainings)
        write_anchor_table(self.out / "anchors", predictions(self.numbers, models, films.coco, films.subsets, further))
        return [self.out / f"{name}.md" for name in ("table2", "table3", "anchors")]

    def _line(self, training: Training, films: Films) -> str:
        """One line with the metrics of the experiments that share a training."""
        model = self.model(training.number, [training.seed], films)
        parts = []
        for number in self.numbers:
            experiment = EXPERIMENTS[number]
            if experiment.training == training.number:
                test = model.metrics(experiment.tested_on, films.subsets[experiment.tested_on])
                metrics = f"average IoU {test['avg_iou']:.4f}, acc50 {test['acc50']:.4f}"
                parts.append(f"experiment {number} on {experiment.tested_on}: {metrics}")
        return f"{'; '.join(parts)} ({model.records[0]['seconds'] / 60:.1f} min)"
