"""``hipdet fit``: from films and labels to a model, its metrics on films that it wasn't trained on, and a report.

Everything is in one folder.  A run that ends early, also by a kill, is carried on by the same command.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config

from hipdet.anchors.rois import Rois
from hipdet.core.configs import portable
from hipdet.core.errors import ConfigError, DatasetError, HipdetError
from hipdet.core.files import write_json, write_text
from hipdet.core.records import plain, read_json
from hipdet.core.resumable import RunFolder, alone_in, fingerprint
from hipdet.engine.safe_settings import require_writable
from hipdet.inference.dicom_objects import parse_codes
from hipdet.workflows.budget import Bar, Budget, Limits, Speed, Stopwatch, evenly
from hipdet.workflows.cross_validation import Fold, Variant
from hipdet.workflows.films_elsewhere import FilmsElsewhere
from hipdet.workflows.fit_data import DataOptions, FitData, TrainingFiles, read_data
from hipdet.workflows.fit_leaks import require_other_films, require_unseen_films
from hipdet.workflows.fit_plan import BATCH, SYNTHETIC, FitPlan, epochs_for, plan_fit, portable_text
from hipdet.workflows.fit_report import write_report
from hipdet.workflows.fit_results import FinalModel, FitResult, RoundResults, facts_of, write_crops_of
from hipdet.workflows.fit_words import machine, training_facts
from hipdet.workflows.process import run_jobs

STATE, PLAN, BUDGET, CONFIG = "fit.json", "plan.json", "budget.json", "config.py"
METRICS, BEFORE, REPORT = "metrics.json", "metrics.before.json", "report.html"
DATA, TRAININGS, MEASURED = "data", "trainings", "measured"
ALL, HALF = "all", "half"
FOLDS = (5, 3)
MEASURED_FILMS, MEASURED_STEPS = 16, 10
RESUMES = 120  # seconds between two checkpoints, about


@dataclass(frozen=True)
class FitOptions:
    """What ``hipdet fit`` is asked for; see ``hipdet fit --help``.

    Attributes:
        data: Films and labels.
        out: Folder for everything that is written.
        minutes: Minutes for everything.
        jobs: Trainings in parallel.
        over_budget: Whether more minutes may be taken.
        test: Films from elsewhere to test on.
        test_labels: Their labels.
        settings: Settings of the config, as in ``--cfg-options``.
        steps: Most steps of a training; None for what the films are worth.
        codes: Codes by class, for the model's card.
    """

    data: DataOptions
    out: Path
    minutes: float = 30
    jobs: int = 1
    over_budget: bool = False
    test: Path | None = None
    test_labels: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    codes: Path | None = None


def require_places(options: FitOptions) -> None:
    """Check that the folders don't lie in each other, and that `out` isn't used for anything else.

    Raises:
        DatasetError: they do, or it is.
    """
    out, films = options.out.resolve(), options.data.films.resolve()
    if not films.is_dir():
        raise DatasetError(f"{options.data.films}: no such folder of films: check the path")
    if films == out or films in out.parents:
        raise DatasetError(
            f"--out {options.out}: lies in the folder of films, where its copies would be taken for films"
        )
    if out in films.parents:
        raise DatasetError(f"{options.data.films}: lies in --out {options.out}: choose another --out")
    if out.exists() and not out.is_dir():
        raise DatasetError(f"--out {options.out}: is a file, expected a folder")
    if out.is_dir() and not (out / STATE).is_file() and any(each.name != ".lock" for each in out.iterdir()):
        raise DatasetError(f"--out {options.out}: holds other files, expected a new folder, or one of hipdet fit")
    for path in options.data.labels.values():
        if not path.exists():
            raise DatasetError(f"--labels {path}: no such file or folder: check the path")


class Fit:
    """One run of ``hipdet fit``.

    Args:
        options: What is asked for.

    Raises:
        DatasetError: films or labels that can't be trained on, or films to test on that are trained on.
        ConfigError: codes that are none, or of other classes.
    """

    def __init__(self, options: FitOptions) -> None:
        self._started = time.perf_counter()
        require_places(options)
        self.options, self.out = options, options.out
        self._scratch = TemporaryDirectory()
        self.data: FitData = read_data(options.data, Path(self._scratch.name))
        self.codes: Any = {}
        if options.codes is not None:
            self.codes = read_json(options.codes, "codes by class", ConfigError)
            parse_codes(self.codes, [each["name"] for each in self.data.coco["categories"]], options.codes)
        if options.test is not None:
            require_other_films(self.data, FilmsElsewhere(options.test, options.test_labels, self.data.classes))
        self.plan: FitPlan = plan_fit(Rois.of_coco(self.data.coco), options.data.films.name)
        self.root = self.out / DATA
        self.base: Config = self.plan.config(self.root, f"{ALL}.json", options.settings)
        require_writable(self.base.to_dict())
        if doubt := require_unseen_films(self.data, self.base.get("load_from"), SYNTHETIC):
            self.plan = replace(self.plan, warnings=(*self.plan.warnings, doubt))

    def execute(self, plan_only: bool = False) -> FitResult | None:
        """Write the plan, train and test what isn't finished, and write the results; None with `plan_only`.

        Raises:
            DatasetError: another process uses the folder, or films can't be decoded.
            ConfigError: the minutes don't suffice.
            ProgramError: a training or test failed.
        """
        with alone_in(self.out):
            self._claim()
            for path in Path(self._scratch.name).iterdir():
                _replace(path, self.root / path.name)
            write_json(self.out / PLAN, dict(data=self.data.record(), plan=self.plan.record()))
            write_text(self.out / CONFIG, portable_text(self.base, self.plan.reasons))
            if plan_only:
                return None
            self.files = TrainingFiles.write(self.data, self.root, self.plan.side)
            self.files.write_part(ALL)
            budget = self._budget()
            print(f"budget: {budget}", *budget.notes, sep="\n  ", flush=True)
            folds, final, half = self._trainings(budget)
            self._train([*folds, final, *([half] if half else [])])
            return self._finish(budget, folds, final, half)

    def _claim(self) -> None:
        """Note the inputs; with other films, labels or settings, forget trainings and keep the metrics for comparison."""
        options = self.options
        limits = dict(minutes=options.minutes, over=options.over_budget, steps=options.steps)
        inputs = dict(
            films=fingerprint(self.data.coco),
            config=fingerprint([portable(self.base.to_dict()), Path(self.base.get("load_from") or "").name]),
            time=fingerprint(limits),
            folds=fingerprint([self.data.fold_of, str(options.data.folds), options.data.seed]),
        )
        path = self.out / STATE
        before = (
            read_json(path, "the state of hipdet fit: remove the folder to train again") if path.is_file() else None
        )
        if before is not None and before != inputs:
            differ = ", ".join(
                name for name in inputs if not isinstance(before, dict) or before.get(name) != inputs[name]
            )
            if (self.out / METRICS).is_file() or any((self.out / TRAININGS).glob("*")):
                print(f"{self.out}: other inputs than before ({differ}): trained from the start", flush=True)
            if (self.out / METRICS).is_file():
                _replace(self.out / METRICS, self.out / BEFORE)
            shutil.rmtree(self.out / TRAININGS, ignore_errors=True)
            (self.out / BUDGET).unlink(missing_ok=True)
        write_json(path, inputs)

    def _budget(self) -> Budget:
        """How the time is divided: as before in a run that is carried on, else from measured steps."""
        path = self.out / BUDGET
        if path.is_file():
            return Budget.read(path)
        options = self.options
        most = options.steps or self.plan.steps
        folds = tuple(count for count in FOLDS if count <= self.data.patients and self._divides(count))
        if self.data.fold_of:
            folds = (len(set(self.data.fold_of.values())),)
        elif isinstance(options.data.folds, int):
            folds = (options.data.folds,)
        speed = self._measure()
        spent = time.perf_counter() - self._started
        limits = Limits(options.minutes, options.jobs, most, over=options.over_budget, spent=spent)
        budget = limits.divide(speed, folds, self._halves is not None)
        write_json(path, budget.to_json())
        return budget

    def _divides(self, count: int) -> bool:
        try:
            return bool(self.data.folds(count))
        except DatasetError:
            return False

    @cached_property
    def _halves(self) -> tuple[list[int], list[int]] | None:
        return self.data.halves()

    def _measure(self) -> Speed:
        """Train a few steps in as many processes as later; the slowest counts."""
        place = self.out / TRAININGS
        films = evenly(MEASURED_FILMS, len(self.files.coco["images"]))
        per_epoch = -(-len(films) // BATCH)
        settings = {
            "train_cfg.max_epochs": 1 + -(-MEASURED_STEPS // per_epoch),
            "train_dataloader.dataset.indices": films,
        }
        found: list[Speed] = []

        def work(number: int) -> None:
            folder = place / f"{MEASURED}{number}"
            shutil.rmtree(folder, ignore_errors=True)
            watch = Stopwatch()
            variant = Variant(MEASURED, settings)
            everything = self.root / f"{ALL}.json"
            Fold(variant, number, self.options.data.seed, folder, self.root, everything, None).run(self.base, watch)
            found.append(watch.speed())

        print("measuring ten steps", flush=True)
        run_jobs([partial(work, number) for number in range(self.options.jobs)], self.options.jobs)
        for folder in place.glob(f"{MEASURED}*"):
            shutil.rmtree(folder)
        return Speed(max(each.step for each in found), max(each.around for each in found))

    def _trainings(self, budget: Budget) -> tuple[list[Fold], Fold, Fold | None]:
        """Write the COCO files of folds and halves, and list the trainings."""
        files, folds = self.files, []
        for number, left_out in enumerate(self.data.folds(budget.folds)):
            train = files.write_part(f"fold{number}_train", files.others(left_out))
            test = files.write_part(f"fold{number}_test", left_out)
            folds.append(self._fold(f"fold{number}", number, budget, train, test))
        final = self._fold(ALL, 0, budget, self.root / f"{ALL}.json", None)
        half = None
        if budget.half and self._halves is not None:
            train, test = (
                files.write_part(f"{HALF}_{part}", ids) for part, ids in zip(("train", "test"), self._halves)
            )
            half = self._fold(HALF, 0, budget, train, test)
        return folds, final, half

    def _fold(self, name: str, number: int, budget: Budget, train: Path, test: Path | None) -> Fold:
        films = len(read_json(train, "a COCO file")["images"])
        batch = self.base.train_dataloader.batch_size
        epochs, per_epoch, drop = epochs_for(budget.steps, films, batch)
        settings: dict[str, Any] = {"train_cfg.max_epochs": epochs}
        if drop:
            settings["train_dataloader.drop_last"] = True
        interval = max(1, round(RESUMES / (per_epoch * budget.speed.step)))
        folder = self.out / TRAININGS / name
        seed = self.options.data.seed
        return Fold(Variant(name, settings), number, seed, folder, self.root, train, test, min(interval, epochs))

    def _train(self, trainings: Sequence[Fold]) -> None:
        """Run the trainings that aren't finished, under one bar."""
        plans = [self._progress(each) for each in trainings]
        if all(RunFolder(each.folder).record is not None for each in trainings):
            return
        bar = Bar(sum(steps for _, steps in plans), sum(done for done, _ in plans))
        try:
            tasks = [partial(self._run, each, bar, *plan) for each, plan in zip(trainings, plans)]
            run_jobs(tasks, self.options.jobs)
        finally:
            bar.close()

    def _run(self, training: Fold, bar: Bar, done: int, steps: int) -> None:
        then = f"{training.folder.name}: testing" if training.test else ""
        ran = training.run(self.base, bar.follow(done, steps, then))
        bar.end(then)
        if ran:
            facts = facts_of(training)
            found = facts["figures"].get("roi/avg_iou")
            tested = "" if found is None else f", average IoU {found:.3f}"
            bar.say(f"{training.folder.name}: trained in {facts['seconds'] / 60:.1f} minutes{tested}")

    def _progress(self, training: Fold) -> tuple[int, int]:
        """Steps that are done, and all steps, of a training."""
        cfg = training.config(self.base)
        films = len(read_json(training.train, "a COCO file")["images"])
        batch = cfg.train_dataloader.batch_size
        per_epoch = films // batch if cfg.train_dataloader.get("drop_last") else -(-films // batch)
        steps, note = cfg.train_cfg.max_epochs * per_epoch, training.folder / "last_checkpoint"
        if RunFolder(training.folder).record is not None:
            return steps, steps
        epoch = Path(note.read_text(encoding="utf-8").strip()).stem.removeprefix("epoch_") if note.is_file() else "0"
        return (int(epoch) if epoch.isdecimal() else 0) * per_epoch, steps

    def _finish(self, budget: Budget, folds: Sequence[Fold], final: Fold, half: Fold | None) -> FitResult:
        """Export the final model, and write detections, crops, metrics and the report; metrics come last but one."""
        results = RoundResults(self.data, self.files, self.plan, folds, half)
        metrics = dict(
            data=self.data.record(),
            plan=self.plan.record(),
            budget=dict(budget.to_json(), said=str(budget)),
            training=training_facts(self.base),
            machine=machine(),
            **results.metrics(),
        )
        model = FinalModel(final.folder, self.out / "model.onnx", self.codes)
        metrics["model"] = model.write(results, self.files, metrics)
        results.write_detections(self.out / "out_of_fold.json")
        metrics["crops"] = write_crops_of(self.out / "out_of_fold.json", self.options.data.films, self.out / "crops")
        if self.options.test is not None:
            test = FilmsElsewhere(self.options.test, self.options.test_labels, self.data.classes)
            metrics["test"] = test.run(self.out)
        if (self.out / BEFORE).is_file():
            metrics["before"] = results.against(read_json(self.out / BEFORE, "metrics of hipdet fit"))
        metrics = plain(metrics)
        result = FitResult(self.out, self.options.data.films, metrics, self.data.coco, self.files, results.tested)
        write_report(result, self.out / REPORT)
        write_json(self.out / METRICS, metrics)
        return result


def _replace(path: Path, target: Path) -> None:
    """Move a file, also to another disk, over `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(path, target)
    except OSError:
        shutil.copyfile(path, target)
        path.unlink()


def run_fit(options: FitOptions, plan_only: bool = False) -> FitResult | None:
    """Check films and labels, print the plan, and carry it out; see :class:`Fit`.

    Nothing is written before everything is checked.
    """
    new = not options.out.exists()
    fit = Fit(options)
    print(fit.data.text(), fit.plan.text(), sep="\n", flush=True)
    try:
        return fit.execute(plan_only)
    except HipdetError:
        if new and not (options.out / STATE).is_file():
            shutil.rmtree(options.out, ignore_errors=True)
        raise
