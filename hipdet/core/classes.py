"""Classes of ROIs: how many of each a film has, and which ones swap in its mirror image.

Model cards, detectors, review flags, tests and command lines all use these rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.errors import ConfigError

Range = tuple[int, int]
Counts = int | Sequence[int] | Mapping[str, int | Sequence[int]]

EXPECTED = "a number, or for every class a number or a range such as 1-2"


@dataclass(frozen=True)
class RoiCounts:
    """The fewest and the most ROIs that a film has, of each class or of all classes together.

    Attributes:
        classes: Names, in the order of a model's labels.
        ranges: Fewest and most of each class, or a single range for all classes together.
    """

    classes: tuple[str, ...]
    ranges: tuple[Range, ...]

    @classmethod
    def of(cls, counts: Counts, classes: Sequence[str], source: object = "rois") -> RoiCounts:
        """Build from a number or range for all classes together, or from one per class; errors name `source`.

        Raises:
            ConfigError: `counts` is neither, or names other classes.
        """
        classes = tuple(classes)
        if not isinstance(counts, Mapping):
            return cls(classes, (_range(counts, source),))
        if set(counts) != set(classes):
            raise ConfigError(
                f"{source}: numbers of ROIs for {sorted(counts)}, expected one for each of {list(classes)}"
            )
        return cls(classes, tuple(_range(counts[name], source) for name in classes))

    @classmethod
    def from_words(cls, words: Sequence[str], classes: Sequence[str], source: object = "--rois") -> RoiCounts:
        """Parse what users type: ``2``, or ``heart=1 lung=1-2``.

        Raises:
            ConfigError: `words` are neither, or name other classes.
        """
        if len(words) == 1 and "=" not in words[0]:
            return cls.of(_typed(words[0], source), classes, source)
        counts: dict[str, Any] = {}
        for word in words:
            name, equals, count = word.rpartition("=")
            if not equals or name in counts:
                raise ConfigError(f"{source} {' '.join(words)}: expected {EXPECTED}: heart=1 lung=1-2, each class once")
            counts[name] = _typed(count, source)
        return cls.of(counts, classes, source)

    def to_json(self) -> int | list[int] | dict[str, int | list[int]]:
        """Plain values, from which `of` builds the same counts."""
        if self.together:
            return _plain(self.ranges[0])
        return {name: _plain(each) for name, each in zip(self.classes, self.ranges)}

    @property
    def together(self) -> bool:
        """Whether a single range holds for all classes together, or there is only one class."""
        return len(self.ranges) == 1

    @property
    def most(self) -> int:
        """The most ROIs that a film has, of all classes together."""
        return sum(most for _, most in self.ranges)

    @property
    def paired(self) -> frozenset[int]:
        """Indices of the classes that come in pairs, left and right: two of a class, or two classes named so."""
        named = {self.classes.index(name) for pair in sided_pairs(self.classes) for name in pair}
        if self.together and len(self.classes) > 1:  # how many of them are of one class isn't known
            return frozenset(range(len(self.classes)) if self.most >= 2 else named)
        return frozenset(named.union(label for label, (_, most) in enumerate(self.ranges) if most == 2))

    @property
    def fixed(self) -> NDArray[np.bool_]:
        """For each class ``[C]`` whether all films have the same number of ROIs of it."""
        return np.array([least == most for least, most in self.ranges] * (len(self.classes) if self.together else 1))

    def best(self, scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of the highest scores, best first, as many as a film may have of each class.

        Args:
            scores: ``[N]``.
            labels: Class indices ``[N]``.
        """
        order = np.argsort(-scores, kind="stable")
        if self.together:
            return order[: self.most]
        kept = np.zeros(len(order), bool)
        for label, (_, most) in enumerate(self.ranges):
            kept[np.flatnonzero(labels[order] == label)[:most]] = True
        return order[kept]

    def too_few(self, labels: NDArray[np.int64]) -> bool:
        """Whether ROIs with these class indices ``[N]`` are fewer than a film has."""
        return any(found < least for found, (least, _) in zip(self._found(labels), self.ranges))

    def too_many(self, labels: NDArray[np.int64]) -> bool:
        """Whether ROIs with these class indices ``[N]`` are more than a film has."""
        return any(found > most for found, (_, most) in zip(self._found(labels), self.ranges))

    def _found(self, labels: NDArray[np.int64]) -> list[int]:
        if self.together:
            return [len(labels)]
        return [int((labels == label).sum()) for label in range(len(self.ranges))]


