"""An exported detector."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hipdet.boxes import as_boxes
from hipdet.errors import CheckpointError
from hipdet.inference.model_card import ModelCard
from hipdet.inference.reading import Reading
from hipdet.inference.runtime import open_runtime
from hipdet.inference.shrunk_film import ShrunkFilm, shrink
from hipdet.radiograph import ReducedFilm

# a film may be decoded to so many sides of the square, and to so many pixels (docs/speed.md, "Reading")
OVERSAMPLED, ENOUGH = 2, 1024


class OnnxModel:
    """A file that tools/export.py wrote.

    Args:
        path: The file.
        threads: Of the network's operators; the runtime's choice if not given.
        runtime: See :func:`hipdet.inference.runtime.open_runtime`.
        precision: Likewise.

    Raises:
        CheckpointError: missing, damaged, or not hipdet's.
        ConfigError: a runtime or a precision that isn't there.
    """

    def __init__(
        self, path: Path, threads: int | None = None, runtime: str = "onnxruntime", precision: str = "float32"
    ) -> None:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such model; expected an .onnx file that tools/export.py wrote")
        content = path.read_bytes()
        self.runtime = open_runtime(path, content, threads, runtime, precision)
        self.card = ModelCard.from_text(self.runtime.card, path)
        digest = hashlib.sha256(content)
        if precision != "float32":
            digest.update(precision.encode())
        self.fingerprint = digest.hexdigest()
        self.at_least: int | None = max(OVERSAMPLED * self.card.side, ENOUGH)

    def prepare(self, film: NDArray[np.uint8] | ReducedFilm) -> ShrunkFilm:
        """Reduce a film ``[H, W]``, or what was decoded of it."""
        return shrink(film, self.card.side)

    def read(self, film: ShrunkFilm, quarters: int = 0, inverted: bool = False) -> Reading:
        """Look at a film as it is, or turned and inverted."""
        seen = film.seen(quarters, inverted)
        height, width = seen.pixels.shape
        boxes, scores, labels = self.runtime.run(seen.padded()[None, None], np.array([width, height], np.float32))
        found = np.flatnonzero(scores > 0)  # the graph fills up with zeros
        return Reading(
            np.clip(seen.to_film(as_boxes(boxes[found])), 0, [seen.width, seen.height] * 2),
            scores[found].astype(np.float64),
            labels[found].astype(np.int64),
            seen.width,
            seen.height,
            quarters,
            inverted,
        )
