"""A detector with random weights as config, checkpoint and export, and films in which no two places are alike.

On black borders a random network has equal scores, and runtimes differ in their order.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from hipdet.export.export import export_model
from hipdet.export.torch_model import TorchModel
from places import REPOSITORY

CONFIG = f"""
_base_ = [{str(REPOSITORY / "configs/hip_roi_medium.py")!r}]
model = dict(
    backbone=dict(base_channels=16),
    bbox_head=dict(in_channels=64, feat_channels=16),
    refiner=dict(backbone=dict(base_channels=16), in_channels=32, feat_channels=16))
"""


class Untrained(NamedTuple):
    config: Path
    weights: Path
    onnx: Path


def make(folder):
    config, weights, onnx = folder / "untrained.py", folder / "untrained.pth", folder / "untrained.onnx"
    config.write_text(CONFIG)
    torch.manual_seed(0)
    init_default_scope("mmdet")
    detector = MODELS.build(Config.fromfile(config).model)
    for conv in [*detector.bbox_head.conv_reg, *detector.bbox_head.conv_cls, detector.refiner.vote]:
        nn.init.normal_(conv.weight, std=0.05)
    torch.save(dict(state_dict=detector.state_dict(), meta=dict(dataset_meta=dict(classes=("hip",)), epoch=0)), weights)
    model = TorchModel(config, weights)
    export_model(model, model.card, onnx, [noise(500, 400, 9)])
    return Untrained(config, weights, onnx)


def noise(height, width, seed):
    """Squares of random grey."""
    coarse = np.random.default_rng(seed).integers(0, 255, (height // 8 + 1, width // 8 + 1), np.uint8)
    return np.kron(coarse, np.ones((8, 8), np.uint8))[:height, :width]
