"""Results of several shards as one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hipdet.core.errors import DatasetError
from hipdet.core.files import replacing, write_json
from hipdet.core.records import Record, parse_json, read_json
from hipdet.inference.detections import LONGEST_PATH, FilmRois
from hipdet.inference.results import Numbered, Walk, coco_films, coco_results
from hipdet.inference.selection import MOST_SHARDS

RUN = "run.json"
LINES = "films.jsonl"
REMEDY = "give folders as hipdet predict --shard or --engine ray wrote them"
_LONGEST = 1 << 24  # bytes of a film's record; one with 1,000 ROIs has some 150,000


@dataclass(frozen=True)
class Run:
    """What a run predicts: `films` films with these `settings` (model, settings, header filter) and ids of `categories`.

    `own_ids` says whether the films have the ids of a COCO file (``--ann``).  It is shard `shard`, from 1, of `shards`.
    """

    settings: str
    categories: Mapping[str, int]
    films: int
    own_ids: bool = False
    shard: int = 1
    shards: int = 1

    def write(self, out: Path) -> None:
        """Write ``run.json`` into the folder `out`."""
        write_json(out / RUN, asdict(self))

    @classmethod
    def read(cls, out: Path) -> Run:
        """The run of the folder `out`; DatasetError if it has none, or a damaged one."""
        values = Record.of(read_json(out / RUN, "the run of a shard"), out / RUN, remedy=REMEDY)
        ids, shards = values.record("categories"), values.whole("shards", 1, MOST_SHARDS)
        return cls(
            values.text("settings", longest=_LONGEST), {name: ids.whole(name) for name in ids.values},
            values.whole("films", 0), values.flag("own_ids"), values.whole("shard", 1, shards), shards,
        )  # fmt: skip

    def difference(self, other: Run) -> str:
        """In what the model, settings or categories of both runs differ; empty if they are the same."""
        facts = [f"{run.settings}, {dict(run.categories)}, own ids {run.own_ids}".split(", ") for run in (self, other)]
        return " and ".join(next((pair for pair in zip(*facts) if pair[0] != pair[1]), ()))


@dataclass(frozen=True)
class Results:
    """Several runs as one: films in order of their ids, all different; categories; `lines` that say what is missing."""

    films: Sequence[Numbered]
    categories: Mapping[str, int]
    lines: Sequence[str]

    def rows(self) -> list[dict[str, Any]]:
        """The rows that ``predictions.json`` has of these films."""
        return [row for each in self.films for row in coco_results(*each, self.categories)]

    def coco(self) -> dict[str, Any]:
        """The content that ``films.json`` has of these films."""
        return coco_films(self.films, self.categories)


def write_lines(out: Path, records: Walk) -> None:
    """Write the films of a shard, with all digits, into the folder `out`."""
    with replacing(out / LINES) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for number, film in records():
            file.write(json.dumps({"id": number, "film": film.to_json()}, allow_nan=False) + "\n")


def find_runs(places: Sequence[Path]) -> list[Path]:
    """The folders of shards at `places`, each once: such folders, files in them, or folders of shards; none if others.

    Raises:
        DatasetError: other results among them.
    """
    found: dict[Path, None] = {}
    other = []
    for place in places:
        folder = place if place.is_dir() else place.parent
        here = [run.parent for run in sorted(place.glob(f"shard-*-of-*/{RUN}")) or folder.glob(RUN)]
        found.update(dict.fromkeys(here))
        other += [] if here else [place]
    if found and other:
        raise DatasetError(f"{other[0]}: no results of a shard, unlike {next(iter(found))}: {REMEDY}")
    return [*found]


def read_results(folders: Sequence[Path]) -> Results:
    """The results in the `folders` of :func:`find_runs` as one.

    Ids are kept if they are unique; else, as after films were added, the films are numbered in order of their names.

    Raises:
        DatasetError: damaged results, other models or settings, or a film that occurs twice.
    """
    runs = [Run.read(folder) for folder in folders]
    found: dict[str, tuple[Path, int, FilmRois]] = {}
    lines = []
    for folder, run in zip(folders, runs):
        if differ := runs[0].difference(run):
            fault = f"other models or settings ({differ}), expected the same: predict one again"
            raise DatasetError(f"{folders[0]} and {folder}: {fault}")
        before = len(found)
        for number, film in read_films(folder, run):
            if found.setdefault(film.name, (folder, number, film))[2] is not film:
                both = f"in {found[film.name][0] / LINES} and in {folder / LINES}"
                raise DatasetError(f"film {film.name!r}: {both}, expected each film once: leave one out")
        if (count := len(found) - before) < run.films:
            fault = "films are predicted, the others are missing: run it again"
            lines.append(f"{folder}: {count} of its {run.films} {fault}")
    if len({number for _, number, _ in found.values()}) == len(found):
        films = sorted(((number, film) for _, number, film in found.values()), key=lambda each: each[0])
    elif runs[0].own_ids:
        raise DatasetError(f"{folders[0]}: two films have one id, expected results of one COCO file (--ann)")
    else:
        films = [*enumerate((found[name][2] for name in sorted(found)), 1)]
    absent = sorted(set(range(1, runs[0].shards + 1)) - {run.shard for run in runs})
    if absent and len({run.shards for run in runs}) == 1:  # shards of different numbers can't be compared
        listed = ", ".join(map(str, absent[:10])) + ", ..." * (len(absent) > 10)
        lines.append(f"no results of shards {listed} of {runs[0].shards}: their films are missing")
    return Results(films, runs[0].categories, lines)


def read_films(folder: Path, run: Run) -> Iterator[Numbered]:
    """The films in the `folder` of a shard, whose :class:`Run` is `run`; none if it was interrupted before it wrote them.

    Raises:
        DatasetError: the file is damaged, or has a label without a category.
    """
    path = folder / LINES
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, _LONGEST), b""), 1):
            where = f"{path}: line {number}"
            values = Record.of(parse_json(line, where, "a film"), where, remedy=REMEDY)
            film = values.record("film")
            name = film.text("name", longest=LONGEST_PATH)
            yield values.whole("id"), FilmRois.from_json(film, name, classes=run.categories)
