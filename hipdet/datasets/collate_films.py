"""Batches of films that are quick to hand over from the loader's workers."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from torch import Tensor


@FUNCTIONS.register_module()
def collate_films(samples: Sequence[dict]) -> dict:
    """mmengine's ``pseudo_collate``, but films of one size are one tensor, and labels travel by value.

    torch hands over every tensor as a file of its own, which for the few numbers of a film's labels takes longer than all
    else.

    Args:
        samples: Of ``PackDetInputs``: ``inputs``, a film ``[C, H, W]``, and ``data_samples``.

    Returns:
        ``inputs``, ``[N, C, H, W]`` or, where sizes differ, a list; ``data_samples``, a list.
    """
    batch = dict(pseudo_collate(samples))
    if len({film.shape for film in batch["inputs"]}) == 1:
        batch["inputs"] = torch.stack(batch["inputs"])
    batch["data_samples"] = ByValue(batch["data_samples"])
    return batch


class ByValue(list):
    """A list whose tensors another process gets as copies of their numbers, not as memory that it shares."""

    def __reduce__(self) -> tuple[Any, ...]:
        stream = io.BytesIO()
        _ValuePickler(stream, pickle.HIGHEST_PROTOCOL).dump(list(self))
        return _arrived, (stream.getvalue(),)


class _ValuePickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Tensor and obj.dtype != torch.bfloat16 and not obj.requires_grad:  # what numpy can hold
            return torch.from_numpy, (obj.numpy(),)
        return NotImplemented


def _arrived(data: bytes) -> list:
    return pickle.loads(data)  # from this program's own worker
