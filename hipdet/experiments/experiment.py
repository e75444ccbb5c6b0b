"""The paper's ten experiments (Table 2): anchors and data.  Configs, tables and tests read them here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from hipdet.anchors import arithmetic_scales

IMAGE_SIDE = 224  # pixels of the padded square
CGOA, OAIH, GIS = "cgoa", "oaih", "gis"


@dataclass(frozen=True)
class Anchors:
    """Square anchors: one per cell and scale on every grid; scale 1 is as large as the cell.

    Attributes:
        grids: Cells along a side, the finest grid first.
        start: Smallest scale.
        stop: Largest scale, included.
        step: Between scales.
    """

    grids: tuple[int, ...]
    start: float
    stop: float
    step: float

    @property
    def scales(self) -> list[float]:
        """All scales, ascending."""
        return arithmetic_scales(self.start, self.stop, self.step)

    @property
    def strides(self) -> list[int]:
        """Side of a cell in pixels of the padded square, for every grid."""
        return [IMAGE_SIDE // grid for grid in self.grids]

    @property
    def per_image(self) -> int:
        """Number of anchors on an image."""
        return sum(grid * grid for grid in self.grids) * len(self.scales)

    def __str__(self) -> str:
        scales = self.scales
        named = " ".join(map(str, scales)) if len(scales) <= 6 else f"{scales[0]} .. {scales[-1]} by {self.step}"
        return f"grid {','.join(map(str, self.grids))}, {len(scales)} scales {named}, {self.per_image} anchors"


@dataclass(frozen=True)
class Experiment:
    """One row of Table 2.

    Attributes:
        number: 1 to 10.
        trained_on: Data sets whose films are divided into training and validation.
        tested_on: The data set whose films are all tested on.
        anchors: Grid and scales.
    """

    number: int
    trained_on: tuple[str, ...]
    tested_on: str
    anchors: Anchors

    @property
    def pool(self) -> str:
        """Name of the films that are trained and validated on, such as ``cgoa_oaih``."""
        return "_".join(self.trained_on)

    @property
    def annotation_files(self) -> tuple[str, str, str]:
        """Training, validation and test file below the data root."""
        names = (f"{self.pool}_train", f"{self.pool}_val", self.tested_on)
        train, val, test = (f"annotations/{name}.json" for name in names)
        return train, val, test

    @property
    def training(self) -> int:
        """Number of the first experiment with the same anchors and training films: they share one trained model."""
        return next(
            number
            for number, other in EXPERIMENTS.items()
            if (other.trained_on, other.anchors) == (self.trained_on, self.anchors)
        )

    def __str__(self) -> str:
        trained = "+".join(self.trained_on).upper()
        return f"{self.anchors}; {trained} -> {self.tested_on.upper()}"


SIX_SCALES = Anchors((7,), 0.7, 2.2, 0.3)
BOTH = (CGOA, OAIH)
EXPERIMENTS = {
    experiment.number: experiment
    for experiment in (
        Experiment(1, BOTH, GIS, Anchors((4, 2, 1), 0.7, 1.3, 0.3)),
        Experiment(2, BOTH, GIS, Anchors((7,), 0.7, 2.2, 0.75)),
        Experiment(3, BOTH, GIS, SIX_SCALES),
        Experiment(4, BOTH, GIS, Anchors((7,), 0.7, 2.2, 0.1)),
        Experiment(5, BOTH, GIS, Anchors((7,), 0.7, 2.2, 0.05)),
        Experiment(6, BOTH, GIS, Anchors((14,), 0.7, 2.2, 0.05)),
        Experiment(7, (CGOA,), OAIH, SIX_SCALES),
        Experiment(8, (CGOA,), GIS, SIX_SCALES),
        Experiment(9, (OAIH,), CGOA, SIX_SCALES),
        Experiment(10, (OAIH,), GIS, SIX_SCALES),
    )
}
