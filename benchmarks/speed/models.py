"""The models that are timed: the bundled model, and others, trained for a minute on phantoms, exported and kept.

Random weights give arbitrary boxes, which can't be compared between runtimes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor
from tqdm import trange

from hipdet.cli.export import PELVES, drawn
from hipdet.core.configs import read_config
from hipdet.core.files import replacing
from hipdet.export.export import export_model
from hipdet.export.torch_model import TorchModel
from hipdet.inference.film_list import shrink
from hipdet.phantoms.write import make_film
from speed.results import say

RUNTIMES = {
    "onnxruntime": ("onnxruntime", "float32"),
    "openvino": ("openvino", "float32"),
    "openvino bfloat16": ("openvino", "bfloat16"),
}
ROOT = Path(__file__).resolve().parents[2]
BUNDLED = "hips"
TITLES = {
    "hips": "hips",
    "hip_roi_small": "small",
    "hip_roi_medium": "medium",
    "hip_roi_large": "large",
    "hip_ssd_exp3": "ResNet-101",
}
# times don't depend on weights, but the boxes of ResNet-101 are compared; the others only need different scores by anchor
STEPS, FEW_STEPS = {"hip_ssd_exp3": 60}, 20
FILMS, BATCH = 16, 4


@dataclass(frozen=True)
class Model:
    """Files of one model."""

    title: str
    config: Path
    weights: Path
    onnx: Path


def model(name: str, folder: Path) -> Model:
    """The model of config `name`, such as ``hip_roi_medium``; its files are made unless they exist."""
    place = ROOT / "hipdet/weights" if name == BUNDLED else folder
    weights = place / f"{name}{'.safetensors' if name == BUNDLED else '.pth'}"
    found = Model(TITLES[name], folder / f"{name}.py", weights, place / f"{name}.onnx")
    if not found.config.is_file():
        with replacing(found.config) as temporary:
            plain_config(name).dump(temporary)
    if not weights.is_file():
        say(
            f"training {found.title} for {STEPS.get(name, FEW_STEPS)} steps, as boxes of random weights can't be compared"
        )
        train_briefly(name, weights, STEPS.get(name, FEW_STEPS))
    if not found.onnx.is_file():
        say(f"exporting {found.title}")
        checkpoint = TorchModel(found.config, weights)
        export_model(checkpoint, checkpoint.card, found.onnx, drawn(PELVES, 1))
    return found


def plain_config(name: str) -> Any:
    """Config `name` without pretrained backbone weights, which would be downloaded."""
    cfg = read_config(str(ROOT / f"configs/{name}.py"))
    for part in (cfg.model.backbone, cfg.model.get("refiner", {}).get("backbone", {})):
        part.pop("init_cfg", None)
    return cfg


def train_briefly(name: str, weights: Path, steps: int) -> None:
    """Train config `name` for `steps` batches of phantoms and write `weights`."""
    cfg = plain_config(name)
    init_default_scope("mmdet")
    torch.manual_seed(0)
    detector = MODELS.build(cfg.model).train()
    samples = [_sample(number, max(cfg.image_size)) for number in range(FILMS)]
    optimizer = torch.optim.AdamW(detector.parameters(), lr=0.001)
    for step in trange(steps, desc=f"training {name}", unit="step", disable=None):
        chosen = [samples[(step * BATCH + number) % FILMS] for number in range(BATCH)]
        data = dict(inputs=[film for film, _ in chosen], data_samples=[labels.clone() for _, labels in chosen])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = detector(**detector.data_preprocessor(data, training=True), mode="loss")
        loss, _ = detector.parse_losses(losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    meta = dict(dataset_meta=dict(classes=tuple(cfg.metainfo.classes)), epoch=0)
    memory = io.BytesIO()  # not the file: torch tells of a full disk in terms of its own
    torch.save(dict(state_dict=detector.state_dict(), meta=meta), memory)
    with replacing(weights) as temporary:
        temporary.write_bytes(memory.getvalue())


def _sample(number: int, side: int) -> tuple[Tensor, DetDataSample]:
    phantom = make_film("oaih", number, seed=9, max_side=side)
    film = shrink(phantom.pixels, side)
    labels = DetDataSample(metainfo=dict(img_shape=(side, side), scale_factor=(1.0, 1.0)))
    height, width = film.pixels.shape
    hips = phantom.hips * np.tile([width / film.width, height / film.height], 2)  # in pixels of the square
    boxes = torch.from_numpy(hips.astype(np.float32))
    labels.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
    return torch.from_numpy(film.padded()).expand(3, -1, -1), labels


def available() -> list[str]:
    """The `RUNTIMES` that are installed and that this processor supports."""
    if find_spec("openvino") is None:
        return ["onnxruntime"]
    import openvino

    has_bfloat16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return list(RUNTIMES) if has_bfloat16 else ["onnxruntime", "openvino"]