def _range(count: Any, source: object) -> Range:
    ends = [count, count] if isinstance(count, (int, np.integer)) else count
    whole = isinstance(ends, (list, tuple)) and all(isinstance(end, (int, np.integer)) for end in ends)
    if not whole or any(isinstance(end, bool) for end in ends) or len(ends) != 2 or not 0 <= ends[0] <= ends[1] >= 1:
        raise ConfigError(f"{source}: number of ROIs {count!r}, expected {EXPECTED}, with a maximum of at least 1")
    return int(ends[0]), int(ends[1])


def _typed(text: str, source: object) -> int | list[int]:
    found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text)
    if not found:
        raise ConfigError(f"{source}: {text!r}, expected {EXPECTED}")
    return [int(found[1]), int(found[2])] if found[2] else int(found[1])


def _plain(ends: Range) -> int | list[int]:
    return ends[0] if ends[0] == ends[1] else list(ends)


OTHER_SIDE = {"left": "right", "right": "left"}


def sided_pairs(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of `classes` whose names differ only in left and right, in upper or lower case; the left one first."""
    names = {name.casefold(): name for name in classes}
    pairs = []
    for lower, name in names.items():
        side = re.search("left|right", lower)
        other = names.get(re.sub("left|right", lambda found: OTHER_SIDE[found[0]], lower))
        if side and side[0] == "left" and other is not None:
            pairs.append((name, other))
    return pairs


def mirrored_labels(metainfo: Mapping[str, Any], where: str, mirroring: str = "") -> tuple[int, ...]:
    """The index that each class has in a mirror image: its own, or that of its partner in ``mirrored_pairs``.

    Args:
        metainfo: Has ``classes`` and, if some of them swap, ``mirrored_pairs``.
        where: What errors call this metainfo.
        mirroring: The transform that mirrors films; empty if none does.

    Raises:
        ConfigError: films with left and right classes are mirrored without ``mirrored_pairs``, or these aren't pairs of
            different classes.
    """
    classes, pairs = list(metainfo["classes"]), metainfo.get("mirrored_pairs")
    if pairs is None:
        if mirroring and (sided := sided_pairs(classes)):
            listed = ", ".join(f"{first!r} and {second!r}" for first, second in sided)
            raise ConfigError(
                f"{where}: {mirroring} mirrors films, and {listed} swap in a mirror image: "
                f"add mirrored_pairs={sided} to metainfo, next to classes; or mirrored_pairs=[] if no classes swap"
            )
        return tuple(range(len(classes)))
    sequences = isinstance(pairs, (list, tuple)) and all(isinstance(pair, (list, tuple)) for pair in pairs)
    if not sequences or any(len(pair) != 2 for pair in pairs):
        raise ConfigError(
            f"{where}: mirrored_pairs={pairs!r}, expected a list of pairs of classes, such as [('left lung', 'right lung')]"
        )
    names = [name for pair in pairs for name in pair]
    if unknown := [name for name in names if name not in classes]:
        raise ConfigError(f"{where}: mirrored_pairs names {unknown[0]!r}, expected one of the classes {list(classes)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"{where}: mirrored_pairs names {twice[0]!r} twice, expected each class at most once")
    labels = list(range(len(classes)))
    for pair in pairs:
        first, second = map(classes.index, pair)
        labels[first], labels[second] = second, first
    return tuple(labels)
