"""The films of a run: data sets from any folders, joined in one data root, with the splits that the experiments need."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hipdet.core.annotations import mark_record, patient_of, patients_mark, source_of
from hipdet.core.configs import get_data_root
from hipdet.core.files import write_json
from hipdet.data.coco_file import append, subset
from hipdet.data.film_status import labelled
from hipdet.data.split import split_key, validation_part
from hipdet.data.validate.check import require_valid

log = logging.getLogger(__name__)

Coco = dict[str, Any]
EVERYTHING = "everything"


@dataclass(frozen=True)
class DataSet:
    """Annotations of one data set and the folder that their file names are relative to."""

    name: str
    annotations: Path
    films: Path

    @classmethod
    def at(cls, name: str, annotations: Path, films: Path | None = None) -> DataSet:
        """The films are in the folder above ``annotations/`` (see `get_data_root`) unless `films` gives another."""
        return cls(name, annotations, films or get_data_root(annotations))


@dataclass(frozen=True)
class Split:
    """How films are split into training and validation: by ``patient`` or ``image``, fraction for validation, and seed."""

    by: str = "patient"
    fraction: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Films:
    """All films of a run.

    Attributes:
        coco: All data sets in one dictionary; image records have ``data_set``.
        subsets: Image ids by name: ``gis``, ``cgoa_oaih_train``, ...
        shared_patients: Per pool, the number of validation films whose patient also has films in training (a leak): 0 if
            split by patient, ``unknown`` if patients aren't known.
    """

    coco: Coco
    subsets: dict[str, list[int]]
    shared_patients: dict[str, int | str]


def gather(data_sets: Sequence[DataSet], pools: Iterable[Sequence[str]], split: Split) -> Films:
    """Join `data_sets` and split each pool of them; each data set is split on its own, so its split is the same in all pools.

    Raises:
        DatasetError: an annotation file is faulty, classes differ, or films can't be split.
    """
    coco: Coco = dict(images=[], annotations=[], categories=[])
    unknown = {data_set.name for data_set in data_sets if _append(coco, data_set)}
    names = [data_set.name for data_set in data_sets]
    subsets = {name: [image["id"] for image in coco["images"] if image["data_set"] == name] for name in names}
    images = {image["id"]: image for image in coco["images"]}
    shared: dict[str, int | str] = {}
    for pool in pools:
        parts: dict[str, list[int]] = dict(train=[], val=[])
        for name in pool:
            keys = [split_key(images[image_id], split.by) for image_id in subsets[name]]
            for image_id, validate in zip(subsets[name], validation_part(keys, split.fraction, split.seed)):
                parts["val" if validate else "train"].append(image_id)
        pool_name = "_".join(pool)
        subsets[f"{pool_name}_train"], subsets[f"{pool_name}_val"] = parts["train"], parts["val"]
        trained = {_patient(images[image_id]) for image_id in parts["train"]} - {None}
        leaked = sum(_patient(images[image_id]) in trained for image_id in parts["val"])
        shared[pool_name] = "unknown" if unknown & set(pool) and not leaked else leaked
    return Films(coco, subsets, shared)


def write_data_root(films: Films, data_sets: Sequence[DataSet], root: Path) -> None:
    """Write ``annotations/<subset>.json`` and ``everything.json`` below `root`, and link the films there."""
    for data_set in data_sets:
        link, target = root / data_set.name, data_set.films.resolve()
        root.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() or Path(os.readlink(link)) != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target, target_is_directory=True)
    parts = {name: subset(films.coco, ids) for name, ids in films.subsets.items()}
    for name, coco in {EVERYTHING: films.coco, **parts}.items():
        mark = patients_mark(coco)
        write_json(root / f"annotations/{name}.json", {"info": mark_record(mark), **coco} if mark else coco)


def _append(coco: Coco, data_set: DataSet) -> bool:
    """Add a data set with new ids and with file names below its link; returns whether any of its patients isn't known."""
    found = labelled(require_valid(data_set.annotations), data_set.annotations)
    if found.left_out:
        log.warning("%s: %s", data_set.annotations.name, found)
    added = found.coco
    images = []
    for image in added["images"]:
        name = f"{data_set.name}/{image['file_name']}"
        images.append({"source": data_set.name, **image, "file_name": name, "data_set": data_set.name})
    append(coco, {**added, "images": images}, str(data_set.annotations))
    return bool(patients_mark(added))


def _patient(image: Mapping[str, Any]) -> tuple[str, str] | None:
    return (source_of(image), patient_of(image)) if patient_of(image) else None
