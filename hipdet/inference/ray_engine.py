"""Prediction of an archive by Ray Data: parts of the films go to actors with a model each, which write Parquet files.

Ray pickles what it passes between its own processes, so nobody else may reach its ports.  hipdet passes names and settings;
results go to files.  A part is a shard of the films: it is finished when its file of films is there, is predicted again where
a film has changed, and gets films that are added.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hipdet.core.errors import ConfigError, HipdetError, StorageError
from hipdet.core.files import replacing, write_csv
from hipdet.core.records import Record, parse_json
from hipdet.core.resumable import alone_in
from hipdet.core.telemetry import switch_off
from hipdet.inference.archive import FILM_TYPES, FILMS, PARTS, RUN, Run, read_part
from hipdet.inference.detections import FilmRois
from hipdet.inference.detector import HipDetector
from hipdet.inference.film_list import FilmList, FilmSource
from hipdet.inference.results import film_key, roi_table
from hipdet.inference.selection import HeaderFilter, HeaderRow, bucket

FAILURES = "failures.csv"
FILMS_IN_PART = 500  # at most: some minutes of work, which are lost if a machine fails
PARTS_FOR_WORKER = 8  # if there are films enough: so that all end at about the same time
RETRIES = 2  # of a part whose process died
# off, it binds Ray to 127.0.0.1, on Linux, too; with _node_ip_address Ray takes the address of the machine instead
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
STORE = 256 << 20  # bytes of Ray's memory for what it passes on, which are names only
# Arrow types of the columns of predictions.csv; all others are numbers
_ROI_TYPES = dict.fromkeys(("film", "label", "picture_side", "patient_side", "flags", "spacing_plane"), "string")
_ROI_TYPES |= dict(image_id="int64", turned="int64", inverted="bool", candidate="bool")


@dataclass(frozen=True)
class Job:
    """What an actor needs.

    Attributes:
        options: Arguments of :class:`hipdet.inference.detector.HipDetector`.
        settings: Those that its detector must have.
        headers: Which films are predicted.
        run: What all actors predict.
        out: Folder of the Parquet files.
    """

    options: Mapping[str, Any]
    settings: str
    headers: HeaderFilter
    run: Run
    out: Path


class PartPredictor:
    """An actor: a detector, which predicts one part after the other."""

    def __init__(self, job: Job) -> None:
        self.job, self.detector = job, HipDetector(**job.options)
        if self.detector.settings != job.settings:
            raise ConfigError("a machine of the cluster has another hipdet or model: install the same on all")

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Predict the part `row` and write its files; returns how many films it has, and why it can't be written."""
        films = json.loads(row["films"])
        try:
            self._predict(row["part"], [(number, FilmSource(name, Path(path))) for number, name, path in films])
        except (HipdetError, OSError, MemoryError) as error:
            return {"films": 0, "error": str(error) or "too little memory"}
        return {"films": len(films), "error": ""}

    def _predict(self, part: str, sources: Sequence[tuple[int, FilmSource]]) -> None:
        """Predict those `sources`, ids and films, that the file of the part doesn't have yet, and write it."""
        path = self.job.out / FILMS / part
        rows = read_part(path, tuple(FILM_TYPES)) if path.exists() else []
        known = {row["key"]: row for row in rows if row["error"] is None}  # unreadable films are tried again
        keys = [film_key(source, self.job.run.settings) for _, source in sources]
        new = [source for (_, source), key in zip(sources, keys) if key not in known]
        ids = [number for number, _ in sources]
        if path.exists() and not new and ids == [row["image_id"] for row in rows]:
            return
        checked = {source.name: self.job.headers.check(source) for source in new}
        found = self.detector.of_sources(source for source in new if checked[source.name][0])
        films = {film.name: film for film in found}
        table = []
        for (number, source), key in zip(sources, keys):
            if key in known:
                record = Record(parse_json(known[key]["record"], path, "a film"), str(path))
                film, left_out, why = (
                    FilmRois.from_json(record, source.name),
                    known[key]["left_out"],
                    known[key]["header"],
                )
            else:
                kept, why = checked[source.name]
                film, left_out = films.get(source.name, FilmRois(source.name, None)), not kept
            table.append((number, film, left_out, why, key))
        self._write(part, table)

    def _write(self, part: str, table: Sequence[tuple[int, FilmRois, bool, str, str]]) -> None:
        """Write the part: its ROIs, then its films, with which it is finished."""
        columns, *rois = roi_table((number, film) for number, film, *_ in table)
        types = {str(column): _ROI_TYPES.get(str(column), "double") for column in columns}
        _write_parquet(self.job.out / "rois" / part, types, rois)
        rows = [
            (number, film.name, film.width, film.height, len(film.rois), film.turned, film.inverted, " ".join(film.flags),
             film.error, left_out, why, key, json.dumps(film.to_json(), allow_nan=False))
            for number, film, left_out, why, key in table
        ]  # fmt: skip
        _write_parquet(self.job.out / FILMS / part, FILM_TYPES, rows)


