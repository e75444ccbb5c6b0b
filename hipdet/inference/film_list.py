"""Films with their image ids: those of a COCO file, or all that were found, numbered from 1."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from hipdet.errors import DatasetError
from hipdet.inference.film_sources import FilmSource, film_sources


@dataclass(frozen=True)
class FilmList:
    """What to predict.

    Attributes:
        root: Folder that the films' names start from.
        films: In their order.
        ids: Image id of each.
        categories: Category ids by class; empty where no COCO file says them.
    """

    root: Path
    films: list[FilmSource]
    ids: list[int]
    categories: dict[str, int]


def films_at(places: Sequence[str]) -> FilmList:
    """The films at `places`, paths, folders or patterns; names start from the folder that they share.

    Raises:
        DatasetError: a folder or a pattern without films.
    """
    roots = [os.path.abspath(place if os.path.isdir(place) else os.path.dirname(_fixed(place))) for place in places]
    try:
        root = Path(os.path.commonpath(roots))
    except ValueError as error:  # on several drives
        raise DatasetError(f"{', '.join(places)}: no folder holds them all: predict one after the other") from error
    films = list({source.path: source for source in film_sources(places, root)}.values())
    return FilmList(root, films, list(range(1, len(films) + 1)), {})


def films_of_coco(annotations: Path, root: Path) -> FilmList:
    """The films of a COCO file, whose names start from `root`.

    Raises:
        DatasetError: a file that isn't COCO, or a name that leads out of `root`.
    """
    try:
        coco = json.loads(annotations.read_text(encoding="utf-8"))
        named = [(str(image["file_name"]), int(image["id"])) for image in coco["images"]]
        categories = {str(each["name"]): int(each["id"]) for each in coco["categories"]}
    except OSError as error:
        raise DatasetError(f"{annotations}: can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{annotations}: no COCO file with images and categories ({error!r})") from error
    films = [FilmSource(name, film_below(root, name, annotations)) for name, _ in named]
    return FilmList(root, films, [number for _, number in named], categories)


def film_below(root: Path, name: str, source: object) -> Path:
    """The path of film `name` of the file `source`.

    Raises:
        DatasetError: the name leads out of `root`.
    """
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in parts or "\\" in name:
        raise DatasetError(f"{source}: film {name!r} leads out of its folder, expected a path below {root}")
    return root / name


def _fixed(pattern: str) -> str:
    """The part of a path before its first wildcard."""
    for at, letter in enumerate(pattern):
        if letter in "*?[" and not os.path.exists(pattern):
            return pattern[:at]
    return pattern
