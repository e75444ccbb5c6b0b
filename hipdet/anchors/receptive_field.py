"""How much of the film a cell of a ResNet's map can see."""

from __future__ import annotations

from collections.abc import Iterator

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BASIC = (18, 34)  # two 3x3 convolutions in a block, else one between two 1x1


def receptive_field(depth: int, stage: int, downsamples: int = 0, reduction: int = 1) -> int:
    """Side in pixels of what influences a cell of ``HipSSDHead`` behind `stage` of a ResNet of style ``pytorch``.

    In theory: the pixels at its rim have next to no weight (Luo et al., "Understanding the effective receptive field", 2016).

    Args:
        depth: 18, 34, 50, 101 or 152.
        stage: The last one, 1 to 4.
        downsamples: Stride-2 convolutions of the head between map and anchors.
        reduction: The ResNet sees means of blocks of so many pixels.
    """
    field = jump = reduction
    for kernel, stride in (*_convolutions(depth, stage), *[(3, 1)], *[(3, 2)] * downsamples, (3, 1)):
        field += (kernel - 1) * jump
        jump *= stride
    return field


def _convolutions(depth: int, stage: int) -> Iterator[tuple[int, int]]:
    """Kernel and stride of those that widen the field."""
    yield 7, 2
    yield 3, 2  # pooling
    for number, blocks in enumerate(BLOCKS[depth][:stage]):
        for block in range(blocks):
            yield 3, 2 if number > 0 and block == 0 else 1
            if depth in BASIC:
                yield 3, 1
