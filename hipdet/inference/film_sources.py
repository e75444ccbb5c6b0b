"""Which films are meant by a path, a folder, a pattern, an array, or several of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from hipdet.collection.stored_file import files_below
from hipdet.errors import DatasetError, RadiographError
from hipdet.radiograph import ReducedFilm, read_reduced
from hipdet.radiograph.kind import PICTURE_SUFFIX, is_film
from hipdet.radiograph.window import windowed

Films = Union[str, "os.PathLike[str]", NDArray[Any], Iterable[Union[str, "os.PathLike[str]", NDArray[Any]]]]


@dataclass(frozen=True)
class FilmSource:
    """A film that isn't read yet.

    Attributes:
        name: What it is called in results: its path below the folder that was named, with ``/``.
        path: Its file; None for an array.
        pixels: The array.
    """

    name: str
    path: Path | None = None
    pixels: NDArray[Any] | None = None

    def read(self, at_least: int | None = None) -> ReducedFilm:
        """The film as upright 8-bit grey, whole or with a long side of `at_least` pixels if less is quicker.

        Raises:
            RadiographError: it can't be read, or isn't one.
        """
        if self.path is not None:
            return read_reduced(self.path, at_least, self.name)
        film = np.asarray(self.pixels)
        if film.ndim != 2 or not film.size or film.dtype.kind not in "uif":
            raise RadiographError(f"array {list(film.shape)} of {film.dtype}, expected grey values [H, W]", self.name)
        return ReducedFilm.whole(film if film.dtype == np.uint8 else windowed(film))


def film_sources(films: Films, root: Path | None = None) -> Iterator[FilmSource]:
    """The films that `films` stands for, one by one; a path that isn't there is one of them, to be reported when read.

    Args:
        films: A path, a folder (with all folders below it, in the order of names), a pattern such as ``films/**/*.png``, an
            array ``[H, W]``, or any number of these.  In a folder, a film is known by its extension, and a file without one
            by its content.
        root: Folder that names start from; by default each folder's own, and a single film has the name of its file.

    Raises:
        DatasetError: a folder or a pattern without films, a folder that can't be read or a link that leads out of it.
    """
    if isinstance(films, np.ndarray):
        yield FilmSource("array", pixels=films)
    elif isinstance(films, (str, os.PathLike)):
        yield from _at(os.fspath(films), root)
    else:
        for number, each in enumerate(films, 1):
            if isinstance(each, np.ndarray):
                yield FilmSource(f"array {number}", pixels=each)
            else:
                yield from _at(os.fspath(each), root)


def _at(place: str, root: Path | None) -> Iterator[FilmSource]:
    path = Path(place)
    if path.is_dir():
        yield from _below(path, root)
    elif not path.exists() and glob.has_magic(place):
        found = sorted(each for each in glob.glob(place, recursive=True) if not os.path.isdir(each))
        if not found:
            raise DatasetError(f"{place}: no film fits this pattern: check it")
        yield from (FilmSource(_name(Path(each), root), Path(each)) for each in found)
    else:
        yield FilmSource(_name(path, root), path)


def _below(folder: Path, root: Path | None) -> Iterator[FilmSource]:
    called_films: list[str] = []  # folders

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
        return path.name
    return Path(os.path.relpath(path.absolute(), root.absolute())).as_posix()
