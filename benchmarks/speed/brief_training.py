"""Checkpoints that find something: detectors trained for a minute on phantoms.

Random weights give boxes by accident, so that two ways of running them can't be compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor

from hipdet.core.configs import read_config
from hipdet.core.files import replacing
from hipdet.inference.preprocess import shrink
from hipdet.phantoms.write import make_film

FILMS = 16


def read_plain_config(path: Path) -> Any:
    """A config whose backbones start from nothing: no weights from the network."""
    cfg = read_config(str(path))
    for part in (cfg.model.backbone, cfg.model.get("refiner", {}).get("backbone", {})):
        part.pop("init_cfg", None)
    return cfg


def briefly_trained(config: Path, weights: Path, steps: int = 60, batch: int = 4) -> Path:
    """`weights` of `config`, trained for `steps` of `batch` phantom films unless they are there already."""
    if weights.is_file():
        return weights
    cfg = read_plain_config(config)
    init_default_scope("mmdet")
    torch.manual_seed(0)
    detector = MODELS.build(cfg.model).train()
    side = max(cfg.image_size)
    samples = [_sample(number, side) for number in range(FILMS)]
    optimizer = torch.optim.AdamW(detector.parameters(), lr=0.001)
    for step in range(steps):
        chosen = [samples[(step * batch + number) % FILMS] for number in range(batch)]
        data = dict(inputs=[film for film, _ in chosen], data_samples=[labels.clone() for _, labels in chosen])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = detector(**detector.data_preprocessor(data, training=True), mode="loss")
        loss, _ = detector.parse_losses(losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with replacing(weights) as temporary:
        meta = dict(dataset_meta=dict(classes=tuple(cfg.metainfo.classes)), epoch=0)
        torch.save(dict(state_dict=detector.state_dict(), meta=meta), temporary)
    return weights


def _sample(number: int, side: int) -> tuple[Tensor, DetDataSample]:
    phantom = make_film("oaih", number, seed=9, max_side=side)
    film = shrink(phantom.pixels, side)
    labels = DetDataSample(metainfo=dict(img_shape=(side, side), scale_factor=(1.0, 1.0)))
    boxes = torch.from_numpy(film.to_square(phantom.hips).astype(np.float32))
    labels.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
    return torch.from_numpy(film.padded()).expand(3, -1, -1), labels
