"""Classes of ROIs: how many of each a film has, and which change places in its mirror image.

One rule for models' cards, detectors, flags, tests and command lines.
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
    """The fewest and the most ROIs that a film has, of each class, or in all.

    Attributes:
        classes: Names, in the order of a model's labels.
        ranges: Fewest and most of each class; of several classes that were given one number together a single range.
    """

    classes: tuple[str, ...]
    ranges: tuple[Range, ...]

    @classmethod
    def of(cls, counts: Counts, classes: Sequence[str], source: object = "rois") -> RoiCounts:
        """From a number or a range, of all classes together, or from some by class; `source` is what an error names.

        Raises:
            ConfigError: something else, or other classes.
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
        """From what users type: ``2``, or ``heart=1 lung=1-2``.

        Raises:
            ConfigError: something else, or other classes.
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
        """As plain values, which `of` reads."""
        if self.together:
            return _plain(self.ranges[0])
        return {name: _plain(each) for name, each in zip(self.classes, self.ranges)}

    @property
    def together(self) -> bool:
        """Whether one range is that of all classes together, or of the only one."""
        return len(self.ranges) == 1

    @property
    def most(self) -> int:
        """ROIs that a film has at most."""
        return sum(most for _, most in self.ranges)

    def best(self, scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The indices of the ROIs that a film may have: the highest scores of each class, best first.

        Args:
            scores: ``[N]``.
            labels: Indices of classes ``[N]``.
        """
        order = np.argsort(-scores, kind="stable")
        if self.together:
            return order[: self.most]
        kept = np.zeros(len(order), bool)
        for label, (_, most) in enumerate(self.ranges):
            kept[np.flatnonzero(labels[order] == label)[:most]] = True
        return order[kept]

    def too_few(self, labels: NDArray[np.int64]) -> bool:
        """Whether ROIs of these classes, ``[N]``, are fewer than a film has."""
        return any(found < least for found, (least, _) in zip(self._found(labels), self.ranges))

    def too_many(self, labels: NDArray[np.int64]) -> bool:
        """Whether ROIs of these classes, ``[N]``, are more than a film has."""
        return any(found > most for found, (_, most) in zip(self._found(labels), self.ranges))

    def _found(self, labels: NDArray[np.int64]) -> list[int]:
        if self.together:
            return [len(labels)]
        return [int((labels == label).sum()) for label in range(len(self.ranges))]


def _range(count: Any, source: object) -> Range:
    ends = [count, count] if isinstance(count, (int, np.integer)) else count
    whole = isinstance(ends, (list, tuple)) and all(isinstance(end, (int, np.integer)) for end in ends)
    if not whole or any(isinstance(end, bool) for end in ends) or len(ends) != 2 or not 0 <= ends[0] <= ends[1] >= 1:
        raise ConfigError(f"{source}: number of ROIs {count!r}, expected {EXPECTED}, and at least 1 at most")
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
    """Pairs of `classes` whose names are the same but for left and right, in any case; the left one first."""
    names = {name.casefold(): name for name in classes}
    pairs = []
    for lower, name in names.items():
        side = re.search("left|right", lower)
        other = names.get(re.sub("left|right", lambda found: OTHER_SIDE[found[0]], lower))
        if side and side[0] == "left" and other is not None:
            pairs.append((name, other))
    return pairs


def mirrored_labels(metainfo: Mapping[str, Any], where: str, mirroring: str = "") -> tuple[int, ...]:
    """For the index of every class that of the class which a mirror image makes of it: its own, but for ``mirrored_pairs``.

    Args:
        metainfo: With ``classes`` and, where some change places, ``mirrored_pairs``.
        where: What to call this metainfo in an error.
        mirroring: What makes mirror images; empty where nothing does.

    Raises:
        ConfigError: something mirrors films with left and right classes and no pairs are named, or pairs that aren't pairs
            of different classes.
    """
    classes, pairs = list(metainfo["classes"]), metainfo.get("mirrored_pairs")
    if pairs is None:
        if mirroring and (sided := sided_pairs(classes)):
            listed = ", ".join(f"{first!r} and {second!r}" for first, second in sided)
            raise ConfigError(
                f"{where}: {mirroring} mirrors films, and {listed} change places in a mirror image: "
                f"add mirrored_pairs={sided} to metainfo, beside classes; or mirrored_pairs=[] if none do"
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
        raise ConfigError(f"{where}: mirrored_pairs names {twice[0]!r} twice, expected each class once at most")
    labels = list(range(len(classes)))
    for pair in pairs:
        first, second = map(classes.index, pair)
        labels[first], labels[second] = second, first
    return tuple(labels)
