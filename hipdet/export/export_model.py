"""A trained checkpoint to an ONNX file that says what it is, compared with what it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hipdet.errors import CheckpointError, ConfigError
from hipdet.export.comparison import difference
from hipdet.export.graph import ROIS, DetectorGraph
from hipdet.export.onnx_file import add_card, write_onnx
from hipdet.files import replacing
from hipdet.inference.model_card import ModelCard
from hipdet.inference.onnx_model import OnnxModel
from hipdet.inference.torch_model import TorchModel

TOLERANCE = 1e-2  # px of the square; float32 in another order: .002 on boxes of 300 px
SCORES = 1e-4


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
        ConfigError: a detector that can't be exported, or that gives fewer ROIs than the card expects.
        CheckpointError: the file's boxes, scores or classes differ; it isn't kept.
    """
    most = max(end for _, end in card.counts.ranges)
    graph = DetectorGraph(model.detector, card.side, max(ROIS, most))
    _refuse_too_few(graph, card)
    with replacing(path) as temporary:
        write_onnx(graph, temporary)
        add_card(temporary, card.to_text())
        exported = OnnxModel(temporary)
        counts, largest = card.counts, 0.0
        for number, film in enumerate(films, 1):
            found = difference(model.read(model.prepare(film)), exported.read(exported.prepare(film)), counts)
            box = found.box * card.side / max(film.shape)
            largest = max(largest, box)
            if not (box <= TOLERANCE and found.score <= SCORES):
                raise CheckpointError(
                    f"{path}: not written, as its boxes differ by {box:.3g} px and its scores by {found.score:.2g} from "
                    f"those of torch on film {number}, class by class, expected at most {TOLERANCE:g} px and {SCORES:g}: "
                    f"please report it with the config"
                )
    return largest


def _refuse_too_few(graph: DetectorGraph, card: ModelCard) -> None:
    """Each film would be flagged.

    Raises:
        ConfigError: films have more ROIs than `graph` gives.
    """
    counts = card.counts
    fewest = [least for least, _ in counts.ranges]
    if graph.passes and not counts.together:
        for name, least in zip(counts.classes, fewest):
            if least > graph.passes[0]:
                raise ConfigError(
                    f"at least {least} ROIs of {name!r} are expected on a film, and model.passes={graph.passes} gives up to "
                    f"{graph.passes[0]} of a class: expect fewer (--rois), or let the first be {least} or more"
                )
    if sum(fewest) > graph.rois:
        setting = "model.passes" if graph.passes else "model.test_cfg.max_per_img"
        raise ConfigError(
            f"at least {sum(fewest)} ROIs are expected on a film, and the model gives up to {graph.rois} ({setting}): expect "
            f"fewer (--rois), or set as many or more"
        )
