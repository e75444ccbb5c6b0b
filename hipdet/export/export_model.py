"""A trained checkpoint to an ONNX file that says what it is, compared with what it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hipdet.errors import CheckpointError
from hipdet.export.graph import DetectorGraph
from hipdet.export.onnx_file import add_card, write_onnx
from hipdet.files import replacing
from hipdet.inference.model_card import ModelCard
from hipdet.inference.onnx_model import OnnxModel
from hipdet.inference.torch_model import TorchModel
from hipdet.phantom import SOURCES, make_film

TOLERANCE = 1e-3  # px of the square
FILM_SIDE = 512  # px of the films for comparison


def export_model(model: TorchModel, card: ModelCard, path: Path, films: Iterable[NDArray[np.uint8]]) -> float:
    """Write `model` with `card` to `path`, if the file finds on `films` what the detector's own ``predict`` finds.

    Args:
        model: Config and weights.
        card: What the file says of itself.
        path: ``.onnx`` file.
        films: For the comparison, ``[H, W]`` each.

    Returns:
        The largest difference of a box, in pixels of the square.

    Raises:
        ConfigError: a detector that can't be exported.
        CheckpointError: the file differs; it isn't kept.
    """
    graph = DetectorGraph(model.detector, card.side)
    with replacing(path) as temporary:
        write_onnx(graph, temporary)
        add_card(temporary, card.to_text())
        exported = OnnxModel(temporary)
        difference = max((_difference(model, exported, card, film) for film in films), default=0.0)
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f"{path}: not written, as its boxes differ by {difference:.3g} px from those of torch, expected at most "
                f"{TOLERANCE:g} px: please report it with the config"
            )
    return difference


def phantom_films(count: int) -> Iterator[NDArray[np.uint8]]:
    """Synthetic films of all sources, with a progress bar."""
    sources = sorted(SOURCES)
    for number in tqdm(range(count), desc="comparing with torch", unit="film", disable=None):
        yield make_film(sources[number % len(sources)], number, seed=1, max_side=FILM_SIDE).pixels


def _difference(model: TorchModel, exported: OnnxModel, card: ModelCard, film: NDArray[np.uint8]) -> float:
    """The largest difference of the expected ROIs' boxes, in pixels of the square."""
    expected = model.read(model.prepare(film)).best(card.counts)
    found = exported.read(exported.prepare(film)).best(card.counts)
    if len(found.scores) != len(expected.scores):
        return float("inf")
    return float(np.abs(found.boxes - expected.boxes).max(initial=0) * card.side / max(film.shape))
