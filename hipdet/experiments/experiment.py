"""The paper's ten experiments (Table 2): anchors and data.  Configs, tables and tests read them here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from hipdet.anchors import AnchorSet

CGOA, OAIH, GIS = "cgoa", "oaih", "gis"


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
    anchors: AnchorSet

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


SIX_SCALES = AnchorSet.equal_steps((7,), 0.7, 2.2, 0.3)
BOTH = (CGOA, OAIH)
EXPERIMENTS = {
    experiment.number: experiment
    for experiment in (
        Experiment(1, BOTH, GIS, AnchorSet.equal_steps((4, 2, 1), 0.7, 1.3, 0.3)),
        Experiment(2, BOTH, GIS, AnchorSet.equal_steps((7,), 0.7, 2.2, 0.75)),
        Experiment(3, BOTH, GIS, SIX_SCALES),
        Experiment(4, BOTH, GIS, AnchorSet.equal_steps((7,), 0.7, 2.2, 0.1)),
        Experiment(5, BOTH, GIS, AnchorSet.equal_steps((7,), 0.7, 2.2, 0.05)),
        Experiment(6, BOTH, GIS, AnchorSet.equal_steps((14,), 0.7, 2.2, 0.05)),
        Experiment(7, (CGOA,), OAIH, SIX_SCALES),
        Experiment(8, (CGOA,), GIS, SIX_SCALES),
        Experiment(9, (OAIH,), CGOA, SIX_SCALES),
        Experiment(10, (OAIH,), GIS, SIX_SCALES),
    )
}
