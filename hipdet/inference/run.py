"""Runs of hipdet predict: films to a folder of results.  A shard is a run, and so is what a worker of ray does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path

from hipdet.core.errors import DatasetError
from hipdet.inference.archive import RUN, Run, write_lines
from hipdet.inference.detector import RoiDetector
from hipdet.inference.dicom_objects import ObjectFolder
from hipdet.inference.film_list import FilmList
from hipdet.inference.results import FilmJournal, Numbered, write_films, write_predictions
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
        objects: Which DICOM objects are written, if any; their folder is below that of the results.
    """

    open_detector: Callable[[], RoiDetector]
    headers: HeaderFilter
    out: Path
    objects: ObjectFolder | None = None

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

    def predict(
        self, todo: FilmList, shard: Shard | None = None, tell: Callable[[str], None] = lambda line: None
    ) -> Counter[str]:
        """Predict the films that the journal doesn't have, then write all results, also after an interruption.

        Args:
            todo: The films, of the `shard` if there is one.
            shard: Which shard it is, whose results are read as one with others.
            tell: Gets lines that say what the headers leave out, before the first film is predicted.

        Returns:
            The numbers of `films` that the headers keep, of `unreadable` ones, of DICOM `objects`, of films `without` them,
            and of `others`, which aren't DICOM.

        Raises:
            DatasetError: the COCO file lacks classes of the model, or the journal is damaged.
            StorageError: the journal can't be written.
        """
        out = self.out / shard.folder if shard else self.out
        run, objects = self.run(todo, shard), self.objects and replace(self.objects, folder=out / "dicom", faults={})
        todo, lines = self.headers.films(todo, out / HEADERS)
        for line in lines:
            tell(line)
        with FilmJournal(out / JOURNAL, self.detector.settings, self.detector.model.card.classes) as journal:

            def done() -> Iterator[Numbered]:
                for number, source in zip(todo.ids, todo.films):
                    if (record := journal.find(source)) is not None:
                        yield number, record

            try:
                # unreadable films are tried again
                new = [each for each in todo.films if (known := journal.find(each)) is None or known.error is not None]
                for source, record in zip(new, self.detector.of_sources(iter(new), len(new))):
                    journal.add(source, record)
                if objects is not None:
                    objects.write((record for _, record in done()), {source.name for source in new})
            finally:
                write_predictions(out, done, run.categories, objects.faults if objects else {})
                if not todo.categories:
                    write_films(out / "films.json", done, run.categories)
                if shard:
                    (out / RUN).unlink(missing_ok=True)  # so that half of this run isn't read
                    write_lines(out, done)
                    replace(run, films=len(todo.films)).write(out)
            found = Counter(films=len(todo.films), unreadable=sum(film.error is not None for _, film in done()))
        if objects is not None:
            found.update(objects=objects.count, without=len(objects.faults), others=objects.others)
        return found


def discard(out: Path) -> None:
    """Have the folder `out` predicted from the beginning; its other files are replaced at the end of the run."""
    (out / RUN).unlink(missing_ok=True)
    (out / JOURNAL).unlink(missing_ok=True)
