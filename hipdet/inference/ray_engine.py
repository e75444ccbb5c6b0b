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
from hipdet.inference.results import ROI_COLUMNS, FilmJournal, roi_table
from hipdet.inference.selection import HeaderFilter, HeaderRow, bucket

FAILURES = "failures.csv"
FILMS_IN_PART = 500  # at most: some minutes of work, which are lost if a machine fails
PARTS_FOR_WORKER = 8  # if there are films enough: so that all end at about the same time
RETRIES = 2  # of a part whose process died
# environment of Ray on this machine
ALONE = {
    # binds Ray to 127.0.0.1, on Linux, too; with _node_ip_address Ray takes the address of the machine instead
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # although its reports are off, Ray asks in which cloud it runs: with these it asks nobody
    "http_proxy": "http://127.0.0.1:9",
    "no_proxy": "localhost",
}
STORE = 256 << 20  # bytes of Ray's memory for what it passes on, which are names only
# Arrow types of the columns of predictions.csv; all others are numbers
_ROI_TYPES = dict.fromkeys(("film", "label", "picture_side", "patient_side", "flags", "spacing_plane"), "string")
_ROI_TYPES |= dict(image_id="int64", turned="int64", inverted="bool", candidate="bool")


@dataclass(frozen=True)
class Job:
    """What an actor needs: `options` of a `HipDetector`, the `settings` that it must have, which films, `run` and folder."""

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
            self._predict(row["part"], {number: FilmSource(name, Path(path)) for number, name, path in films})
        except (HipdetError, OSError, MemoryError) as error:
            return {"films": 0, "error": str(error) or "too little memory"}
        return {"films": len(films), "error": ""}

    def _predict(self, part: str, sources: Mapping[int, FilmSource]) -> None:
        """Predict those `sources`, by id, that the file of the part doesn't have yet; write its ROIs, then its films."""
        path, run = self.job.out / FILMS / part, self.job.run
        rows = read_part(path, [*FILM_TYPES]) if path.exists() else []
        keys = {number: FilmJournal.key_of(source, run.settings) for number, source in sources.items()}
        # by key and name; unreadable films are tried again
        known = {(row["key"], row["film"]): row for row in rows if row["error"] is None}
        new = [source for number, source in sources.items() if (keys[number], source.name) not in known]
        if path.exists() and not new and [*sources] == [row["image_id"] for row in rows]:
            return
        checked = {source.name: self.job.headers.check(source) for source in new}
        found = self.detector.of_sources(source for source in new if checked[source.name][0])
        films = {film.name: film for film in found}
        table = []
        for number, source in sources.items():
            if not (row := known.get((keys[number], source.name))):
                kept, why = checked[source.name]
                row = _film_row(
                    films[source.name] if kept else FilmRois(source.name, None), not kept, why, keys[number]
                )
            table.append({**row, "image_id": number})
        records = (Record(parse_json(row["record"], path, "a film"), str(path)) for row in table)
        rois = roi_table((row["image_id"], run.film(record)) for row, record in zip(table, records))
        types = {column: _ROI_TYPES.get(column, "double") for column in ROI_COLUMNS}
        _write_parquet(self.job.out / "rois" / part, types, [dict(zip(ROI_COLUMNS, cells)) for cells in [*rois][1:]])
        _write_parquet(path, FILM_TYPES, table)


def _film_row(film: FilmRois, left_out: bool, header: str, key: str) -> dict[str, Any]:
    """The row of a film in the file of films, without its id."""
    return dict(
        film=film.name, width=film.width, height=film.height, rois=len(film.rois), turned=film.turned,
        inverted=film.inverted, flags=" ".join(film.flags), error=film.error, left_out=left_out, header=header, key=key,
        record=json.dumps(film.to_json(), allow_nan=False),
    )  # fmt: skip


