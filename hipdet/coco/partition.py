"""Image records divided into parts or folds, each source by itself, so that every part holds every source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hipdet.coco.split import grouped_folds, split_key, validation_part
from hipdet.errors import DatasetError

Image = Mapping[str, Any]
TRAIN = "train"


@dataclass
class Partition:
    """Image ids by part, in the order of the records, and sentences on what couldn't be divided."""

    parts: dict[str, list[int]]
    notes: list[str] = field(default_factory=list)


def divide(images: Sequence[Image], fractions: Mapping[str, float], seed: int, by: str = "patient") -> Partition:
    """Parts such as ``val`` and ``test`` with the rest as ``train``.

    Args:
        images: COCO image records.
        fractions: Part of the films of each source for every part but ``train``; films of a patient stay together, so sizes
            are met as nearly as patients allow.
        seed: Of the draw.
        by: ``patient`` or ``image``, as :func:`hipdet.coco.split_key`.

    Raises:
        DatasetError: fractions that leave nothing, another `by`, or images without patient.
    """
    if not 0 < sum(fractions.values()) < 1 or min(fractions.values()) <= 0:
        shown = ", ".join(f"{name} {fraction}" for name, fraction in fractions.items())
        raise DatasetError(f"parts are {shown}, expected each above 0 and together below 1")
    part_of: dict[int, str] = {}
    notes = []
    for source, records in _by_source(images).items():
        left, whole = list(records), 1.0
        for name, fraction in fractions.items():
            keys = [split_key(image, by) for image in left]
            if len(set(keys)) < 2:
                where = f"source {source!r} has" if source else "there is"
                notes.append(f"{where} a single patient left: it stays in {TRAIN}, and {name} has no film of it")
                continue
            chosen = validation_part(keys, fraction / whole, seed)
            part_of.update((image["id"], name) for image, taken in zip(left, chosen) if taken)
            left = [image for image, taken in zip(left, chosen) if not taken]
            whole -= fraction
    parts: dict[str, list[int]] = {name: [] for name in (TRAIN, *fractions)}
    for image in images:
        parts[part_of.get(image["id"], TRAIN)].append(image["id"])
    return Partition(parts, notes)


def fold_ids(images: Sequence[Image], folds: int, seed: int, by: str = "patient") -> list[list[int]]:
    """Image ids of every fold; films of a patient share one, and every source is spread over all.

    Raises:
        DatasetError: fewer than 2 folds, a source with fewer patients than folds, another `by`, or images without patient.
    """
    fold_of: dict[int, int] = {}
    for source, records in _by_source(images).items():
        try:
            numbers = grouped_folds([split_key(image, by) for image in records], folds, seed)
        except DatasetError as error:
            raise DatasetError(f"source {source!r}: {error}" if source else str(error)) from error
        fold_of.update((image["id"], fold) for image, fold in zip(records, numbers))
    return [[image["id"] for image in images if fold_of[image["id"]] == fold] for fold in range(folds)]


def _by_source(images: Sequence[Image]) -> dict[str, list[Image]]:
    found: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        found[image.get("source") or ""].append(image)
    return dict(sorted(found.items()))