def _write_parquet(path: Path, types: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
    """Write `rows` with the columns `types`, names and Arrow types, whole or not at all."""
    import pyarrow
    from pyarrow import parquet

    def value(kind: str, cell: Any) -> Any:
        return bool(cell) if kind == "bool" else None if cell == "" and kind != "string" else cell

    data = {name: [value(kind, row[at]) for row in rows] for at, (name, kind) in enumerate(types.items())}
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(data, pyarrow.schema(list(types.items()))), temporary, compression="zstd")


@contextmanager
def ray_cluster(workers: int | None, threads: int) -> Iterator[int]:
    """Ray during the block: the cluster that RAY_ADDRESS names, or one on this machine that other machines can't reach.

    Yields the number of workers: `workers`, or as many as there are processors.

    Raises:
        ConfigError: no such cluster.
    """
    switch_off()
    address = os.environ.get("RAY_ADDRESS") or "local"  # never one that a file in /tmp names
    if address == "local":
        os.environ[LOOPBACK] = "0"  # read by the import
    import ray

    options: dict[str, Any] = dict(logging_level=logging.ERROR, log_to_driver=False)
    if address == "local":
        cpus = (workers or max(1, len(os.sched_getaffinity(0)) // threads)) * threads
        options |= dict(num_cpus=cpus, include_dashboard=False, object_store_memory=STORE)
    try:
        try:
            ray.init(address, **options)
        except Exception as error:  # of any type, and a bare Exception if a node starts too slowly
            raise ConfigError(f"Ray at {address}: {error}: check RAY_ADDRESS, or run it again") from error
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
    finally:  # also what was started of a node that didn't start
        ray.shutdown()


def predict_by_ray(todo: FilmList, job: Job, workers: int | None = None, overwrite: bool = False) -> None:
    """Predict the films of `todo` that the folder of the `job` doesn't have yet, and write ``failures.csv``.

    Raises:
        ConfigError: no such cluster, or the folder has results of other settings.
        DatasetError: another process uses the folder, or a file in it isn't one of hipdet's.
        StorageError: results can't be written, or a part's process died again and again.
    """
    threads = job.options["threads"]
    with alone_in(job.out):
        if overwrite:
            for path in (job.out / RUN, *job.out.glob(PARTS), *job.out.glob("rois/part-*.parquet")):
                path.unlink(missing_ok=True)
        with ray_cluster(workers, threads) as number:
            count = _claim(job, number, len(todo.films))
            parts: list[list[tuple[int, str, str]]] = [[] for _ in range(count)]
            for image_id, source in zip(todo.ids, todo.films):
                place = os.path.abspath(source.path or source.name)
                parts[bucket(source.name, count)].append((image_id, source.name, place))
            digits = len(str(count))
            rows = [
                {"part": f"part-{at:0{digits}d}-of-{count}.parquet", "films": json.dumps(films)}
                for at, films in enumerate(parts, 1)
            ]
            try:
                _predict_parts(rows, job, min(number, count), len(todo.films))
            finally:  # also after an interruption
                write_csv(job.out / FAILURES, [("film", "error"), *read_failures(job.out)])


def _claim(job: Job, workers: int, films: int) -> int:
    """Write the run into the folder; returns the number of parts, which is that of the first call.

    Raises:
        ConfigError: the folder has results of other settings.
    """
    parts = max(1, -(-films // FILMS_IN_PART), min(PARTS_FOR_WORKER * workers, films))
    if (job.out / RUN).exists():
        there = Run.read(job.out)
        parts = there.parts or parts
        if replace(there, films=0, parts=0) != replace(job.run, films=0, parts=0):
            raise ConfigError(
                f"{job.out}: results of another model or other settings, expected the same: choose another --out, or "
                f"--overwrite"
            )
    replace(job.run, films=films, parts=parts).write(job.out)
    return parts


def _predict_parts(rows: list[dict[str, Any]], job: Job, workers: int, films: int) -> None:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with warnings.catch_warnings():  # Ray 2.60 has no other place for max_task_retries yet; setup.py ends below 2.64
        warnings.simplefilter("ignore")
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            PartPredictor,
            fn_constructor_args=(job,),
            compute=ActorPoolStrategy(size=workers),
            num_cpus=job.options["threads"],
            max_task_retries=RETRIES,
        )
    try:
        with tqdm(total=films, unit="film", disable=None) as bar:
            for row in data.iter_rows():
                if row["error"]:
                    raise StorageError(f"{row['error']}: finished parts are kept, run it again")
                bar.update(row["films"])
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise StorageError(f"Ray: {reason[-1]}: finished parts are kept, run it again") from error


def read_failures(out: Path) -> list[tuple[str, str]]:
    """Name and error of each film in `out` that can't be read, in order of the names."""
    parts = (read_part(path, ("film", "error")) for path in sorted(out.glob(PARTS)))
    return sorted((row["film"], row["error"]) for rows in parts for row in rows if row["error"] is not None)


def read_headers(out: Path) -> list[HeaderRow]:
    """The films in `out` whose headers left them out, or didn't say what they are, in order of the names."""
    parts = (read_part(path, ("film", "left_out", "header")) for path in sorted(out.glob(PARTS)))
    return sorted((row["film"], row["left_out"], row["header"]) for rows in parts for row in rows if row["header"])
