"""Prediction of an archive by Ray Data: shards go to actors with a model each, which write a folder for each shard.

Ray pickles what it passes between its own processes, so nobody else may reach its ports.  hipdet passes names and settings;
results go to files, as of ``hipdet predict --shard``, which hipdet reads, and Parquet, which it only writes.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from tqdm import tqdm

from hipdet.core.errors import ConfigError, HipdetError, StorageError
from hipdet.core.files import read_csv, replacing, write_csv
from hipdet.core.resumable import alone_in
from hipdet.core.telemetry import switch_off
from hipdet.inference.archive import RUN, Run, read_films
from hipdet.inference.film_list import FilmList
from hipdet.inference.results import ROI_COLUMNS, roi_table
from hipdet.inference.run import FAILURES, REVIEW, Predictor, discard
from hipdet.inference.selection import HEADER_COLUMNS, HEADERS, Shard, write_headers

FAILURE_COLUMNS = ("film", "error")
PARQUET = "predictions.parquet"
FILMS_IN_SHARD = 500  # at most: some minutes of work, after which the progress bar moves
SHARDS_FOR_WORKER = 8  # if there are films enough: so that all end at about the same time
RETRIES = 2  # of a shard whose process died
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


@dataclass
class ShardPredictor:
    """An actor, which predicts one shard of the `run` after the other, in the `folder` that paths start from."""

    predictor: Predictor
    run: Run
    folder: str

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Predict the `films` of a `shard`; returns their number, what `Predictor.predict` does, and why it has failed."""
        shard, todo = row["shard"], row["films"]
        try:
            os.chdir(self.folder)
            if differ := self.run.difference(self.predictor.run(todo)):
                remedy = "install the same on all"
                raise ConfigError(f"a machine of the cluster has another hipdet or model ({differ}): {remedy}")
            found = self.predictor.predict(todo, shard, lambda line: None)
            write_parquet(self.predictor.out / shard.folder)
        except (HipdetError, OSError, MemoryError) as error:
            return {"given": 0, "error": str(error) or "too little memory"}
        return {"given": len(todo.films), "error": "", **found}


def write_parquet(folder: Path) -> None:
    """Write ``predictions.parquet`` into the `folder` of a shard: the columns of ``predictions.csv``, without its guards."""
    import pyarrow
    from pyarrow import parquet

    _, *rows = roi_table(read_films(folder, Run.read(folder)))
    columns = {name: pyarrow.array([row[at] for row in rows]) for at, name in enumerate(ROI_COLUMNS)}
    table = pyarrow.table({name: cells.cast(_ROI_TYPES.get(name, "double")) for name, cells in columns.items()})
    with replacing(folder / PARQUET) as temporary:
        parquet.write_table(table, temporary, compression="zstd")


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
    predictor: Predictor, todo: FilmList, threads: int, workers: int | None, overwrite: bool, tell: Callable[[str], None]
) -> Counter[str]:  # fmt: skip
    """Predict the films of `todo` by shards; then write ``failures.csv`` and ``headers.csv``, also after an interruption.

    Args:
        predictor: Predicts them; each worker has a copy.
        todo: The films.
        threads: Processors of a worker.
        workers: Their number (default: one for each processor).
        overwrite: Whether to discard the results of an earlier call.
        tell: Gets lines that say what the headers leave out.

    Returns:
        What `Predictor.predict` returns, of all shards.

    Raises:
        ConfigError: no such cluster, or the folder has results of other settings.
        DatasetError: another process uses the folder, or a file in it isn't one of hipdet's.
        StorageError: a shard can't be predicted, or its process died again and again.
    """
    out, run = predictor.out, predictor.run(todo)
    with alone_in(out), _ray_cluster(workers, threads) as number:
        count = _claim(out, run, number, overwrite)
        shards = {Shard(at, count): FilmList(todo.root, {}, todo.categories) for at in range(1, count + 1)}
        for image_id, source in todo.films.items():
            shards[Shard.of(source.name, count)].films[image_id] = source
        folders = [out / shard.folder for shard in shards]
        for folder in folders if overwrite else ():
            discard(folder)
        try:
            actor = ShardPredictor(replace(predictor), run, os.getcwd())
            return _predict_shards(shards, actor, threads, min(number, count))
        finally:
            reviews = (row for folder in folders for row in read_csv(folder / REVIEW, FAILURE_COLUMNS))
            write_csv(out / FAILURES, [FAILURE_COLUMNS, *sorted(row for row in reviews if row[1])])
            if predictor.headers.wanted:
                headers = (row for folder in folders for row in read_csv(folder / HEADERS, HEADER_COLUMNS))
                for line in write_headers(out / HEADERS, sorted(headers)):
                    tell(line)


def _claim(out: Path, run: Run, workers: int, overwrite: bool) -> int:
    """Write the run of all shards; returns their number, that of the first call.  ConfigError if it had other settings."""
    count = max(1, -(-run.films // FILMS_IN_SHARD), min(SHARDS_FOR_WORKER * workers, run.films))
    if (out / RUN).exists():
        there = Run.read(out)
        if (differ := there.difference(run)) and not overwrite:
            remedy = "expected the same: choose another --out, or --overwrite"
            raise ConfigError(f"{out}: results of another model or other settings ({differ}), {remedy}")
        count = there.shards
    if others := [each for each in sorted(out.glob("shard-*-of-*")) if not each.name.endswith(f"-of-{count}")]:
        raise ConfigError(f"{others[0]}: not one of {count} shards, whose films it has again: choose another --out")
    replace(run, shards=count).write(out)
    return count


def _predict_shards(shards: dict[Shard, FilmList], actor: ShardPredictor, threads: int, workers: int) -> Counter[str]:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [dict(shard=shard, films=films) for shard, films in shards.items()]
    with warnings.catch_warnings():  # Ray 2.60 has no other place for max_task_retries yet; setup.py ends below 2.64
        warnings.simplefilter("ignore")
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            cast(Any, ShardPredictor), fn_constructor_kwargs=vars(actor), compute=ActorPoolStrategy(size=workers),
            num_cpus=threads, max_task_retries=RETRIES,
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
