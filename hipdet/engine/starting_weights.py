"""Weights that a backbone starts from: declared in the config, checked against the file and against the network."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from mmengine.logging import print_log
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from torch import Tensor

from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.engine.checkpoint import get_weights, state_dict_faults

WAYS_OUT = (
    "Download the file on another machine and pass --cfg-options model.backbone.init_cfg.checkpoint=FILE, "
    "or start from random weights with --cfg-options model.backbone.init_cfg=None (accuracy will be lower). "
    "A model with a refiner has a second backbone, model.refiner.backbone: do the same for it."
)
LEAST_DIGITS = 8  # of a SHA-256, as in torchvision's file names
CLOSE = 1e-3  # grey values
STAGE = re.compile(r"layer(\d+)\.(\d+)\.")


@dataclass(frozen=True)
class WeightSource:
    """The network and the pictures that weights are from.

    Attributes:
        depth: Of the ResNet.
        blocks: Residual blocks of each stage.
        channel_order: Order of the planes of its first convolution: ``rgb`` or ``bgr``.
        mean, std: It saw ``(x - mean) / std`` of grey values x in 0 .. 255; a value for each plane, in that order.

    Raises:
        ConfigError: a value is none of these.
    """

    depth: int
    blocks: Sequence[int]
    channel_order: str
    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self) -> None:
        if self.channel_order not in ("rgb", "bgr") or len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ConfigError(
                "init_cfg.source: expected channel_order 'rgb' or 'bgr', three means and three std above 0, found "
                f"{self.channel_order!r}, {[*self.mean]} and {[*self.std]}"
            )


@WEIGHT_INITIALIZERS.register_module()
class PretrainedWeights:
    """Starts a ResNet from the weights in a file: all of its own, and nothing else goes unnoticed.

    ``init_cfg=dict(type='PretrainedWeights', checkpoint=..., sha256=..., source=dict(depth=18, blocks=(2, 2, 2, 2),
    channel_order='rgb', mean=..., std=...))``

    The network must have the blocks of the source, perhaps fewer stages.  The file's classifier and the stages that the
    network lacks are left over; any other difference in names or shapes is an error.  A `GreyResNet` must have the means of
    the source: outside a film is then the same grey to both.  Its `std` may differ, which is made up for in the first
    convolution.  With a single channel, that has the sum of the three planes, and differences of their means are made up
    for in the normalisation behind it: the same, except for pixels at the edge, next to which is the average grey.

    Args:
        checkpoint: ``.pth`` or ``.safetensors`` file, or a URL (not ``torchvision://``, which needs a torchvision that can
            be imported).
        sha256: The file's SHA-256, or its first digits.
        source: Arguments of `WeightSource`.

    Raises:
        ConfigError: `sha256` or `source` is invalid, or the network isn't one of the source's.
        CheckpointError: the weights can't be had, or aren't those that are declared.
    """

    def __init__(self, checkpoint: str, sha256: str, source: Mapping[str, Any]) -> None:
        if not re.fullmatch(rf"[0-9a-f]{{{LEAST_DIGITS},64}}", str(sha256)):
            raise ConfigError(
                f"init_cfg.sha256: expected {LEAST_DIGITS} to 64 digits of a SHA-256, found {sha256!r}: "
                f"sha256sum {checkpoint}"
            )
        self.checkpoint, self.sha256 = str(checkpoint), sha256
        self.source = WeightSource(**source)

    def __call__(self, module: Any) -> None:
        """Load the weights into `module`, a ResNet."""
        weights = self._adapted(self._read(), module)
        own = module.state_dict()
        stages = int(module.num_stages)
        spare = {name for name in set(weights) - set(own) if _is_spare(name, stages)}
        kept = {name: value for name, value in weights.items() if name not in spare}
        counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
        if faults := state_dict_faults({**counters, **kept}, own):
            raise CheckpointError(f"{self.checkpoint}: its weights aren't those of the backbone: {faults}")
        module.load_state_dict({**counters, **kept})
        over = sorted({name.split(".")[0] for name in spare})
        left = f"; left over: {', '.join(over)}" if over else ""
        print_log(f"{len(kept)} tensors from {self.checkpoint} ({self.sha256[:LEAST_DIGITS]}){left}", "current")

    def _read(self) -> dict[str, Tensor]:
        """The weights in the file, in float32."""
        try:
            content = CheckpointLoader.load_checkpoint(self.checkpoint, map_location="cpu")
        except (URLError, ConnectionError, TimeoutError, FileNotFoundError) as error:
            raise CheckpointError(f"can't get the pretrained weights {self.checkpoint}: {error}. {WAYS_OUT}") from error
        found = hashlib.sha256(_local(self.checkpoint).read_bytes()).hexdigest()
        if not found.startswith(self.sha256):
            raise CheckpointError(
                f"{self.checkpoint}: its SHA-256 is {found}, but the config declares {self.sha256}: get it again, or declare "
                "this file (init_cfg.sha256 and source)"
            )
        weights = {name: value.float() for name, value in get_weights(content).items()}
        blocks = self._blocks_of(weights)
        if blocks != [*self.source.blocks]:
            raise CheckpointError(
                f"{self.checkpoint}: stages of {blocks} blocks, but init_cfg.source declares {[*self.source.blocks]}"
            )
        return weights

    @staticmethod
    def _blocks_of(weights: Mapping[str, Tensor]) -> list[int]:
        places = {(int(found[1]), int(found[2])) for found in map(STAGE.match, weights) if found}
        stages = sorted({stage for stage, _ in places})
        return [1 + max(block for stage, block in places if stage == each) for each in stages]

    def _adapted(self, weights: dict[str, Tensor], module: Any) -> dict[str, Tensor]:
        """`weights` for the network's own blocks and normalisation, which are checked."""
        source, own = self.source, (module.depth, [*module.stage_blocks])
        if own != (source.depth, [*source.blocks][: len(own[1])]):
            raise ConfigError(
                f"{self.checkpoint}: is of a ResNet of depth {source.depth} with {[*source.blocks]} blocks, but the backbone "
                f"has depth {own[0]} and {own[1]}: set depth={source.depth}, blocks={tuple(source.blocks)} of a GreyResNet"
            )
        if not hasattr(module, "mean"):
            return weights
        mean, std = (torch.tensor(each).reshape(1, -1, 1, 1) for each in (source.mean, source.std))
        grey = module.mean.shape[1] == 1
        if (module.mean - (mean.mean() if grey else mean)).abs().max() > CLOSE:
            raise ConfigError(
                f"{self.checkpoint}: is for means of {[*source.mean]}, but the backbone has "
                f"{module.mean.flatten().tolist()}: set mean={tuple(source.mean)} in the backbone, std={tuple(source.std)}"
            )
        first = weights["conv1.weight"] / std
        if grey:
            brighter = (first * (mean.mean() - mean)).sum(dim=(1, 2, 3))
            weights["bn1.running_mean"] = weights["bn1.running_mean"] - brighter
            first = first.sum(1, keepdim=True)
        weights["conv1.weight"] = first * module.std
        return weights


def _is_spare(name: str, stages: int) -> bool:
    """Whether `name` is of the classifier or of a later stage than those of the network."""
    stage = STAGE.match(name)
    return name.startswith("fc.") or (stage is not None and int(stage[1]) > stages)


def _local(checkpoint: str) -> Path:
    """The file of a checkpoint; one from a URL is in torch hub's folder once it was loaded."""
    if urlparse(checkpoint).scheme in ("http", "https"):
        return Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(urlparse(checkpoint).path)
    return Path(checkpoint).expanduser()
