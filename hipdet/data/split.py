"""Split films into parts or folds that share no patient, unless asked to, and find the leaks between given parts.

Each source is split separately, so that every part has films of every source.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hipdet.core.annotations import patient_of, source_of
from hipdet.core.errors import DatasetError, raise_faults
from hipdet.core.records import shown
from hipdet.data.coco_file import Film
from hipdet.data.validate.faults import Fault
from hipdet.data.validate.plausibility import sound_images

Image = Mapping[str, Any]
SPLIT_BY = ("patient", "image")
TRAIN = "train"


def split_films(
    films: Sequence[Film], fraction: float, seed: int, by: str = "patient"
) -> tuple[list[Film], list[Film]]:
    """Split films into training and validation, each in the given order; see :func:`validation_part`.

    Args:
        films: The films to split.
        fraction: Fraction of the films for validation.
        seed: Seed of the random split.
        by: ``patient`` keeps the films of a patient together; ``image`` draws single films, as the paper did, and leaks.

    Raises:
        DatasetError: as :func:`validation_part`, or an unknown `by`.
    """
    records = [dict(file_name=film.file_name, source=film.source, patient=film.patient) for film in films]
    chosen = validation_part([split_key(record, by) for record in records], fraction, seed)
    train = [film for film, validate in zip(films, chosen) if not validate]
    return train, [film for film, validate in zip(films, chosen) if validate]


def split_key(image: Image, by: str) -> tuple[str, str]:
    """The key of the group that must not be divided: the patient of a COCO image record, or the film itself.

    Raises:
        DatasetError: an unknown `by`, or a record without a patient.
    """
    if by not in SPLIT_BY:
        raise DatasetError(f"split by {by!r}: expected one of {', '.join(SPLIT_BY)}")
    if by == "patient" and not patient_of(image):
        raise DatasetError(
            f"{image['file_name']} has no patient, so films of one patient can't be kept together: add 'patient' to the "
            f"image records, or split by image, where validation may hold patients of training"
        )
    return source_of(image), patient_of(image) if by == "patient" else image["file_name"]


def validation_part(groups: Sequence[Hashable], fraction: float, seed: int) -> list[bool]:
    """Whether each film is for validation: about `fraction` of the films, without dividing a group.

    Groups are drawn in random order; a group is used for validation if it brings the number of films closer to `fraction`.
    The result depends on the groups and the seed, not on the order of the films.

    Raises:
        DatasetError: `fraction` outside 0..1, or fewer than two groups.
    """
    if not 0 < fraction < 1:
        raise DatasetError(f"validation fraction is {fraction}, expected more than 0 and less than 1")
    sizes = _shuffled(groups, seed)
    if len(sizes) < 2:
        raise DatasetError(f"{len(groups)} films of {len(sizes)} patients can't be split, expected 2 patients or more")
    wanted = fraction * len(groups)
    chosen = {sizes[0][0]}
    count = sizes[0][1]
    for group, size in sizes[1:-1]:  # one group is always left for training
        if abs(count + size - wanted) < abs(count - wanted):
            chosen.add(group)
            count += size
    return [group in chosen for group in groups]


def grouped_folds(groups: Sequence[Hashable], folds: int, seed: int) -> list[int]:
    """The fold ``0 .. folds-1`` of each film, given the group of each film; folds have similar numbers of films.

    Raises:
        DatasetError: fewer than 2 folds, or more folds than groups.
    """
    shuffled = _shuffled(groups, seed)
    if not 2 <= folds <= len(shuffled):
        raise DatasetError(f"folds is {folds}, expected 2 to {len(shuffled)}, the number of patients or groups")
    sizes = [0] * folds
    fold_of: dict[Hashable, int] = {}
    # largest group first, each into the smallest fold so far; the sort is stable, so groups of equal size stay shuffled
    for group, size in sorted(shuffled, key=lambda item: -item[1]):
        fold = min(range(folds), key=sizes.__getitem__)
        fold_of[group] = fold
        sizes[fold] += size
    return [fold_of[group] for group in groups]


def given_folds(films: Sequence[str], rows: Mapping[str, str], source: object) -> tuple[dict[str, int], int]:
    """The fold of each film from a table, and the number of its rows for other films, which are skipped.

    Args:
        films: Names of the films.
        rows: Fold by name of the film as the table has both; a film may be named without its folders.
        source: The table, for messages.

    Returns:
        Folds, numbered from 0 in the order of the table's numbers, by name of the film; and the number of skipped rows.

    Raises:
        DatasetError: a film without fold, a fold that is no number, fewer than two folds, or a table for other films.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    for film in films:
        by_name[film.rpartition("/")[2]].append(film)
    fold_of: dict[str, str] = {}
    faults, strangers = [], []
    for name, fold in rows.items():
        fits = [name] if name in films else by_name.get(name, [])
        if not fold.isdecimal():
            faults.append(f"{name}: fold is {fold!r}, expected a whole number from 0")
        if len(fits) > 1:
            faults.append(f"{name}: {len(fits)} films of this name, expected one: add the folder")
        if not fits:
            strangers.append(f"{name}: no such film among those with labels")
        fold_of.update(dict.fromkeys(fits, fold))
    without = [f"{film}: no fold, expected one for each film" for film in films if film not in fold_of]
    if without or len(rows) <= len(films):  # a table of more films than these may be used for several data sets
        faults += without + strangers
    raise_faults(source, faults)
    numbers = sorted({int(fold) for fold in fold_of.values()})
    if len(numbers) < 2:
        raise DatasetError(f"{source}: all films are in fold {numbers[0]}, expected 2 folds or more")
    return {film: numbers.index(int(fold)) for film, fold in fold_of.items()}, len(strangers)


