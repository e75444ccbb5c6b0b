"""The models that are timed: the one that comes along, and checkpoints and exports of other configs, made once and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hipdet.cli.export import PELVES, drawn
from hipdet.core.files import replacing
from hipdet.export.export import export_model
from hipdet.export.torch_model import TorchModel
from speed.brief_training import briefly_trained, read_plain_config

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = "hip_roi_small"
# steps of training on phantoms; times don't depend on weights, but boxes of ResNet-101 are compared
STEPS = {"hip_ssd_exp3": 60}
FEW_STEPS = 20  # or every anchor would score the same
TITLES = {"hip_roi_small": "small", "hip_roi_medium": "medium", "hip_roi_large": "large", "hip_ssd_exp3": "ResNet-101"}


@dataclass(frozen=True)
class Model:
    """Files of one model."""

    title: str
    config: Path
    weights: Path
    onnx: Path


def model(name: str, folder: Path) -> Model:
    """The model of config `name`, such as ``hip_roi_small``."""
    place = ROOT / "hipdet/weights" if name == SHIPPED else folder
    weights = place / f"{name}{'.safetensors' if name == SHIPPED else '.pth'}"
    found = Model(TITLES[name], folder / f"{name}.py", weights, place / f"{name}.onnx")
    if not found.config.is_file():
        with replacing(found.config) as temporary:
            read_plain_config(ROOT / f"configs/{name}.py").dump(temporary)
    briefly_trained(found.config, found.weights, STEPS.get(name, FEW_STEPS))
    if not found.onnx.is_file():
        checkpoint = TorchModel(found.config, found.weights)
        export_model(checkpoint, checkpoint.card, found.onnx, drawn(PELVES, 1))
    return found
