"""Mixed precision without a GPU: convolutions in bfloat16 on processors that have instructions for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import nn


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Forward passes run under autocast to bfloat16, whose range is that of float32: no loss scaling, unlike float16.

    mmengine's ``AmpOptimWrapper`` refuses to work on a CPU.  A processor or GPU without bfloat16 trains in float32.  Weights,
    optimizer, losses and boxes stay in float32 everywhere.

    Args:
        **kwargs: Those of ``OptimWrapper``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._told = False

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of a training step's forward pass."""
        device = next(model.parameters()).device.type
        enabled = has_bfloat16(device)
        if not self._told:
            print_log(f"training on {device} in {'bfloat16' if enabled else 'float32'}", logger="current")
            self._told = True
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16, enabled=enabled):
            yield


def has_bfloat16(device: str) -> bool:
    """Whether the device type ("cpu", "cuda") has instructions for bfloat16: emulated, it would be slower than float32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    # private, and missing from older versions of torch: those train in float32
    asked = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
    return device == "cpu" and any(ask() for ask in asked if ask)
