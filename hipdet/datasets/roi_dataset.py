"""A COCO data set that is verified before anything is trained on it."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from torch import Tensor
from torch.utils.data import get_worker_info

from hipdet.coco.data_root import in_fold, in_place
from hipdet.errors import DatasetError
from hipdet.random_numbers import seed_everything
from hipdet.validation import require_valid


@DATASETS.register_module()
class RoiDataset(CocoDataset):
    """``CocoDataset`` that lists every fault of its annotation file and films instead of dropping them silently.

    The data root ``data`` is ``$HIPDET_DATA`` where that is set, see :func:`hipdet.coco.data_root.in_place`.

    Args:
        verify_films: Also look at every film: there, whole, upright size as declared.  Headers only, so thousands of films
            take seconds.

    Raises:
        DatasetError: with all faults, each naming file, id, what was found and what was expected.
    """

    METAINFO = dict(classes=("hip",), palette=[(220, 20, 60)])

    def __init__(self, *args: Any, verify_films: bool = True, **kwargs: Any) -> None:
        self.verify_films = verify_films
        self._seeds: Tensor | None = None  # in memory that workers share
        self._seeded: list[int] = []  # what this process has followed
        super().__init__(*args, **kwargs)

    def _join_prefix(self) -> None:
        """As BaseDataset's, below the data root that the environment names."""
        self.data_root: str = in_place(self.data_root or "")
        self.ann_file: str = in_fold(self.ann_file)
        super()._join_prefix()

    def load_data_list(self) -> list[dict]:
        """Verify, then load as CocoDataset does."""
        classes = self.metainfo["classes"]
        if isinstance(classes, str):
            raise DatasetError(f"classes={classes!r} is a text; for one class write a tuple: classes=({classes!r},)")
        root = self.data_prefix.get("img") if self.verify_films else None
        require_valid(self.ann_file, image_root=root, classes=classes)
        return super().load_data_list()

    def seed_workers(self, *numbers: int) -> None:
        """From their next film on, workers draw what follows from `numbers` and their own; also workers that run already."""
        if self._seeds is None or not self._seeds.is_shared():  # a copy's isn't
            self._seeds = torch.zeros(len(numbers), dtype=torch.int64).share_memory_()
        self._seeds.copy_(torch.tensor(numbers))

    def __getitem__(self, index: int) -> Any:
        """As BaseDataset's."""
        worker = get_worker_info()
        if worker is not None and self._seeds is not None and (numbers := self._seeds.tolist()) != self._seeded:
            self._seeded = numbers
            seed_everything(*numbers, worker.id)
        return super().__getitem__(index)
