"""Lists of films from paths, folders, patterns, arrays or a COCO file; threads that read ahead; films of the model's size."""

from __future__ import annotations

import glob
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes, as_boxes
from hipdet.core.errors import DatasetError, RadiographError
from hipdet.core.files import film_below, name_of, path_below
from hipdet.core.records import Record, read_json, shown
from hipdet.core.spacing import Spacing
from hipdet.core.stored_files import files_below, holds_copies
from hipdet.inference.crops import COLUMNS, MANIFEST
from hipdet.inference.detections import LONGEST_PATH
from hipdet.radiographs.grey import ReducedFilm, area_mean, windowed
from hipdet.radiographs.read import read_reduced
from hipdet.radiographs.sniff import KINDS, PICTURE_SUFFIX, is_film

_HEADER = ",".join(COLUMNS[:13]).encode()  # of the manifest, also of an older one

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


@dataclass
class PassedOver:
    """What is among films and isn't one.

    Attributes:
        special: Names of pipes, sockets and devices.
        crops: Names of folders that hipdet crop wrote.
        copies: Names of folders with copies that hipdet convert wrote.
    """

    special: list[str] = field(default_factory=list)
    crops: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What a user should know, in a line for each kind."""
        kinds = {
            "pipes, sockets or devices": self.special,
            "folders with manifest.csv of hipdet crop": self.crops,
            "folders with copies of hipdet convert": self.copies,
        }
        return [f"passed over: {kind} ({len(names)}, the first: {names[0]})" for kind, names in kinds.items() if names]

    def takes(self, path: Path, name: str) -> bool:
        """Whether the file `path`, called `name`, is passed over."""
        special = path.exists() and not path.is_file()
        if special:
            self.special.append(name)
        return special

    def takes_folder(self, path: Path, name: str) -> bool:
        """Whether the folder `path`, called `name`, is passed over."""
        if holds_copies(path):
            if name not in self.copies:
                self.copies.append(name)
            return True
        manifest = path / MANIFEST
        if not manifest.is_file():  # a pipe would wait forever
            return False
        try:
            with manifest.open("rb") as file:
                is_manifest = file.read(len(_HEADER)) == _HEADER
        except OSError:
            return False
        if is_manifest and name not in self.crops:
            self.crops.append(name)
        return is_manifest


def film_sources(films: Films, root: Path | None = None, passed: PassedOver | None = None) -> Iterator[FilmSource]:
    """Yield the films in `films`, one by one.  A missing path is one of them, too; reading it then gives the error.

    In folders and patterns, pipes, sockets and devices are passed over, and so are folders with crops of hipdet below them.

    Args:
        films: A path, a folder (with all folders below it, in the order of names), a pattern such as ``films/**/*.png``, an
            array ``[H, W]``, or any number of these.  In a folder, films are recognised by their extension, and files
            without extension by their content.
        root: Folder that names start from; by default the given folder, or the parent folder of a single film.
        passed: Gets what is passed over.

    Raises:
        DatasetError: a folder or pattern has no films, a folder can't be read, or a link leads out of its folder.
    """
    passed = PassedOver() if passed is None else passed
    if isinstance(films, np.ndarray):
        yield FilmSource("array", pixels=films)
    elif isinstance(films, (str, os.PathLike)):
        yield from _sources_at(os.fspath(films), root, passed)
    else:
        for number, each in enumerate(films, 1):
            if isinstance(each, np.ndarray):
                yield FilmSource(f"array {number}", pixels=each)
            else:
                yield from _sources_at(os.fspath(each), root, passed)


def _sources_at(place: str, root: Path | None, passed: PassedOver) -> Iterator[FilmSource]:
    path = Path(place)
    if not place:
        raise DatasetError("'': an empty path, expected a film, a folder or a pattern")
    if path.is_dir():
        yield from _sources_below(path, root, passed)
    elif not os.path.exists(place) and glob.has_magic(place):
        found = sorted(Path(each) for each in glob.glob(place, recursive=True) if not os.path.isdir(each))
        above = Path(os.path.dirname(_prefix(place)))
        found = [each for each in found if not _is_passed_over(each, above, root, passed)]
        if not found:
            raise DatasetError(f"{place}: no film matches this pattern: check the pattern")
        yield from (FilmSource(_name(each, root), each) for each in found)
    else:
        yield FilmSource(_name(path, root), path)


def _is_passed_over(path: Path, above: Path, root: Path | None, passed: PassedOver) -> bool:
    """Whether the match `path` of a pattern isn't a file, or is in a folder of crops below `above`."""
    between = [folder for folder in path.parents if above in folder.parents]
    crops = any(passed.takes_folder(folder, _name(folder, root)) for folder in between)
    return crops or passed.takes(path, _name(path, root))


