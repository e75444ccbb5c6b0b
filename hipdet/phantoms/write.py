"""Write phantom films and labels: ``<out>/<source>/images/*.jpg`` and ``hips.csv``, or ``labels.csv`` for chests.

Beside the table of the odd films is ``ignore.csv``: hips that the film's edge cuts, to be ignored.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from hipdet.core.boxes import Boxes
from hipdet.core.errors import DatasetError
from hipdet.core.files import replacing, write_csv, write_json
from hipdet.core.records import read_json
from hipdet.phantoms.chest import ChestPlan, plan_chest, render_chest
from hipdet.phantoms.depth import expose
from hipdet.phantoms.exposure import develop, mark
from hipdet.phantoms.odd import LOOK as ODD_LOOK
from hipdet.phantoms.odd import ODD, kind_of, plan_odd
from hipdet.phantoms.plan import SOURCES, FilmPlan, plan_film
from hipdet.version import __version__


@dataclass(frozen=True)
class PhantomFilm:
    """An anteroposterior pelvis film with exactly known hips."""

    pixels: NDArray[np.uint8]  # [H, W] grey, bone bright
    hips: Boxes  # [N, 4] xyxy squares, picture-left hip first; N is 2 and all are inside the film, but for odd films
    implants: tuple[bool, ...]  # metal (joint replacement or fixation) in each of them
    patient: str  # films with the same name share the anatomy


def make_film(source: str, index: int, seed: int = 0, max_side: int | None = None) -> PhantomFilm:
    """Film `index` (from 0) of `source` (cgoa, oaih, gis, odd); the same arguments give the same pixels.

    A film whose long side exceeds `max_side` pixels is rendered at that long side, with the geometry scaled.
    """
    plan = plan_odd(index, seed, max_side) if source == ODD else plan_film(source, index, seed, max_side)
    return PhantomFilm(render_hips(plan), plan.hips, tuple(plan.kinds[i] is not None for i in plan.labelled), plan.name)


def render_hips(plan: FilmPlan) -> NDArray[np.uint8]:
    """The film ``[H, W]`` that `plan` describes."""
    rng = np.random.default_rng(plan.seed)
    look = ODD_LOOK if plan.source == ODD else SOURCES[plan.source]
    return mark(develop(expose(plan, rng), look, (plan.height, plan.width), rng), plan.hips, look, rng)


CHEST = "chest"
AnyPlan = FilmPlan | ChestPlan
HIP_COLUMNS = ("image", "x", "y", "side", "picture_side", "implant", "patient")
ODD_COLUMNS = (*HIP_COLUMNS, "kind", "view")
IGNORED_COLUMNS = ("image", "x", "y", "side")
CHEST_COLUMNS = ("image", "label", "x0", "y0", "x1", "y1", "width", "height", "patient")


def write_phantoms(
    out: str | os.PathLike[str],
    source: str,
    films: int,
    seed: int = 0,
    max_side: int | None = None,
    workers: int | None = None,
) -> int:
    """Write films 1 to `films` of `source` and their table of labels; films that exist are kept, also beyond `films`.

    An interrupted call can be repeated: a film is written completely or not at all, and the table comes last.

    Args:
        out: Folder that gets a folder per source.
        source: ``cgoa``, ``oaih``, ``gis``, ``odd`` or ``chest``.
        films: Number of films.
        seed: Seed of all random draws.
        max_side: Largest long side in pixels; larger films are made at this size.
        workers: Processes; None for one per core.

    Returns:
        Number of films that were made, 0 if all existed.

    Raises:
        DatasetError: the folder has films made with other settings.
    """
    folder = Path(out) / source
    planners: dict[str, Callable[[int, int, int | None], AnyPlan]] = {CHEST: plan_chest, ODD: plan_odd}
    plan = planners.get(source) or partial(plan_film, source)
    films = max(films, len(list(folder.glob("images/[!.]*.jpg"))))  # the table also has the films of earlier runs
    plans: list[AnyPlan] = [plan(index, seed, max_side) for index in range(films)]
    paths = [folder / "images" / f"{source}_{index + 1:06d}.jpg" for index in range(films)]
    _check_provenance(folder, dict(hipdet=__version__, seed=seed, max_side=max_side))
    missing = [(each, path) for each, path in zip(plans, paths) if not path.exists()]
    made = _make_all(missing, workers)
    for _ in tqdm(made, total=len(missing), desc=f"{source} phantoms", unit="film", disable=not missing):
        pass
    if source == ODD:  # before the table of labels, which comes last
        ignored = (row for each, path in zip(plans, paths) for row in _ignored_rows(each, path.name))
        write_csv(folder / "ignore.csv", [IGNORED_COLUMNS, *ignored])
    tables = {CHEST: ("labels.csv", CHEST_COLUMNS), ODD: ("hips.csv", ODD_COLUMNS)}
    table, columns = tables.get(source, ("hips.csv", HIP_COLUMNS))
    write_csv(folder / table, [columns, *(row for each, path in zip(plans, paths) for row in _rows(each, path.name))])
    return len(missing)


def _make_all(missing: list[tuple[AnyPlan, Path]], workers: int | None) -> Iterator[None]:
    if workers == 1 or len(missing) < 2:
        yield from map(_make, missing)
        return
    with ProcessPoolExecutor(min(workers or os.cpu_count() or 1, len(missing))) as pool:
        yield from pool.map(_make, missing, chunksize=4)


def _make(film: tuple[AnyPlan, Path]) -> None:
    plan, path = film
    pixels = render_chest(plan) if isinstance(plan, ChestPlan) else render_hips(plan)
    jpeg = io.BytesIO()  # not the file: Pillow doesn't notice if the disk takes only a part of it
    Image.fromarray(pixels).save(jpeg, format="JPEG", quality=90)
    with replacing(path) as temporary:
        temporary.write_bytes(jpeg.getvalue())


def _rows(plan: AnyPlan, image: str) -> Iterable[list]:
    if isinstance(plan, ChestPlan):
        for box, label in zip(plan.boxes, plan.labels):
            yield [image, label, *(f"{value:.3f}" for value in box), plan.width, plan.height, plan.name]
        return
    for box, side in zip(plan.hips, plan.labelled):
        more = [kind_of(plan, side), plan.view] if plan.source == ODD else []
        yield [image, *_square(box), ("left", "right")[side], int(plan.kinds[side] is not None), plan.name, *more]


def _ignored_rows(plan: AnyPlan, image: str) -> Iterable[list]:
    if isinstance(plan, FilmPlan):
        yield from ([image, *_square(box)] for box in plan.ignored)


def _square(box: Sequence[float] | Boxes) -> list[str]:
    return [f"{value:.3f}" for value in (box[0], box[1], box[2] - box[0])]


def _check_provenance(folder: Path, settings: dict) -> None:
    """Write `settings` beside new films; refuse to mix films of different settings."""
    path = folder / "provenance.json"
    if not path.exists():
        write_json(path, settings)
        return
    found = read_json(path, "a file of hipdet phantoms: remove the folder or choose another")
    if found != settings:
        raise DatasetError(
            f"{folder}: has phantoms made with {found}, expected {settings}: remove the folder or choose another"
        )
