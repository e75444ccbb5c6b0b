"""Lists of films from paths, folders, patterns, arrays or a COCO file; threads that read ahead; films of the model's size."""

from __future__ import annotations

import glob
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes, as_boxes
from hipdet.core.errors import DatasetError, RadiographError
from hipdet.core.files import film_below, name_of
from hipdet.core.records import read_json
from hipdet.core.stored_files import files_below
from hipdet.radiographs.grey import ReducedFilm, area_mean, windowed
from hipdet.radiographs.read import read_reduced
from hipdet.radiographs.sniff import PICTURE_SUFFIX, is_film

Films = str | os.PathLike[str] | NDArray[Any] | Iterable[str | os.PathLike[str] | NDArray[Any]]


@dataclass(frozen=True)
class FilmSource:
    """A film that isn't read yet.

    Attributes:
        name: Its name in results: the path below the folder that was given, with ``/``.
        path: Its file; None for an array.
        pixels: The array; None for a file.
    """

    name: str
    path: Path | None = None
    pixels: NDArray[Any] | None = None

    def read(self, at_least: int | None = None) -> ReducedFilm:
        """The film as upright 8-bit grey; it may be reduced to a long side of `at_least` pixels or more if that is faster.

        Raises:
            RadiographError: the film can't be read, or isn't a radiograph.
        """
        if self.path is not None:
            return read_reduced(self.path, at_least, self.name)
        film = np.asarray(self.pixels)
        if film.ndim != 2 or not film.size or film.dtype.kind not in "uif":
            raise RadiographError(
                f"array {list(film.shape)} of {film.dtype}, expected grey values [H, W]: convert colours to grey",
                self.name,
            )
        return ReducedFilm.whole(film if film.dtype == np.uint8 else windowed(film))


def film_sources(films: Films, root: Path | None = None) -> Iterator[FilmSource]:
    """Yield the films in `films`, one by one.  A missing path is one of them, too; reading it then gives the error.

    Args:
        films: A path, a folder (with all folders below it, in the order of names), a pattern such as ``films/**/*.png``, an
            array ``[H, W]``, or any number of these.  In a folder, films are recognised by their extension, and files
            without extension by their content.
        root: Folder that names start from; by default the given folder, or the parent folder of a single film.

    Raises:
        DatasetError: a folder or pattern has no films, a folder can't be read, or a link leads out of its folder.
    """
    if isinstance(films, np.ndarray):
        yield FilmSource("array", pixels=films)
    elif isinstance(films, (str, os.PathLike)):
        yield from _sources_at(os.fspath(films), root)
    else:
        for number, each in enumerate(films, 1):
            if isinstance(each, np.ndarray):
                yield FilmSource(f"array {number}", pixels=each)
            else:
                yield from _sources_at(os.fspath(each), root)


def _sources_at(place: str, root: Path | None) -> Iterator[FilmSource]:
    path = Path(place)
    if path.is_dir():
        yield from _sources_below(path, root)
    elif not path.exists() and glob.has_magic(place):
        found = sorted(each for each in glob.glob(place, recursive=True) if not os.path.isdir(each))
        if not found:
            raise DatasetError(f"{place}: no film matches this pattern: check the pattern")
        yield from (FilmSource(_name(Path(each), root), Path(each)) for each in found)
    else:
        yield FilmSource(_name(path, root), path)


def _sources_below(folder: Path, root: Path | None) -> Iterator[FilmSource]:
    called_films: list[str] = []  # folders that are named like films

    def keep(name: str) -> bool:
        if PICTURE_SUFFIX.fullmatch(PurePath(name).suffix):
            called_films.append(name)
        return True

    count = 0
    for file in files_below(folder, keep=keep):
        if is_film(file.name, file.path):
            count += 1
            called_films = [name for name in called_films if not file.name.startswith(f"{name}/")]
            yield FilmSource(file.name if root is None else _name(file.path, root), file.path)
    for name in called_films:
        yield FilmSource(name if root is None else _name(folder / name, root), folder / name)
    if not count and not called_films:
        raise DatasetError(f"{folder}: no films, expected JPEG, PNG, TIFF, BMP or DICOM files: check the path")


def _name(path: Path, root: Path | None) -> str:
    if root is None:
        return name_of(path.name)
    return name_of(os.path.relpath(path.absolute(), root.absolute()))


@dataclass(frozen=True)
class FilmList:
    """The films to predict.

    Attributes:
        root: Folder that the films' names start from.
        films: The films, in order.
        ids: Image id of each film.
        categories: Category ids by class; empty if the films don't come from a COCO file.
    """

    root: Path
    films: list[FilmSource]
    ids: list[int]
    categories: dict[str, int]


