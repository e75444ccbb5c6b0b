"""A checkpoint that mmdet runs, with the test pipeline of its config."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import hipdet.plugin  # noqa: F401  (before mmdet: registers, and makes mmcv-lite usable)

# isort: split
import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.apis import inference_detector
from mmdet.registry import MODELS
from mmdet.utils import get_test_pipeline_cfg
from mmengine.registry import init_default_scope
from numpy.typing import NDArray

from hipdet.core.boxes import as_boxes
from hipdet.core.classes import Counts, RoiCounts
from hipdet.core.configs import read_config
from hipdet.core.errors import CheckpointError
from hipdet.core.records import read_json
from hipdet.core.resumable import fingerprint
from hipdet.engine.checkpoint import (
    get_classes,
    get_meta,
    get_weights,
    model_fingerprint,
    read_checkpoint,
    state_dict_faults,
    weights_fingerprint,
)
from hipdet.inference.detections import FilmDetections
from hipdet.inference.film_list import ShrunkFilm, shrink
from hipdet.inference.onnx_model import ModelCard
from hipdet.inference.review import ReviewLimits
from hipdet.radiographs.grey import ReducedFilm
from hipdet.version import __version__

LIMITS_SUFFIX = ".review.json"  # beside the weights


class TorchModel:
    """A config and its weights.

    Args:
        config: Config file, or the name of one in hipdet, such as ``configs/hip_roi_medium.py``.
        weights: ``.pth`` or ``.safetensors`` file; ``<name>.review.json`` beside it has its review limits.
        device: Such as ``cpu`` or ``cuda:0``.

    Attributes:
        settings, weights: Fingerprints, as in the reports of hipdet test.

    Raises:
        ConfigError: there is no such config, or its RoiMetric expects other classes.
        CheckpointError: the weights can't be read or are of another model, or the limits can't be read.
    """

    def __init__(self, config: Path, weights: Path, device: str = "cpu") -> None:
        self.cfg = read_config(str(config))
        init_default_scope(self.cfg.get("default_scope", "mmdet"))
        content = read_checkpoint(weights)
        # before the detector is built, which changes its settings
        self.settings, self.weights = model_fingerprint(self.cfg.model), weights_fingerprint(content)
        self.detector = _detector(self.cfg, get_weights(content), weights).to(device).eval()
        self.detector.cfg = self.cfg
        pipeline = get_test_pipeline_cfg(self.cfg)
        pipeline[0] = dict(type="mmdet.LoadImageFromNDArray")
        self.pipeline = Compose(pipeline)
        meta = get_meta(content, weights)
        described = meta.values.get("dataset_meta")
        classes = get_classes(described, weights) if described else tuple(self.cfg.metainfo.classes)
        side = max(self.cfg.image_size)
        rois = RoiCounts.of(expected_rois(self.cfg), classes, f"{config}: rois_per_image of RoiMetric").to_json()
        about = {"epoch": meta.whole("epoch", 0, default=None)}
        self.card = ModelCard(Path(config).stem, classes, side, rois, _limits(weights), about, __version__)
        self.fingerprint = fingerprint(self.cfg.pretty_text.encode() + weights.read_bytes())

    at_least: int | None = None  # the pipeline starts from the whole film

    @property
    def tells_orientation(self) -> bool:
        """Whether the detector has an orientation head."""
        return getattr(self.detector, "orientation_head", None) is not None

    def preprocess(self, film: NDArray[np.uint8] | ReducedFilm) -> ShrunkFilm:
        """Reduce a film ``[H, W]``, and keep the original.

        Raises:
            ValueError: the film was decoded at a fraction of its size.
        """
        film = film if isinstance(film, ReducedFilm) else ReducedFilm.whole(film)
        if film.step != 1:
            raise ValueError(f"the pipeline of a config needs the whole film, found 1/{film.step} of its size")
        return replace(shrink(film, self.card.side), original=film.pixels)

    def infer(self, film: ShrunkFilm, quarters: int = 0, inverted: bool = False) -> FilmDetections:
        """Detect ROIs on a preprocessed film, perhaps rotated by `quarters` of a turn or with its grey values inverted."""
        whole = film.original
        if whole is None:
            raise ValueError("the film has no original, expected one from `preprocess`")
        seen = np.rot90(255 - whole if inverted else whole, quarters)
        height, width = seen.shape
        sample = inference_detector(self.detector, np.stack([seen] * 3, axis=2), self.pipeline).cpu()
        found, orientation = sample.pred_instances, sample.get("pred_orientation")
        return FilmDetections(
            as_boxes(found.bboxes.numpy()),
            found.scores.numpy().astype(np.float64),
            found.labels.numpy().astype(np.int64),
            width,
            height,
            quarters,
            inverted,
            None if orientation is None else orientation.numpy().astype(np.float64),
        )


def _detector(cfg: Any, weights: dict[str, torch.Tensor], path: Path) -> Any:
    for part in (cfg.model.get("backbone", {}), cfg.model.get("refiner", {}).get("backbone", {})):
        part.pop("init_cfg", None)  # the weights are in the checkpoint
    detector = MODELS.build(cfg.model)
    if faults := state_dict_faults(weights, detector.state_dict()):
        raise CheckpointError(f"{path}: weights of another model than {cfg.filename}: {faults}")
    detector.load_state_dict(weights)
    return detector


def expected_rois(cfg: Any) -> Counts:
    """The numbers of ROIs that the config's own RoiMetric expects."""
    evaluators = cfg.get("test_evaluator") or []
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        if evaluator.get("type") == "RoiMetric":
            counts: Counts = evaluator.get("rois_per_image", 2)
            return counts
    return 2


def _limits(weights: Path) -> ReviewLimits | None:
    path = weights.with_suffix(LIMITS_SUFFIX)
    if not path.is_file():
        return None
    return ReviewLimits.from_json(read_json(path, "what hipdet export --calibrate writes", CheckpointError), path)