def _write_parquet(path: Path, types: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows` with the columns `types`, names and Arrow types, whole or not at all."""
    import pyarrow
    from pyarrow import parquet

    columns = [pyarrow.array([row[name] for row in rows]).cast(kind) for name, kind in types.items()]
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(columns, [*types]), temporary, compression="zstd")


@contextmanager
def _ray_cluster(workers: int | None, threads: int) -> Iterator[int]:
    """Ray during the block: the cluster that RAY_ADDRESS names, or one on this machine that other machines can't reach.

    Yields the number of workers: `workers`, or as many as there are processors.  ConfigError if there is no such cluster.
    """
    switch_off()
    address = os.environ.get("RAY_ADDRESS") or "local"  # never one that a file in /tmp names
    options: dict[str, Any] = dict(logging_level=logging.ERROR, log_to_driver=False)
    if address == "local":
        os.environ.update(ALONE)  # before the import
        cpus = (workers or max(1, len(os.sched_getaffinity(0)) // threads)) * threads
        options |= dict(num_cpus=cpus, include_dashboard=False, object_store_memory=STORE)
    import ray

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
    with alone_in(job.out):
        if overwrite:
            for path in (job.out / RUN, *job.out.glob(PARTS), *job.out.glob("rois/part-*.parquet")):
                path.unlink(missing_ok=True)
        with _ray_cluster(workers, job.options["threads"]) as number:
            count = _claim(job, number, len(todo.films))
            parts: list[list[tuple[int, str, str]]] = [[] for _ in range(count)]
            for image_id, source in zip(todo.ids, todo.films):
                place = os.path.abspath(source.path or source.name)
                parts[bucket(source.name, count)].append((image_id, source.name, place))
            try:
                _predict_parts(parts, job, min(number, count))
            finally:  # also after an interruption
                write_csv(job.out / FAILURES, [("film", "error"), *read_failures(job.out)])


def _claim(job: Job, workers: int, films: int) -> int:
    """Write the run; returns the number of parts, that of the first call.  ConfigError if there is one of other settings."""
    parts = max(1, -(-films // FILMS_IN_PART), min(PARTS_FOR_WORKER * workers, films))
    if (job.out / RUN).exists():
        there = Run.read(job.out)
        parts = there.parts or parts
        if replace(there, films=0, parts=0) != replace(job.run, films=0, parts=0):
            remedy = "expected the same: choose another --out, or --overwrite"
            raise ConfigError(f"{job.out}: results of another model or other settings, {remedy}")
    replace(job.run, films=films, parts=parts).write(job.out)
    return parts


def _predict_parts(parts: Sequence[Sequence[tuple[int, str, str]]], job: Job, workers: int) -> None:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    name = f"part-{{:0{len(str(len(parts)))}d}}-of-{len(parts)}.parquet"
    rows = [{"part": name.format(at), "films": json.dumps(films)} for at, films in enumerate(parts, 1)]
    with warnings.catch_warnings():  # Ray 2.60 has no other place for max_task_retries yet; setup.py ends below 2.64
        warnings.simplefilter("ignore")
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            PartPredictor, fn_constructor_args=(job,), compute=ActorPoolStrategy(size=workers),
            num_cpus=job.options["threads"], max_task_retries=RETRIES,
        )  # fmt: skip
    try:
        with tqdm(total=sum(map(len, parts)), unit="film", disable=None) as bar:
            for row in data.iter_rows():
                if row["error"]:
                    raise StorageError(f"{row['error']}: finished parts are kept, run it again")
                bar.update(row["films"])
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise StorageError(f"Ray: {reason[-1]}: finished parts are kept, run it again") from error


def read_failures(out: Path) -> list[tuple[str, str]]:
    """Name and error of each film in `out` that can't be read, in order of the names."""
    rows = (row for path in sorted(out.glob(PARTS)) for row in read_part(path, ("film", "error")))
    return sorted((row["film"], row["error"]) for row in rows if row["error"] is not None)


def read_headers(out: Path) -> list[HeaderRow]:
    """The films in `out` whose headers left them out, or didn't say what they are, in order of the names."""
    rows = (row for path in sorted(out.glob(PARTS)) for row in read_part(path, ("film", "left_out", "header")))
    return sorted((row["film"], row["left_out"], row["header"]) for row in rows if row["header"])
