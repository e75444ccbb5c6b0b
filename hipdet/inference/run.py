"""Runs of hipdet predict: films to a folder of results.  A shard is a run, and so is what a worker of ray does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from hipdet.core.errors import DatasetError
from hipdet.inference.archive import RUN, Run, write_lines
from hipdet.inference.detections import FilmRois
from hipdet.inference.detector import RoiDetector
from hipdet.inference.film_list import FilmList, FilmSource
from hipdet.inference.results import FilmJournal, write_films, write_predictions
from hipdet.inference.selection import HEADERS, HeaderFilter, Shard

JOURNAL = "journal.jsonl"
REVIEW, FAILURES = "review.csv", "failures.csv"


@dataclass
class Predictor:
    """Predicts films, and writes folders of results.  What is opened isn't copied: another process opens its own.

    Attributes:
        open_detector: Opens the detector.
        headers: Which films are kept.
        out: Folder of the results, or of the folders of shards.
        objects: Writes DICOM objects, if any are wanted: `dicom_objects.write_objects`, from `folder` on.
    """

    open_detector: Callable[[], RoiDetector]
    headers: HeaderFilter
    out: Path
    objects: Callable[[Path, Iterator[FilmRois], Collection[str], dict[str, str]], Counter[str]] | None = None

    @cached_property
    def detector(self) -> RoiDetector:
        """The detector; for the errors see `RoiDetector`."""
        return self.open_detector()

    def run(self, todo: FilmList, shard: Shard | None = None) -> Run:
        """What is predicted.

        Raises:
            DatasetError: the COCO file lacks classes of the model.
        """
        classes, settings = self.detector.model.card.classes, self.detector.settings
        if todo.categories and (missing := [name for name in classes if name not in todo.categories]):
            raise DatasetError(f"the COCO file has no category {missing[0]!r}, which the model finds")
        categories = todo.categories or {name: number for number, name in enumerate(classes, 1)}
        settings += f", headers {self.headers}" if self.headers.wanted else ""
        return Run(settings, categories, len(todo.films), bool(todo.categories), *(astuple(shard) if shard else ()))

    def predict(self, todo: FilmList, shard: Shard | None = None, tell: Callable[[str], None] = print) -> Counter[str]:
        """Predict the films that the journal doesn't have, then write all results, also after an interruption.

        Args:
            todo: The films, of the `shard` if there is one.
            shard: Which shard it is, whose results are read as one with others.
            tell: Gets lines that say what the headers leave out, before the first film is predicted (default: print).

        Returns:
            The numbers of `films` that the headers keep, of `unreadable` ones, of DICOM `objects`, of films `without` them,
            and of `others`, which aren't DICOM.

        Raises:
            DatasetError: the COCO file lacks classes of the model, or the journal is damaged.
            StorageError: the journal can't be written.
        """
        out = self.out / shard.folder if shard else self.out
        run, faults, objects = self.run(todo, shard), dict[str, str](), Counter[str]()
        todo, lines = self.headers.films(todo, out / HEADERS)
        for line in lines:
            tell(line)
        with FilmJournal(out / JOURNAL, self.detector.settings, self.detector.model.card.classes) as journal:
            done = partial(journal.of, todo.films)
            try:
                new = predict_missing(self.detector, journal, todo.films)
                if self.objects is not None:
                    objects = self.objects(out / "dicom", (film for _, film in done()), new, faults)
            finally:
                write_predictions(out, done, run.categories, faults)
                if not todo.categories:
                    write_films(out / "films.json", done, run.categories)
                if shard:
                    (out / RUN).unlink(missing_ok=True)  # so that half of this run isn't read
                    write_lines(out, done)
                    replace(run, films=len(todo.films)).write(out)
            found = Counter(films=len(todo.films), unreadable=sum(film.error is not None for _, film in done()))
        found.update(objects, without=len(faults))
        return found


def predict_missing(detector: RoiDetector, journal: FilmJournal, films: Mapping[int, FilmSource]) -> set[str]:
    """Predict those of `films` that the `journal` doesn't have, or that couldn't be read; returns their names."""
    new = [each for each in films.values() if (known := journal.find(each)) is None or known.error is not None]
    for source, record in zip(new, detector.of_sources(iter(new), len(new))):
        journal.add(source, record)
    return {source.name for source in new}


def discard(out: Path) -> None:
    """Have the folder `out` predicted from the beginning; its other files are replaced at the end of the run."""
    (out / RUN).unlink(missing_ok=True)
    (out / JOURNAL).unlink(missing_ok=True)
