"""Films that are nearly the same picture: two web pages' copies, or two exposures of one patient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

SIDE = 16  # cells a side: 256 bits tell pelves apart, which are all alike at 8x8
# Part of the bits.  Of 100 pelves, halved, saved anew and with a gamma of 0.6 or 1.5, none differs from itself by more
# than 0.07; no two of them differ by less than 0.09.
LARGEST_DISTANCE = 0.07
_BLOCK = 1024


@dataclass(frozen=True, order=True)
class NearDuplicate:
    """Two films and the part of their bits that differ, 0 for none."""

    distance: float
    first: str
    second: str


def difference_hash(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each of 16x16 cells of the film ``[H, W]`` is brighter than the one left of it, as ``[256]``.

    Insensitive to size, exposure and compression; a film and its mirror image differ.
    """
    small = np.asarray(Image.fromarray(pixels).resize((SIDE + 1, SIDE), Image.Resampling.BOX), dtype=np.int16)
    return (small[:, 1:] > small[:, :-1]).reshape(-1)


def near_duplicates(names: Sequence[str], hashes: Iterable[NDArray[np.bool_]]) -> list[NearDuplicate]:
    """All pairs of films whose hashes differ in at most 7% of their bits, the closest first."""
    bits = np.array(list(hashes), dtype=np.float32).reshape(len(names), SIDE * SIDE)
    ones = bits.sum(axis=1)
    found = []
    for start in range(0, len(names), _BLOCK):  # blocks bound the memory: all pairs of 60,000 films would be 14 GB
        block = bits[start : start + _BLOCK]
        differing = ones[start : start + _BLOCK, None] + ones[None] - 2 * block @ bits.T  # [block, N]
        for i, j in np.argwhere(differing <= LARGEST_DISTANCE * bits.shape[1]):
            if start + i < j:
                found.append(NearDuplicate(float(differing[i, j]) / bits.shape[1], names[start + i], names[j]))
    return sorted(found)


def groups(names: Sequence[str], pairs: Sequence[NearDuplicate]) -> dict[str, str]:
    """The first name, in the order of `names`, of the chain of pairs that each film is in; its own without any."""
    place = {name: n for n, name in enumerate(names)}
    edges = [(place[pair.first], place[pair.second]) for pair in pairs]
    rows, columns = zip(*edges) if edges else ((), ())
    graph = coo_matrix((np.ones(len(edges)), (rows, columns)), shape=(len(names), len(names)))
    component = connected_components(graph, directed=False)[1]
    first: dict[int, str] = {}
    return {name: first.setdefault(component[n], name) for name, n in place.items()}
