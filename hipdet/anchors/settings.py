"""What a set of anchors changes in a config: anchors, and the feature map that they need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.errors import ConfigError

IMAGE_SIDE = 224  # pixels of the padded square, where a config doesn't say
RESNETS = ("ResNet", "GreyResNet")
STRIDES = {4: 32, 3: 16, 2: 8}  # pixels between the cells of a ResNet's stages


def image_side(base: Mapping[str, Any]) -> int:
    """Side in pixels of the square that the network of `base` sees."""
    return int(base.get("image_size", (IMAGE_SIDE,))[0])


def maps_of(stage: int, side: int) -> list[int]:
    """Cells along a side of the map behind `stage`, and of those that stride-2 convolutions make of it: 7, 4, 2, 1."""
    cells = [side // STRIDES[stage]]
    while cells[-1] > 1:
        cells.append(-(-cells[-1] // 2))
    return cells


def all_grids(side: int = IMAGE_SIDE) -> list[int]:
    """Every grid that a ResNet on `side` px offers, ascending: 1, 2, 4, 7, 14, 28."""
    return sorted({cells for stage in STRIDES for cells in maps_of(stage, side)})


def coarsest_of_backbone(side: int = IMAGE_SIDE) -> int:
    """Cells along a side of a ResNet's last map: 7."""
    return side // max(STRIDES.values())


def feature_map(grids: tuple[int, ...], side: int = IMAGE_SIDE) -> tuple[int, list[int]]:
    """The deepest stage of a ResNet that is as fine as the finest of `grids`, and the stride-2 convolutions behind it.

    Returns:
        Stage, and for every grid the convolutions: ``(4, [1, 2, 3])`` for grids 4, 2, 1 on 224 px (7 -> 4 -> 2 -> 1).

    Raises:
        ConfigError: grids that no stage leads to.
    """
    for stage in STRIDES:
        cells = maps_of(stage, side)
        if set(grids) <= set(cells):
            return stage, [cells.index(grid) for grid in grids]
    raise ConfigError(f"no feature map for grids {list(grids)} on {side} px: a ResNet offers {all_grids(side)}")


def anchor_settings(anchors: AnchorSet, base: Mapping[str, Any]) -> dict[str, Any]:
    """What `anchors` change in `base`, for mmengine to merge.

    Args:
        anchors: Square ones become a ``SquareAnchorGenerator``, others mmdet's own ``AnchorGenerator``.
        base: A config whose ResNet ends with layer4 and feeds a ``HipSSDHead``.

    Raises:
        ConfigError: another backbone, or grids that it can't have.
    """
    side = image_side(base)
    stage, downsamples = feature_map(anchors.grids, side)
    changed: dict[str, Any] = dict(model=dict(bbox_head={}))
    if stage < max(STRIDES):
        changed = _up_to(stage, base)
    changed["model"]["bbox_head"].update(downsamples=downsamples, anchor_generator=_generator(anchors, side))
    return changed


def _generator(anchors: AnchorSet, side: int) -> dict[str, Any]:
    strides = [side // grid for grid in anchors.grids]
    if anchors.aspects == (1.0,):
        steps = anchors.steps
        scales = list(anchors.scales) if steps is None else dict(zip(("start", "stop", "step"), steps))
        return dict(strides=strides, scales=scales)
    # mmdet's ratios are height / width; its centres lie at offset x base size, which is the stride
    return dict(
        _delete_=True,
        type="AnchorGenerator",
        strides=strides,
        scales=list(anchors.scales),
        ratios=list(anchors.aspects),
        center_offset=0.5,
    )


def _up_to(stage: int, base: Mapping[str, Any]) -> dict[str, Any]:
    """A finer map can't come from layer4: the backbone ends with an earlier stage, of fewer channels (recipe, "Head")."""
    backbone, head = base["model"]["backbone"], base["model"]["bbox_head"]
    last = max(STRIDES)
    if backbone["type"] not in RESNETS or backbone.get("num_stages", last) != last:
        raise ConfigError(f"a finer map needs a ResNet with {last} stages to end earlier; found {backbone['type']}")
    model = dict(
        backbone=dict(num_stages=stage, out_indices=(stage - 1,), strides=(1, 2, 2, 2)[:stage], dilations=(1,) * stage),
        bbox_head=dict(in_channels=head["in_channels"] // 2 ** (last - stage)),
    )
    gone = {f"backbone.layer{number}" for number in range(stage + 1, last + 1)}
    groups = [dict(group) for group in base["optim_wrapper"]["paramwise_cfg"]["groups"]]
    for group in groups:
        group["prefixes"] = [prefix for prefix in group["prefixes"] if prefix not in gone]
    for group, earlier in zip(groups, groups[1:]):
        if not group["prefixes"]:  # every stage of the training has something to thaw
            group["prefixes"].append(earlier["prefixes"].pop())
    return dict(model=model, optim_wrapper=dict(paramwise_cfg=dict(groups=groups)))