def near_duplicate_groups(numbers: Sequence[int], gap: int = 2) -> list[int]:
    """The group of each serial number, named by its smallest number.

    Neighbours in sorted order that differ by `gap` or less are in one group: ``[5, 1, 3, 9] -> [1, 1, 1, 9]``.
    """
    ordered = np.unique(numbers)
    starts = np.diff(ordered, prepend=-np.inf) > gap
    first = ordered[starts][np.cumsum(starts) - 1]  # first number of the group of each
    group_of = dict(zip(ordered.tolist(), first.tolist()))
    return [group_of[number] for number in numbers]


def _shuffled(groups: Sequence[Hashable], seed: int) -> list[tuple[Hashable, int]]:
    """Each group with its number of films, in an order that depends only on the groups and the seed."""
    ordered = sorted(Counter(groups).items(), key=lambda item: (repr(item[0]), item[1]))
    random.Random(seed).shuffle(ordered)
    return ordered


@dataclass
class Partition:
    """Image ids by part, in the order of the records, and notes on sources that couldn't be divided."""

    parts: dict[str, list[int]]
    notes: list[str] = field(default_factory=list)


def divide(images: Sequence[Image], fractions: Mapping[str, float], seed: int, by: str = "patient") -> Partition:
    """Split images into parts such as ``val`` and ``test``, with the rest as ``train``.

    Args:
        images: COCO image records.
        fractions: Fraction of each source's films for each part except ``train``; sizes are met as closely as possible, as
            films of a patient stay together.
        seed: Seed of the random split.
        by: ``patient`` or ``image``, as in :func:`hipdet.data.split.split_key`.

    Raises:
        DatasetError: fractions that leave nothing for training, an unknown `by`, or images without patient.
    """
    if not 0 < sum(fractions.values()) < 1 or min(fractions.values()) <= 0:
        listed = ", ".join(f"{name} {fraction}" for name, fraction in fractions.items())
        raise DatasetError(f"parts are {listed}, expected each above 0 and together below 1")
    part_of: dict[int, str] = {}
    notes = []
    for source, records in _by_source(images).items():
        left, whole = list(records), 1.0
        for name, fraction in fractions.items():
            keys = [split_key(image, by) for image in left]
            if len(set(keys)) < 2:
                where = f"source {shown(source)} has" if source else "there is"
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
    """Image ids of each fold; films of a patient share a fold, and every source is spread over all folds.

    Raises:
        DatasetError: fewer than 2 folds, a source with fewer patients than folds, an unknown `by`, or images without patient.
    """
    fold_of: dict[int, int] = {}
    for source, records in _by_source(images).items():
        try:
            numbers = grouped_folds([split_key(image, by) for image in records], folds, seed)
        except DatasetError as error:
            raise DatasetError(f"source {shown(source)}: {error}" if source else str(error)) from error
        fold_of.update((image["id"], fold) for image, fold in zip(records, numbers))
    return [[image["id"] for image in images if fold_of[image["id"]] == fold] for fold in range(folds)]


def _by_source(images: Sequence[Image]) -> dict[str, list[Image]]:
    found: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        found[source_of(image)].append(image)
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Shared:
    """A patient or film that is in several parts, with an example film of the patient."""

    name: str
    film: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Leaks:
    """The patients and films that parts share, and the number of films without patient, which can't be checked."""

    patients: tuple[Shared, ...]
    films: tuple[Shared, ...]
    without_patient: int

    def __bool__(self) -> bool:
        return bool(self.patients or self.films)


def find_leaks(parts: Mapping[str, Iterable[Image]]) -> Leaks:
    """Find the patients and films that are in two or more of `parts`.

    Args:
        parts: COCO image records by name of the part; patients are distinguished by their ``source``.
    """
    patients: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)  # a film by part
    films: dict[str, dict[str, None]] = defaultdict(dict)
    without = 0
    for part, images in parts.items():
        for image in images:
            name = str(image.get("file_name"))
            films[name][part] = None
            if patient := patient_of(image):
                patients[source_of(image), patient].setdefault(part, name)
            else:
                without += 1
    shared_patients = [
        Shared(" ".join(filter(None, patient)), next(iter(where.values())), tuple(where))
        for patient, where in sorted(patients.items())
        if len(where) > 1
    ]
    shared_films = [Shared(name, name, tuple(where)) for name, where in sorted(films.items()) if len(where) > 1]
    return Leaks(tuple(shared_patients), tuple(shared_films), without)


def check_across(files: Mapping[str, dict[str, Any]]) -> list[Fault]:
    """Warn of patients and films that are in several of `files`, COCO dictionaries by file name."""
    leaks = find_leaks({name: sound_images(coco.get("images", [])) for name, coco in files.items()})
    found = [("patient-shared", f"patient {each.name}", each) for each in leaks.patients]
    found += [("film-shared", "", each) for each in leaks.films]
    remedy = "split by patient (hipdet split) if these files are for training and testing"
    return [
        Fault(
            kind, each.parts[0], id, each.film, f"also in {', '.join(each.parts[1:])}", "one file", remedy, warning=True
        )
        for kind, id, each in found
    ]
