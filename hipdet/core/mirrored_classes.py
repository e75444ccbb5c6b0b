"""Classes that change places in a film's mirror image: what shows the left lung would show the right one.

A config names them in one place, its ``metainfo``, for training and for ``--tta``:
``metainfo=dict(classes=('heart', 'left lung', 'right lung'), mirrored_pairs=[('left lung', 'right lung')])``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hipdet.core.errors import ConfigError

OTHER = {"left": "right", "right": "left"}
SIDE = re.compile("left|right")


def sided_pairs(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of `classes` whose names are the same but for left and right, in any case; the left one first."""
    names = {name.casefold(): name for name in classes}
    pairs = []
    for lower, name in names.items():
        side = SIDE.search(lower)
        other = names.get(SIDE.sub(lambda found: OTHER[found[0]], lower))
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
            raise ConfigError(
                f"{where}: {mirroring} mirrors films, and {_listed(sided)} change places in a mirror image: "
                f"add mirrored_pairs={sided} to metainfo, beside classes; or mirrored_pairs=[] if none do"
            )
        return tuple(range(len(classes)))
    labels = list(range(len(classes)))
    for pair in _checked(pairs, classes, where):
        first, second = map(classes.index, pair)
        labels[first], labels[second] = second, first
    return tuple(labels)


def _checked(pairs: Any, classes: Sequence[str], where: str) -> Sequence[Sequence[str]]:
    """`pairs`, if they are pairs of `classes` and no class stands in them twice.

    Raises:
        ConfigError: they aren't.
    """
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
    return pairs


def _listed(pairs: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{first!r} and {second!r}" for first, second in pairs)