def films_at(places: Sequence[str]) -> FilmList:
    """The films at `places`, which are paths, folders or patterns; names start from the folder that all places share.

    Raises:
        DatasetError: a place is missing, a folder or pattern has no films, or no folder contains all places.
    """
    for place in places:
        if not os.path.exists(place) and not glob.has_magic(place):
            raise DatasetError(f"{place}: no such film or folder: check the path")
    roots = [os.path.abspath(place if os.path.isdir(place) else os.path.dirname(_prefix(place))) for place in places]
    try:
        root = Path(os.path.commonpath(roots))
    except ValueError as error:  # on several drives
        raise DatasetError(f"{', '.join(places)}: no folder contains them all: run once for each drive") from error
    films = list({source.path: source for source in film_sources(places, root)}.values())
    return FilmList(root, films, list(range(1, len(films) + 1)), {})


def films_of_coco(annotations: Path, root: Path) -> FilmList:
    """The films of a COCO file; their names start from `root`.

    Raises:
        DatasetError: the file isn't COCO, or a name leads out of `root`.
    """
    coco = read_json(annotations, "a COCO file with images and categories")
    try:
        named = [(str(image["file_name"]), int(image["id"])) for image in coco["images"]]
        categories = {str(each["name"]): int(each["id"]) for each in coco["categories"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{annotations}: not a COCO file with images and categories ({error!r})") from error
    films = [FilmSource(name, film_below(root, name, annotations)) for name, _ in named]
    return FilmList(root, films, [number for _, number in named], categories)


def _prefix(pattern: str) -> str:
    """The part of a path before its first wildcard; all of it if a file has that name."""
    return pattern if os.path.exists(pattern) else re.split(r"[*?[]", pattern, maxsplit=1)[0]


T = TypeVar("T")
R = TypeVar("R")


def read_ahead(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """``map(work, items)`` in `threads` threads, which compute at most ``threads + 1`` results ahead of their use."""
    source = iter(items)
    first = list(islice(source, 2))
    if len(first) < 2:  # threads gain nothing
        yield from map(work, first)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in chain(first, source):
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()


try:  # much faster than numpy, with a difference of at most one grey
    import cv2
except ImportError:
    cv2 = None  # type: ignore[assignment]


@dataclass(frozen=True)
class ShrunkFilm:
    """A film that was reduced so that its long side equals the side of the model's square input.

    Attributes:
        pixels: Grey values ``[h, w]``.
        width: Width of the film in pixels.
        height: Height of the film in pixels.
        original: The whole film ``[H, W]``, for models that reduce it themselves.
        patient_side: See :class:`hipdet.radiographs.grey.ReducedFilm`.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    original: NDArray[np.uint8] | None = None
    patient_side: str | None = None

    def seen(self, quarters: int, inverted: bool) -> ShrunkFilm:
        """The film, rotated by 90 degrees counter-clockwise `quarters` times, and inverted if `inverted`."""
        pixels = np.rot90(self.pixels, quarters)
        size = (self.height, self.width) if quarters % 2 else (self.width, self.height)
        return ShrunkFilm(255 - pixels if inverted else pixels, *size)

    def padded(self) -> NDArray[np.uint8]:
        """The model's input ``[side, side]``, padded with black on the right or at the bottom."""
        height, width = self.pixels.shape
        square = np.zeros((max(height, width),) * 2, np.uint8)
        square[:height, :width] = self.pixels
        return square

    def to_film(self, boxes: Boxes) -> Boxes:
        """`boxes` ``[N, 4]`` from pixels of the square to pixels of the film."""
        return as_boxes(boxes) * self._scale()

    def to_square(self, boxes: Boxes) -> Boxes:
        """`boxes` ``[N, 4]`` from pixels of the film to pixels of the square."""
        return as_boxes(boxes) / self._scale()

    def _scale(self) -> NDArray[np.float64]:
        height, width = self.pixels.shape
        return np.tile([self.width / width, self.height / height], 2)


def shrink(film: NDArray[np.uint8] | ReducedFilm, side: int) -> ShrunkFilm:
    """Reduce `film`, whole ``[H, W]`` or decoded in part, by area mean to a long side of `side` pixels, as the configs do."""
    film = film if isinstance(film, ReducedFilm) else ReducedFilm.whole(film)
    scale = side / max(film.width, film.height)
    w, h = (max(1, int(length * scale + 0.5)) for length in (film.width, film.height))  # rounded as mmcv does
    columns, rows = film.width / film.step, film.height / film.step  # fractions if the last is partial
    if cv2 is not None:
        # if it is, by factors: given a size, OpenCV would treat the last one as whole
        size = (w, h) if film.pixels.shape == (rows, columns) else None
        pixels: NDArray[Any] = cv2.resize(film.pixels, size, fx=w / columns, fy=h / rows, interpolation=cv2.INTER_AREA)
    else:
        pixels = np.rint(area_mean(film.pixels, w, h, columns, rows))
    return ShrunkFilm(pixels.astype(np.uint8, copy=False), film.width, film.height, patient_side=film.patient_side)