def _sources_below(folder: Path, root: Path | None, passed: PassedOver) -> Iterator[FilmSource]:
    called_films: list[str] = []  # folders that are named like films

    def keep(name: str) -> bool:
        if passed.takes_folder(path_below(folder, name), name):
            return False
        if PICTURE_SUFFIX.fullmatch(PurePath(name).suffix):
            called_films.append(name)
        return True

    count = 0
    for file in files_below(folder, keep=keep):
        if not passed.takes(file.path, file.name) and is_film(file.name, file.path):
            count += 1
            called_films = [name for name in called_films if not file.name.startswith(f"{name}/")]
            yield FilmSource(file.name if root is None else _name(file.path, root), file.path)
    for name in called_films:
        path = path_below(folder, name)
        yield FilmSource(name if root is None else _name(path, root), path)
    if not count and not called_films and (lines := passed.lines()):
        raise DatasetError(f"{folder}: no films ({'; '.join(lines)}): check the path")
    if not count and not called_films:
        raise DatasetError(f"{folder}: no films, expected {KINDS} files: check the path")


def _name(path: Path, root: Path | None) -> str:
    if root is None:
        return name_of(path.name)
    return name_of(os.path.relpath(path.absolute(), root.absolute()))


@dataclass(frozen=True)
class FilmList:
    """The films to predict.

    Attributes:
        root: Folder that the films' names start from.
        films: The films by image id, in order.
        categories: Category ids by class; empty if the films don't come from a COCO file.
        passed: What isn't a film.
    """

    root: Path
    films: dict[int, FilmSource]
    categories: dict[str, int]
    passed: PassedOver = field(default_factory=PassedOver)


def films_at(places: Sequence[str]) -> FilmList:
    """The films at `places`, which are paths, folders or patterns; names start from the folder that all places share.

    Raises:
        DatasetError: a place is missing, a folder or pattern has no films, or no folder contains all places.
    """
    for place in places:
        if not os.path.exists(place) and not glob.has_magic(place):
            raise DatasetError(f"{place or repr(place)}: no such film or folder: check the path")
    roots = [os.path.abspath(place if os.path.isdir(place) else os.path.dirname(_prefix(place))) for place in places]
    try:
        root = Path(os.path.commonpath(roots))
    except ValueError as error:  # on several drives
        raise DatasetError(f"{', '.join(places)}: no folder contains them all: run once for each drive") from error
    passed = PassedOver()
    films = {_place(source): source for source in film_sources(places, root, passed)}
    return FilmList(root, dict(enumerate(films.values(), 1)), {}, passed)


def _place(source: FilmSource) -> tuple[str, str]:
    """The same for all spellings of a film's path."""
    folder, name = os.path.split(source.path or source.name)
    return os.path.realpath(folder), name


def films_of_coco(annotations: Path, root: Path) -> FilmList:
    """The films of a COCO file; their names start from `root`.

    Raises:
        DatasetError: the file isn't COCO, has an id or a film twice, or a name that leads out of `root`.
    """
    remedy = "give a COCO file with images and categories"
    coco = Record.of(read_json(annotations, "a COCO file with images and categories"), annotations, remedy=remedy)
    ids: dict[int, Record] = {}
    films: dict[tuple[str, str], FilmSource] = {}
    for image in coco.records("images"):
        name = image.text("file_name", longest=LONGEST_PATH)
        source = FilmSource(name, film_below(root, name, image.where))
        if ids.setdefault(image.whole("id"), image) is not image:
            image.refuse("id", f"one of its own, as {shown(ids[image.whole('id')].text('file_name'))} has this one")
        if films.setdefault(_place(source), source) is not source:
            image.refuse("file_name", "each film once: remove one of the records")
    if not films:
        coco.refuse("images", "a film at least")
    categories: dict[str, int] = {}
    for each in coco.records("categories"):
        name, number = each.text("name"), each.whole("id")
        if categories.setdefault(name, number) != number or [*categories.values()].count(number) > 1:
            each.refuse("id", "one id for each name, and one name for each id")
    return FilmList(root, dict(zip(ids, films.values())), categories)


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
        spacing: See there: of the film's pixels, not of these.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    original: NDArray[np.uint8] | None = None
    patient_side: str | None = None
    spacing: Spacing | None = None

    @property
    def contrast(self) -> float:
        """From the 5th to the 95th percentile of the greys, as a share of white."""
        up_to = np.bincount(self.pixels.ravel(), minlength=256).cumsum()  # much faster than np.percentile
        low, high = np.searchsorted(up_to, [0.05 * up_to[-1], 0.95 * up_to[-1]])
        return float(high - low) / 255

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
        height, width = self.pixels.shape
        return as_boxes(boxes) * np.tile([self.width / width, self.height / height], 2)


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
    small = pixels.astype(np.uint8, copy=False)
    return ShrunkFilm(small, film.width, film.height, patient_side=film.patient_side, spacing=film.spacing)
