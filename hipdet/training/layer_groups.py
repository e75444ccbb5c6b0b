"""Layer groups: which parameters are trained together, and how fast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mmdet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from hipdet.errors import ConfigError


def is_under(name: str, prefix: str) -> bool:
    """Whether `name` is `prefix` or a part of it: ``backbone.layer1`` holds ``backbone.layer1.0`` and not ``layer10``."""
    return name == prefix or name.startswith(f"{prefix}.")


def assign_groups(names: Iterable[str], groups: Sequence[Sequence[str]]) -> dict[str, int]:
    """The group of every parameter name, by prefix.

    Raises:
        ConfigError: a name of no group or of two, or a prefix that no name has.
    """
    assigned: dict[str, int] = {}
    for name in names:
        owners = {index for index, group in enumerate(groups) for prefix in group if is_under(name, prefix)}
        if len(owners) != 1:
            raise ConfigError(
                f"paramwise_cfg.groups: parameter {name} is in {len(owners)} groups; exactly one must have a prefix of it"
            )
        assigned[name] = owners.pop()
    for prefix in (prefix for group in groups for prefix in group):
        if not any(is_under(name, prefix) for name in assigned):
            raise ConfigError(
                f"paramwise_cfg.groups: no parameter is under {prefix}; there are {sorted(assigned)[:3]}, ..."
            )
    return assigned


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerGroupOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """One optimizer whose parameter groups are the model's layer groups, from the head to the input.

    ``paramwise_cfg=dict(groups=[dict(prefixes=['bbox_head']), ..., dict(prefixes=['backbone.conv1', ...], lr_mult=0.01)])``.
    Each parameter group keeps its ``prefixes`` for :class:`StagedOneCycleHook`.  A parameter belongs to exactly one group.
    """

    def _validate_cfg(self) -> None:
        groups = self.paramwise_cfg.get("groups")
        if not groups or any(not group.get("prefixes") for group in groups) or self.base_lr is None:
            raise ConfigError(
                "LayerGroupOptimWrapperConstructor: give optimizer.lr and paramwise_cfg.groups with prefixes"
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer over all parameters of `model`, frozen or not: a later stage may train them."""
        model = getattr(model, "module", model)  # unwrap data parallel
        groups = self.paramwise_cfg["groups"]
        parameters = dict(model.named_parameters())
        assigned = assign_groups(parameters, [group["prefixes"] for group in groups])
        param_groups: list[dict[str, Any]] = [
            dict(
                params=[parameters[name] for name, owner in assigned.items() if owner == index],
                lr=self.base_lr * group.get("lr_mult", 1.0),
                prefixes=list(group["prefixes"]),
            )
            for index, group in enumerate(groups)
        ]
        optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=param_groups))
        wrapper = dict(self.optim_wrapper_cfg)
        wrapper.setdefault("type", "OptimWrapper")
        return OPTIM_WRAPPERS.build(wrapper, default_args=dict(optimizer=optimizer))
