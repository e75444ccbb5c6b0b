"""What a plan must reach, and among which grids it chooses."""

from __future__ import annotations

from dataclasses import dataclass

from hipdet.errors import ConfigError

EQUAL, FITTED = "equal", "fitted"
GRIDS = (
    (1,),
    (2,),
    (4,),
    (7,),
    (14,),
    (28,),
)  # of 224 px: layers 4, 3 and 2 of a ResNet, and convolutions behind layer 4


@dataclass(frozen=True)
class Goal:
    """Shares are of ROIs, between 0 and 1.

    Attributes:
        coverage: Share that must find an anchor of its size.
        matched: Share that must be matched by overlap and not by force.  The paper's experiment 3 has .77 where ratios are
            uniform over 10% .. 30%, its experiment 1, which lost, .42: half lies between.
        contested: Largest share that may have the same best anchor as another ROI of the film.
        scales: ``equal`` steps that span the sizes, as in the paper, or ``fitted`` to the sizes.
        coarsest: Smallest grid to recommend: the backbone's own.  Behind further stride-2 convolutions detectors were worse:
            the paper's experiment 1, and chest phantoms (docs/anchors.md).
        grids: To choose from, more than one number for several maps together; empty for all that a ResNet has.
    """

    coverage: float = 0.99
    matched: float = 0.5
    contested: float = 0.02
    scales: str = EQUAL
    coarsest: int = 1
    grids: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        for name in ("coverage", "matched", "contested"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} {getattr(self, name)}: expected a share from 0 to 1")
        if self.scales not in (EQUAL, FITTED):
            raise ConfigError(f"scales {self.scales!r}: expected {EQUAL!r} or {FITTED!r}")
