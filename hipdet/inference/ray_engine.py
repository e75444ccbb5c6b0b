"""Prediction of an archive by Ray Data: shards go to actors with a model each, which write a folder for each shard.

Ray pickles what it passes between its own processes, so nobody else may reach its ports.  hipdet passes names and settings;
results go to files, as of ``hipdet predict --shard``, which hipdet reads, and Parquet, which it only writes.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hipdet.core.errors import ConfigError, HipdetError, StorageError
from hipdet.core.files import read_csv, replacing, write_csv
from hipdet.core.resumable import alone_in
from hipdet.core.telemetry import switch_off
from hipdet.inference.archive import Run, find_runs, read_films
from hipdet.inference.detector import RoiDetector
from hipdet.inference.dicom_objects import ObjectFolder
from hipdet.inference.film_list import FilmList
from hipdet.inference.results import ROI_COLUMNS, roi_table
from hipdet.inference.run import build_run, discard, predict
from hipdet.inference.selection import HEADER_COLUMNS, HEADERS, HeaderFilter, Shard, write_headers

FAILURES = "failures.csv"
FAILURE_COLUMNS = ("film", "error")
PARQUET = "predictions.parquet"
FILMS_IN_SHARD = 500  # at most: some minutes of work, after which the progress bar moves
SHARDS_FOR_WORKER = 8  # if there are films enough: so that all end at about the same time
RETRIES = 2  # of a shard whose process died
_FOLDER = re.compile(r"shard-[0-9]{1,7}-of-([1-9][0-9]{0,6})")
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
    """What an actor needs.

    Attributes:
        open_detector: Opens the detector.
        threads: Its threads, which are the processors of an actor.
        headers: Which films are kept.
        run: What is predicted.
        out: Folder of the folders of shards.
        objects: Which DICOM objects are written, if any.
    """

    open_detector: Callable[[], RoiDetector]
    threads: int
    headers: HeaderFilter
    run: Run
    out: Path
    objects: ObjectFolder | None = None


@dataclass
class ShardPredictor:
    """An actor: a detector, which predicts one shard after the other."""

    job: Job

    @cached_property
    def detector(self) -> RoiDetector:
        """Opened for the first shard, so that its errors are told as those of shards."""
        return self.job.open_detector()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Predict the `films` of a `shard`; returns their number, the numbers of :func:`predict`, and why it has failed."""
        try:
            return {"given": len(row["films"].films), "error": "", **self._predict(row["shard"], row["films"])}
        except (HipdetError, OSError, MemoryError) as error:
            return {"given": 0, "error": str(error) or "too little memory"}

    def _predict(self, shard: Shard, todo: FilmList) -> Counter[str]:
        job, out = self.job, self.job.out / shard.folder
        if differ := job.run.difference(build_run(self.detector, todo, job.headers)):
            raise ConfigError(
                f"a machine of the cluster has another hipdet or model ({differ}): install the same on all"
            )
        objects = replace(job.objects, folder=out / "dicom", faults={}) if job.objects else None
        found = predict(self.detector, todo, out, job.headers, shard, objects)
        write_parquet(out)
        return found


def write_parquet(folder: Path) -> None:
    """Write ``predictions.parquet`` into the `folder` of a shard: the columns of ``predictions.csv``, without its guards."""
    import pyarrow
    from pyarrow import parquet

    _, *rows = roi_table(read_films(folder, Run.read(folder)))
    columns = [
        pyarrow.array([row[at] for row in rows]).cast(_ROI_TYPES.get(name, "double"))
        for at, name in enumerate(ROI_COLUMNS)
    ]
    with replacing(folder / PARQUET) as temporary:
        parquet.write_table(pyarrow.table(columns, [*ROI_COLUMNS]), temporary, compression="zstd")


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


def predict_by_ray(
    todo: FilmList, job: Job, workers: int | None = None, overwrite: bool = False
) -> tuple[Counter[str], list[str]]:
    """Predict the films of `todo` by shards; then write ``failures.csv`` and ``headers.csv``, also after an interruption.

    Returns:
        The numbers of :func:`hipdet.inference.run.predict`, and lines that say what the headers leave out.

    Raises:
        ConfigError: no such cluster, or the folder has results of other settings.
        DatasetError: another process uses the folder, or a file in it isn't one of hipdet's.
        StorageError: a shard can't be predicted, or its process died again and again.
    """
    lines: list[str] = []
    with alone_in(job.out):
        earlier = _earlier_shards(job, overwrite)
        with _ray_cluster(workers, job.threads) as number:
            films = len(todo.films)
            count = earlier or max(1, -(-films // FILMS_IN_SHARD), min(SHARDS_FOR_WORKER * number, films))
            shards = {Shard(at, count): replace(todo, films=[], ids=[]) for at in range(1, count + 1)}
            for image_id, source in zip(todo.ids, todo.films):
                part = shards[Shard.of(source.name, count)]
                part.ids.append(image_id)
                part.films.append(replace(source, path=Path(os.path.abspath(source.path or source.name))))
            try:
                found = _predict_shards(shards, job, min(number, count))
            finally:
                folders = [job.out / shard.folder for shard in shards]
                reviews = (row for folder in folders for row in read_csv(folder / "review.csv", FAILURE_COLUMNS))
                write_csv(job.out / FAILURES, [FAILURE_COLUMNS, *sorted(row for row in reviews if row[1])])
                if job.headers.wanted:
                    headers = (row for folder in folders for row in read_csv(folder / HEADERS, HEADER_COLUMNS))
                    lines = write_headers(job.out / HEADERS, sorted(headers))
    return found, lines


def _earlier_shards(job: Job, overwrite: bool) -> int | None:
    """The number of shards of an earlier call; None if there was none.

    Raises:
        ConfigError: it had other settings, or there are several numbers.
    """
    folders = {each: int(found[1]) for each in job.out.iterdir() if (found := _FOLDER.fullmatch(each.name))}
    numbers = sorted({*folders.values()})
    if len(numbers) > 1:
        remedy = "expected one number: remove those of one call, or choose another --out"
        raise ConfigError(f"{job.out}: folders of {numbers[0]} and of {numbers[1]} shards, {remedy}")
    for folder in folders if overwrite else ():
        discard(folder)
    for folder in find_runs([job.out]):
        if differ := Run.read(folder).difference(job.run):
            remedy = "expected the same: choose another --out, or --overwrite"
            raise ConfigError(f"{folder}: results of another model or other settings ({differ}), {remedy}")
    return numbers[0] if numbers else None


def _predict_shards(shards: Mapping[Shard, FilmList], job: Job, workers: int) -> Counter[str]:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [dict(shard=shard, films=films) for shard, films in shards.items()]
    with warnings.catch_warnings():  # Ray 2.60 has no other place for max_task_retries yet; setup.py ends below 2.64
        warnings.simplefilter("ignore")
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            ShardPredictor, fn_constructor_args=(job,), compute=ActorPoolStrategy(size=workers), num_cpus=job.threads,
            max_task_retries=RETRIES,
        )  # fmt: skip
    total: Counter[str] = Counter()
    try:
        with tqdm(total=sum(len(each.films) for each in shards.values()), unit="film", disable=None) as bar:
            for row in data.iter_rows():
                if error := row.pop("error"):
                    raise StorageError(f"{error}: finished films are kept, run it again")
                bar.update(row["given"])
                total.update(row)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise StorageError(f"Ray: {reason[-1]}: finished films are kept, run it again") from error
    return total
