"""What a set of anchors changes in a config: the anchors and the feature map that they need; also its receptive field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.core.errors import ConfigError

IMAGE_SIDE = 224  # side of the padded square in pixels, unless a config sets image_size
RESNETS = ("ResNet", "GreyResNet")
REFINING = "RefiningDetector"
STRIDES = {4: 32, 3: 16, 2: 8}  # in pixels, of a ResNet's stages
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BASIC = (18, 34)  # depths with two 3x3 convolutions in a block; the others have one between two 1x1


def receptive_field(depth: int, stage: int, downsamples: int = 0, reduction: int = 1) -> int:
    """Receptive field (side in pixels) of a cell of ``HipSSDHead`` after `stage` of a ResNet of style ``pytorch``.

    This is the theoretical one: pixels near its edge have almost no weight (Luo et al., "Understanding the effective
    receptive field", 2016).

    Args:
        depth: 18, 34, 50, 101 or 152.
        stage: Last stage, 1 to 4.
        downsamples: Stride-2 convolutions of the head between map and anchors.
        reduction: Factor by which the film is reduced for the ResNet.
    """
    wide = [(7, 2), (3, 2)]  # kernel and stride of the layers that widen the field; the second one is pooling
    for number, blocks in enumerate(BLOCKS[depth][:stage]):
        for block in range(blocks):
            wide.append((3, 2 if number > 0 and block == 0 else 1))
            if depth in BASIC:
                wide.append((3, 1))
    field = jump = reduction
    for kernel, stride in (*wide, (3, 1), *[(3, 2)] * downsamples, (3, 1)):
        field += (kernel - 1) * jump
        jump *= stride
    return field


def image_side(base: Mapping[str, Any]) -> int:
    """Side in pixels of the padded square in `base`."""
    return int(base.get("image_size", (IMAGE_SIDE,))[0])


@dataclass(frozen=True)
class Backbone:
    """The settings that determine which feature maps there are.

    Attributes:
        side: Side of the padded square in pixels.
        stages: Number of the ResNet's stages; the head takes the map of the last one.
        reduction: Factor by which the square is reduced for the ResNet (``RefiningDetector``).
        depth: Depth of the ResNet, for the receptive field.
    """

    side: int = IMAGE_SIDE
    stages: int = 4
    reduction: int = 1
    depth: int = 101  # the paper's

    @classmethod
    def of(cls, base: Mapping[str, Any]) -> Backbone:
        """The backbone of a config with a ResNet."""
        model = base["model"]
        reduction = model.get("reduction", 2) if model.get("type") == REFINING else 1
        backbone = model["backbone"]
        return cls(image_side(base), backbone.get("num_stages", 4), reduction, backbone["depth"])

    @property
    def ends(self) -> list[int]:
        """Stages that the ResNet can end with, the deepest first."""
        return [stage for stage in STRIDES if stage <= self.stages]

    def get_map_sides(self, stage: int) -> list[int]:
        """Cells along a side of the map after `stage`, and after each further stride-2 convolution: 7, 4, 2, 1."""
        cells = [self.side // (STRIDES[stage] * self.reduction)]
        while cells[-1] > 1:
            cells.append(-(-cells[-1] // 2))
        return cells

    @property
    def grids(self) -> list[int]:
        """Every grid that the backbone offers, ascending: 1, 2, 4, 7, 14, 28."""
        return sorted({cells for stage in self.ends for cells in self.get_map_sides(stage)})

    @property
    def coarsest(self) -> int:
        """Cells along a side of the ResNet's last map: 7."""
        return self.get_map_sides(self.stages)[0]

    def feature_map(self, grids: tuple[int, ...]) -> tuple[int, list[int]]:
        """The deepest stage from which stride-2 convolutions lead to all `grids`, and their numbers.

        Returns:
            The stage, and the number of convolutions for each grid: ``(4, [1, 2, 3])`` for grids 4, 2, 1 on 224 px
            (7 -> 4 -> 2 -> 1).

        Raises:
            ConfigError: no stage leads to these grids.
        """
        for stage in self.ends:
            cells = self.get_map_sides(stage)
            if set(grids) <= set(cells):
                return stage, [cells.index(grid) for grid in grids]
        smaller = f" reduced by {self.reduction}" if self.reduction > 1 else ""
        raise ConfigError(
            f"no feature map for grids {list(grids)} on {self.side} px{smaller}: a ResNet of {self.stages} stages offers "
            f"{self.grids}: choose among these"
        )

    def receptive_field(self, grids: tuple[int, ...]) -> int:
        """Receptive field (side in pixels) of a cell of the coarsest of `grids`."""
        stage, downsamples = self.feature_map(grids)
        return receptive_field(self.depth, stage, max(downsamples), self.reduction)


def anchor_settings(anchors: AnchorSet, base: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `base` that `anchors` change, for mmengine to merge.

    Args:
        anchors: Square anchors become a ``SquareAnchorGenerator``, others mmdet's own ``AnchorGenerator``.
        base: A config whose ResNet feeds a ``HipSSDHead``.

    Raises:
        ConfigError: the backbone isn't a ResNet, or can't have these grids.
    """
    backbone = Backbone.of(base)
    stage, downsamples = backbone.feature_map(anchors.grids)
    changed: dict[str, Any] = dict(model=dict(bbox_head={})) if stage == backbone.stages else _up_to(stage, base)
    generator: dict[str, Any] = dict(
        strides=[backbone.side // grid for grid in anchors.grids], scales=list(anchors.scales)
    )
    if anchors.aspects != (1.0,):
        # mmdet's ratios are height / width; its centres lie at offset x base size, which is the stride
        ratios = list(anchors.aspects)
        generator = dict(_delete_=True, type="AnchorGenerator", **generator, ratios=ratios, center_offset=0.5)
    elif anchors.steps is not None:
        generator.update(scales=dict(zip(("start", "stop", "step"), anchors.steps)))
    changed["model"]["bbox_head"].update(downsamples=downsamples, anchor_generator=generator)
    return changed


def _up_to(stage: int, base: Mapping[str, Any]) -> dict[str, Any]:
    """A finer map comes from an earlier stage: the backbone ends there, with fewer channels (docs/method.md, "Head")."""
    backbone, head = base["model"]["backbone"], base["model"]["bbox_head"]
    if backbone["type"] not in RESNETS:
        raise ConfigError(
            f"model.backbone.type is {backbone['type']!r}, expected one of {', '.join(RESNETS)}, which can end earlier for "
            f"a finer map: choose a coarser grid or another base config"
        )
    last = backbone.get("num_stages", max(STRIDES))
    model = dict(
        backbone=dict(num_stages=stage, out_indices=(stage - 1,), strides=(1, 2, 2, 2)[:stage], dilations=(1,) * stage),
        bbox_head=dict(in_channels=head["in_channels"] // 2 ** (last - stage)),
    )
    gone = {f"backbone.layer{number}" for number in range(stage + 1, last + 1)}
    groups = [dict(group) for group in base["optim_wrapper"]["paramwise_cfg"]["groups"]]
    for group in groups:
        group["prefixes"] = [prefix for prefix in group["prefixes"] if prefix not in gone]
    for group, earlier in pairwise(groups):
        if not group["prefixes"]:  # every training stage must have something to unfreeze
            group["prefixes"].append(earlier["prefixes"].pop())
    return dict(model=model, optim_wrapper=dict(paramwise_cfg=dict(groups=groups)))
