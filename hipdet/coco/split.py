"""Splits that don't put films of one patient on two sides, unless asked to."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

from hipdet.coco.film import Film
from hipdet.errors import DatasetError

Group = TypeVar("Group", bound=Hashable)
SPLIT_BY = ("patient", "image")


def split_films(
    films: Sequence[Film], fraction: float, seed: int, by: str = "patient"
) -> tuple[list[Film], list[Film]]:
    """Training and validation films, each in the given order; see :func:`validation_part`.

    Args:
        films: To divide.
        fraction: Part of them for validation.
        seed: Of the draw.
        by: ``patient`` keeps the films of a patient together; ``image`` draws film by film, as the paper did, and leaks.

    Raises:
        DatasetError: as :func:`validation_part`, or another `by`.
    """
    records = [dict(file_name=film.file_name, source=film.source, patient=film.patient) for film in films]
    chosen = validation_part([split_key(record, by) for record in records], fraction, seed)
    train = [film for film, validate in zip(films, chosen) if not validate]
    return train, [film for film, validate in zip(films, chosen) if validate]


def split_key(image: Mapping[str, Any], by: str) -> tuple[str, str]:
    """What must not be divided: the patient of a COCO image record, or the film itself.

    Raises:
        DatasetError: another `by`, or a record without a patient.
    """
    if by not in SPLIT_BY:
        raise DatasetError(f"split by {by!r}: expected one of {', '.join(SPLIT_BY)}")
    if by == "patient" and not image.get("patient"):
        raise DatasetError(
            f"{image['file_name']} has no patient, so films of one patient can't be kept together: add 'patient' to the "
            f"image records, or split by image, where validation may hold patients of training"
        )
    return image.get("source", ""), image["patient" if by == "patient" else "file_name"]


def validation_part(groups: Sequence[Hashable], fraction: float, seed: int) -> list[bool]:
    """Whether each film is for validation; about `fraction` of the films are, and no group is divided.

    Groups are drawn at random until one more would not bring the number of films closer to `fraction`.  Which group
    goes where depends on the groups and the seed, not on their order.

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
    """The fold ``0 .. folds-1`` of every film, given the group of every film; folds get about equally many films.

    Raises:
        DatasetError: fewer than 2 folds, or more folds than groups.
    """
    shuffled = _shuffled(groups, seed)
    if not 2 <= folds <= len(shuffled):
        raise DatasetError(f"folds is {folds}, expected 2 to {len(shuffled)}, the number of patients or groups")
    sizes = [0] * folds
    fold_of: dict[Hashable, int] = {}
    # largest first, each into the fold that is smallest so far; sorting is stable, so equal ones stay shuffled
    for group, size in sorted(shuffled, key=lambda item: -item[1]):
        fold = min(range(folds), key=sizes.__getitem__)
        fold_of[group] = fold
        sizes[fold] += size
    return [fold_of[group] for group in groups]


def near_duplicate_groups(numbers: Sequence[int], gap: int = 2) -> list[int]:
    """The group of every serial number, named by the smallest number in it.

    Numbers that differ by `gap` or less from a neighbour in sorted order are chained: ``[5, 1, 3, 9] -> [1, 1, 1, 9]``.
    """
    group_of: dict[int, int] = {}
    previous = first = None
    for number in sorted(set(numbers)):
        if previous is None or first is None or number - previous > gap:
            first = number
        group_of[number] = first
        previous = number
    return [group_of[number] for number in numbers]


def _shuffled(groups: Sequence[Group], seed: int) -> list[tuple[Group, int]]:
    """Every group once with its number of films, in an order that depends on the set of groups and the seed only."""
    sizes: dict[Group, int] = defaultdict(int)
    for group in groups:
        sizes[group] += 1
    ordered = sorted(sizes.items(), key=lambda item: (repr(item[0]), item[1]))
    random.Random(seed).shuffle(ordered)
    return ordered
