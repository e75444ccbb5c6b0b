"""Odd films and their labels, made of ordinary ones: pictures, a COCO file for each kind, and where they come from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import PIL
from PIL import Image
from tqdm import tqdm

from hipdet.core.boxes import as_boxes
from hipdet.core.errors import DatasetError
from hipdet.core.files import film_below, path_below, replacing, write_json
from hipdet.core.records import bytes_of, read_json, shown
from hipdet.core.resumable import fingerprint
from hipdet.data.coco_file import Film, Roi, build_coco, get_films
from hipdet.data.validate.check import require_valid
from hipdet.radiographs.read import read_radiograph
from hipdet.version import __version__
from odd.geometry import Grey
from odd.kinds import KINDS, Kind, generator

PROVENANCE = "provenance.json"
VERSION = 1  # of the kinds: raise it when one of them changes, so that no folder mixes old films and new ones
# keys of image records
MADE_FROM, TURNED, INVERTED = "made_from", "turned", "inverted"
SETTINGS = ("kinds_version", "seed", "annotations_sha256")  # what a folder can't mix


@dataclass(frozen=True)
class Ordinary:
    """The films that odd ones are made of.

    Attributes:
        films: Those that are used.
        classes: Names of the classes of their ROIs.
        unlabelled: Number of films that are left out because they have no label.
        ignored: Number of films that are left out because a box on them is to be ignored.
        sha256: Fingerprint of their COCO file.
    """

    films: list[Film]
    classes: list[str]
    unlabelled: int
    ignored: int
    sha256: str

    @classmethod
    def read(cls, annotations: Path, most: int | None = None) -> Ordinary:
        """The films of a COCO file, the first `most` of those that can be used.

        Raises:
            DatasetError: no such file, it has errors, or no film can be used, or two would get one name.
        """
        coco = require_valid(annotations)
        films = get_films(coco)
        usable = [film for film in films if film.rois and not film.ignored][:most]
        if not usable:
            raise DatasetError(
                f"{annotations}: {len(films)} films, expected one with labels and without ignored boxes: label films first"
            )
        named: dict[str, str] = {}
        for film in usable:
            if (other := named.setdefault(stem_of(film), film.file_name)) != film.file_name:
                raise DatasetError(
                    f"{annotations}: {other} and {film.file_name} differ in their ending alone, expected films with names of "
                    f"their own: rename one"
                )
        unlabelled, ignored = sum(not film.rois for film in films), sum(bool(film.ignored) for film in films)
        classes = [category["name"] for category in sorted(coco["categories"], key=lambda each: each["id"])]
        return cls(usable, classes, unlabelled, ignored, fingerprint(bytes_of(annotations)))


def stem_of(film: Film) -> str:
    """The name of a film without its ending, with its folders."""
    return PurePosixPath(film.file_name).with_suffix("").as_posix()


def make_kinds(
    annotations: Path, data_root: Path, out: Path, kinds: Sequence[str], seed: int = 0, most: int | None = None
) -> dict[str, int]:
    """Write ``images/<kind>/`` and ``<kind>.json`` for every kind; pictures that exist are kept.

    Args:
        annotations: COCO file as hipdet convert writes it.
        data_root: Folder that the names of its films are relative to.
        out: Output folder.
        kinds: Names of kinds.
        seed: Seed of all random draws; a film is the same whatever other films and kinds are made.
        most: Use the first films alone; None for all.

    Returns:
        Number of films by kind.

    Raises:
        DatasetError: the COCO file can't be used, `out` has films made of another file or with another seed, or a film isn't
            as large as the file says.
        RadiographError: a film can't be read.
    """
    ordinary = Ordinary.read(annotations, most)
    _claim(out, annotations, ordinary, kinds, seed)
    made: dict[str, list[Film]] = {kind: [] for kind in kinds}
    for film in tqdm(ordinary.films, unit="film", desc="odd films"):
        grey = read_radiograph(film_below(data_root, film.file_name, annotations))
        if grey.shape != (film.height, film.width):
            found = f"{grey.shape[1]}x{grey.shape[0]} px"
            raise DatasetError(
                f"{film.file_name}: {found}, expected {film.width}x{film.height} as in {annotations}: convert it again"
            )
        for kind, films in made.items():
            if len(film.rois) >= KINDS[kind].hips:
                films.append(make(film, grey, kind, seed, out))
    for kind, films in made.items():
        write_json(out / f"{kind}.json", build_coco(films, ordinary.classes, {"description": f"odd films: {kind}"}))
    return {kind: len(films) for kind, films in made.items()}


def _claim(out: Path, annotations: Path, ordinary: Ordinary, kinds: Sequence[str], seed: int) -> None:
    """Write where the films of `out` come from; refuse a folder whose films come from elsewhere."""
    path = out / PROVENANCE
    settings = dict(zip(SETTINGS, (VERSION, seed, ordinary.sha256)))
    before: dict[str, object] = read_json(path, "where odd films come from") if path.is_file() else {}
    for key, value in settings.items() if before else ():
        if before.get(key) != value:
            raise DatasetError(f"{path}: {key} is {shown(before.get(key))}, expected {value}: choose another --out")
    earlier = before.get("kinds")
    every = {*kinds, *(earlier if isinstance(earlier, dict) else ())}
    write_json(
        path,
        {
            "made_by": "benchmarks/odd_films.py",
            **settings,
            "annotations": annotations.name,
            "films": len(ordinary.films),
            "left_out": {"unlabelled": ordinary.unlabelled, "with ignored boxes": ordinary.ignored},
            "kinds": {name: kind.says for name, kind in KINDS.items() if name in every},
            "versions": {"hipdet": __version__, "numpy": np.__version__, "pillow": PIL.__version__},
        },
    )


def make(film: Film, grey: Grey, name: str, seed: int, out: Path) -> Film:
    """Write one odd film of the kind called `name`; returns it with its labels."""
    kind = KINDS[name]
    boxes = as_boxes([roi.drawn for roi in film.rois])
    changed, moved = kind.change(grey, boxes, generator(seed, name, film.file_name))
    height, width = changed.shape
    file_name = f"images/{name}/{stem_of(film)}{kind.suffix}"
    path = path_below(out, file_name)
    if not path.is_file():
        _write(path, changed, kind)
    pairs = zip(film.rois, moved.tolist())
    rois = [_roi(roi, box, kind) for roi, box in pairs if _is_on(box, width, height)]
    extra = {**film.extra, MADE_FROM: film.file_name, TURNED: kind.turned, INVERTED: kind.inverted}
    on_film = tuple(roi.on_film(width, height) for roi in rois)
    return replace(film, file_name=file_name, width=width, height=height, rois=on_film, extra=extra)


def _is_on(box: Sequence[float], width: int, height: int) -> bool:
    """Whether the centre of `box` is on the film."""
    return 0 <= box[0] + box[2] < 2 * width and 0 <= box[1] + box[3] < 2 * height


def _roi(roi: Roi, box: Sequence[float], kind: Kind) -> Roi:
    """`roi` at its new place, without what the change makes wrong."""
    side = None if kind.turned else roi.picture_side
    implant = None if kind.new_metal else roi.implant
    return replace(roi, box=(box[0], box[1], box[2], box[3]), square=None, picture_side=side, implant=implant)


def _write(path: Path, film: Grey, kind: Kind) -> None:
    """Write `film`, whole or not at all."""
    picture, content = Image.fromarray(np.ascontiguousarray(film)), io.BytesIO()
    if kind.quality is None:
        picture.save(content, format="PNG", compress_level=1)  # a fifth of the time, for files a tenth larger
    else:
        picture.save(content, format="JPEG", quality=kind.quality)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())
