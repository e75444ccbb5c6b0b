"""Results of several runs as one: those of shards, and the Parquet files of hipdet predict --engine ray."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hipdet.core.errors import ConfigError, DatasetError
from hipdet.core.files import replacing, write_json
from hipdet.core.records import MAX_BYTES, Record, parse_json, read_json
from hipdet.inference.detections import LONGEST_PATH, FilmRois
from hipdet.inference.results import Numbered, Walk, coco_films, coco_results
from hipdet.inference.selection import MOST_SHARDS

RUN = "run.json"
LINES = "films.jsonl"  # the films of a shard
FILMS = "films"  # folder of those of the engine ray
PARTS = f"{FILMS}/part-*.parquet"
REMEDY = "give folders as hipdet predict --shard or --engine ray wrote them"
# columns of the files of films; `record` is the film as in a journal, with all digits
FILM_TYPES = dict(
    image_id="int64", film="string", width="int64", height="int64", rois="int64", turned="int64", inverted="bool",
    flags="string", error="string", left_out="bool", header="string", key="string", record="string",
)  # fmt: skip
_MOST_ROWS = 1_000_000  # films in a file; those of hipdet have some hundreds
_LONGEST = 1 << 24  # bytes of a film's record; one with 1,000 ROIs has some 150,000


@dataclass(frozen=True)
class Run:
    """What a run predicts: `films` films with these `settings` (model, settings, header filter) and ids of `categories`.

    `own_ids` says whether the films have the ids of a COCO file (``--ann``).  It is shard `shard`, from 1, of `shards`: 1 for
    the engine ray, which has a number of `parts`, its files, that stays when films are added.
    """

    settings: str
    categories: Mapping[str, int]
    films: int
    own_ids: bool = False
    shard: int = 1
    shards: int = 1
    parts: int = 0

    def write(self, out: Path) -> None:
        """Write ``run.json`` into the folder `out`."""
        write_json(out / RUN, asdict(self))

    @classmethod
    def read(cls, out: Path) -> Run:
        """The run of the folder `out`; DatasetError if it has none, or a damaged one."""
        values = Record.of(read_json(out / RUN, "the run of a shard or of ray"), out / RUN, remedy=REMEDY)
        ids, shards = values.record("categories"), values.whole("shards", 1, MOST_SHARDS)
        return cls(
            values.text("settings", longest=_LONGEST), {name: ids.whole(name) for name in ids.values},
            values.whole("films", 0), values.flag("own_ids"), values.whole("shard", 1, shards), shards,
            values.whole("parts", 0, MOST_SHARDS),
        )  # fmt: skip

    def film(self, values: Record) -> FilmRois:
        """The film of a record; DatasetError if it is damaged, or has a label without a category."""
        film = FilmRois.from_json(values, values.text("name", longest=LONGEST_PATH))
        if unknown := {roi.label for roi in (*film.rois, *film.candidates)} - {*self.categories}:
            raise DatasetError(
                f"{values.where}: label {min(unknown)!r}, expected one of {[*self.categories]}: {REMEDY}"
            )
        return film


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
    """The folders of shards or of ray at `places`: such folders, files in them, or folders of shards; none if others.

    Raises:
        DatasetError: other results among them, or a folder twice.
    """
    found: list[Path] = []
    other = []
    for place in places:
        folder = place if place.is_dir() else place.parent
        here = [run.parent for run in sorted(place.glob(f"shard-*-of-*/{RUN}")) or folder.glob(RUN)]
        if twice := [each for each in here if each in found]:
            raise DatasetError(f"{twice[0]}: given twice, expected each folder once")
        found += here
        other += [] if here else [place]
    if found and other:
        raise DatasetError(f"{other[0]}: no results of a shard or of ray, unlike {found[0]}: {REMEDY}")
    return found


def read_results(folders: Sequence[Path]) -> Results:
    """The results in the `folders` of :func:`find_runs` as one.

    Ids are kept if they are unique; else, as after films were added, the films are numbered in order of their names.

    Raises:
        DatasetError: damaged results, other models or settings, or a film that occurs twice.
        ConfigError: pyarrow is missing.
    """
    runs = [Run.read(folder) for folder in folders]
    found: dict[str, tuple[Path, int, FilmRois]] = {}
    lines = []
    for folder, run in zip(folders, runs):
        _require_same(folders[0], runs[0], folder, run)
        there = [*_films(folder, run)]
        for path, number, film in there:
            if film and found.setdefault(film.name, (path, number, film))[2] is not film:
                both = f"in {found[film.name][0]} and in {path}"
                raise DatasetError(f"film {film.name!r}: {both}, expected each film once: leave one out")
        if len(there) < run.films:
            fault = "films are predicted, the others are missing: run it again"
            lines.append(f"{folder}: {len(there)} of its {run.films} {fault}")
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


def _require_same(first: Path, one: Run, folder: Path, other: Run) -> None:
    """Raise DatasetError unless both runs have the same model, settings and categories."""
    facts = [f"{run.settings}, {dict(run.categories)}, own ids {run.own_ids}".split(", ") for run in (one, other)]
    if facts[0] != facts[1]:
        differ = " and ".join(next((pair for pair in zip(*facts) if pair[0] != pair[1]), ("fewer", "more")))
        remedy = "expected the same: predict one again"
        raise DatasetError(f"{first} and {folder}: other models or settings ({differ}), {remedy}")


def _films(folder: Path, run: Run) -> Iterator[tuple[Path, int, FilmRois | None]]:
    """File, id and record of each film of a run; no record if the film's header left it out."""

    def parsed(text: bytes | str, where: str) -> Record:
        return Record.of(parse_json(text, where, "a film"), where, remedy=REMEDY)

    if (path := folder / LINES).is_file():
        with path.open("rb") as file:
            for number, line in enumerate(iter(partial(file.readline, _LONGEST), b""), 1):
                values = parsed(line, f"{path}: line {number}")
                yield path, values.whole("id"), run.film(values.record("film"))
    for path in sorted(folder.glob(PARTS)):
        for number, row in enumerate(read_part(path, ("image_id", "left_out", "record")), 1):
            values = parsed(row["record"], f"{path}: row {number}")
            yield path, row["image_id"], None if row["left_out"] else run.film(values)


def read_part(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a Parquet file of films.  Only plain columns are read: nothing in the file is executed or unpickled.

    Args:
        path: File.
        columns: Names of :data:`FILM_TYPES`; all but `error` have a value in each row.

    Raises:
        DatasetError: it isn't a file of hipdet predict --engine ray.
        ConfigError: pyarrow is missing.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ConfigError(f"{path}: Parquet needs pyarrow: pip install 'hipdet[ray]' ({error})") from error
    fault = "not a file"
    try:
        if path.is_file() and path.stat().st_size <= MAX_BYTES:  # a pipe would wait forever
            with ParquetFile(path) as file:
                types = {each.name: str(each.type) for each in file.schema_arrow}
                wrong = [
                    f"column {each} is {types.get(each)}" for each in columns if types.get(each) != FILM_TYPES[each]
                ]
                fault = [*wrong, f"{file.metadata.num_rows} rows"][0]
                if not wrong and file.metadata.num_rows <= _MOST_ROWS:
                    rows: list[dict[str, Any]] = file.read([*columns]).to_pylist()
                    if all(row[each] is not None for row in rows for each in columns if each != "error"):
                        return rows
                    fault = "empty cells"
    except (ArrowException, OSError, ValueError, MemoryError) as error:
        fault = f"no Parquet ({type(error).__name__})"
    raise DatasetError(f"{path}: {fault}, expected the films of hipdet predict --engine ray: {REMEDY}")
