"""Which steps of a pipeline make mirror images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmcv.transforms import RandomFlip

from hipdet.transforms.random_similarity import RandomSimilarity


def mirroring_steps(step: Any) -> Iterator[Any]:
    """`step` of a built pipeline, or those within it, if it can give a mirror image.

    Known are `RandomSimilarity` and the `RandomFlip` of mmcv and mmdet; ``diagonal`` flips are half turns.
    """
    if isinstance(step, RandomSimilarity):
        mirrors = step.flip_prob > 0
    elif isinstance(step, RandomFlip):
        directions = [step.direction] if isinstance(step.direction, str) else step.direction
        mirrors = np.sum(step.prob) > 0 and any(direction != "diagonal" for direction in directions)
    else:
        mirrors = False
        for name in ("transforms", "subroutines"):  # of steps that choose among others
            inner = getattr(step, name, ())
            for each in inner if isinstance(inner, (list, tuple)) else [inner]:
                yield from mirroring_steps(each)
    if mirrors:
        yield step
