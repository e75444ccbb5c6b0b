"""What must be known of a model to use it; travels inside its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hipdet.errors import CheckpointError, ConfigError
from hipdet.inference.review import ReviewLimits
from hipdet.roi_counts import Counts, RoiCounts

KEY = "hipdet"  # of the metadata of an ONNX file
INPUT = (
    "film: grey values 0 to 255 of the upright film, bone bright, by area mean to a long side of `side` pixels, padded with "
    "0 at the right or the bottom; extent: its width and height in the square.  boxes: x0, y0, x1, y1 in pixels of the square"
)


@dataclass(frozen=True)
class ModelCard:
    """Facts of a model.

    Attributes:
        config: Name of its config.
        classes: Names in the order of its labels.
        side: Of the square that it sees, in pixels.
        rois: Expected on a film: a number or a range, of all classes together, or one by class (:mod:`hipdet.roi_counts`).
        limits: For the review of what it finds; None if it was never calibrated.
        about: Further texts: data, attribution, figures, limits of use.
        hipdet: Version that wrote it.
        input: What goes in and comes out.

    Raises:
        ConfigError: `rois` of something else.
    """

    config: str
    classes: tuple[str, ...]
    side: int
    rois: Counts
    limits: ReviewLimits | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    hipdet: str = ""
    input: str = INPUT

    def __post_init__(self) -> None:
        object.__setattr__(self, "rois", RoiCounts.of(self.rois, self.classes).to_json())

    @property
    def counts(self) -> RoiCounts:
        """`rois` as a rule."""
        return RoiCounts.of(self.rois, self.classes)

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_text(cls, text: str | None, source: object) -> ModelCard:
        """The way back; `source` is what an error calls the file.

        Raises:
            CheckpointError: no text, or another one.
        """
        again = "export the checkpoint again with tools/export.py"
        if text is None:
            raise CheckpointError(f"{source}: an ONNX file without hipdet's metadata: {again}")
        try:
            values = json.loads(text)
            limits = values["limits"] and ReviewLimits.from_json(values["limits"], source)
            classes = tuple(str(name) for name in values["classes"])
            card = cls(
                str(values["config"]), classes, int(values["side"]), values["rois"], limits, dict(values["about"]),
                str(values["hipdet"]), str(values["input"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, RecursionError, ConfigError) as error:
            raise CheckpointError(f"{source}: hipdet's metadata can't be read ({error!r}): {again}") from error
        if not classes or card.side < 1:
            raise CheckpointError(f"{source}: metadata without classes or side: {again}")
        return card
