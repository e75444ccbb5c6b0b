"""An exported detector in onnxruntime."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hipdet.boxes import as_boxes
from hipdet.errors import CheckpointError
from hipdet.inference.model_card import KEY, ModelCard
from hipdet.inference.reading import Reading
from hipdet.inference.shrunk_film import ShrunkFilm, shrink
from hipdet.radiograph import ReducedFilm

OVERSAMPLED = 2  # a film may be decoded to this many sides of the square (docs/speed.md, "Reading")


class OnnxModel:
    """A file that tools/export.py wrote.

    Args:
        path: The file.
        threads: Of a network's operators; onnxruntime's choice if not given.

    Raises:
        CheckpointError: missing, damaged, or not hipdet's.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise CheckpointError(f"{path}: needs the package onnxruntime: pip install onnxruntime") from error
        if not path.is_file():
            raise CheckpointError(f"{path}: no such model; expected an .onnx file that tools/export.py wrote")
        content = path.read_bytes()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exceptions share no base
            raise CheckpointError(f"{path}: not a readable ONNX file, perhaps cut short: get it again") from error
        self.card = ModelCard.from_text(self.session.get_modelmeta().custom_metadata_map.get(KEY), path)
        self.fingerprint = hashlib.sha256(content).hexdigest()
        self.at_least = OVERSAMPLED * self.card.side

    def prepare(self, film: NDArray[np.uint8] | ReducedFilm) -> ShrunkFilm:
        """Reduce a film ``[H, W]``, or what was decoded of it."""
        return shrink(film, self.card.side)

    def read(self, film: ShrunkFilm, quarters: int = 0, inverted: bool = False) -> Reading:
        """Look at a film as it is, or turned and inverted."""
        seen = film.seen(quarters, inverted)
        height, width = seen.pixels.shape
        inputs = {"film": seen.padded()[None, None], "extent": np.array([width, height], np.float32)}
        boxes, scores, labels = self.session.run(["boxes", "scores", "labels"], inputs)
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
