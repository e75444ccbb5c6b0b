"""Splits that never put films of one patient on two sides."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeVar

from hipdet.coco.film import Film
from hipdet.errors import DatasetError

Group = TypeVar("Group", bound=Hashable)


def split_by_patient(films: Sequence[Film], fraction: float, seed: int) -> tuple[list[Film], list[Film]]:
    """Training and validation films, each in the given order; about `fraction` of the films are for validation.

    Patients are drawn at random until one more would not bring the number of films closer to `fraction`.  Which patient
    goes where depends on the films and the seed, not on the order of the films.

    Raises:
        DatasetError: `fraction` outside 0..1, or fewer than two patients.
    """
    if not 0 < fraction < 1:
        raise DatasetError(f"validation fraction is {fraction}, expected more than 0 and less than 1")
    keys = [(film.source, film.patient) for film in films]
    groups = _shuffled(keys, seed)
    if len(groups) < 2:
        raise DatasetError(f"{len(films)} films of {len(groups)} patients can't be split, expected 2 patients or more")
    wanted = fraction * len(films)
    chosen = {groups[0][0]}
    count = groups[0][1]
    for key, size in groups[1:-1]:  # one patient is always left for training
        if abs(count + size - wanted) < abs(count - wanted):
            chosen.add(key)
            count += size
    train = [film for film, key in zip(films, keys) if key not in chosen]
    return train, [film for film, key in zip(films, keys) if key in chosen]


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
