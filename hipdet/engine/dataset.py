"""A COCO data set that is validated before training, the random numbers of its workers, and batches of its films."""

from __future__ import annotations

import io
import logging
import pickle
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.utils.data import get_worker_info

from hipdet.core.annotations import TURNED, VIEW, as_crowd, drawn_box
from hipdet.core.classes import mirrored_labels
from hipdet.core.configs import in_place
from hipdet.core.errors import ConfigError, DatasetError
from hipdet.core.files import path_below
from hipdet.data.film_status import labelled
from hipdet.data.validate.check import require_valid
from hipdet.engine.transforms import RandomSimilarity, mirroring_steps
from hipdet.evaluation.roi_metric import StrictCoco

log = logging.getLogger(__name__)


def seed_everything(*numbers: int) -> None:
    """Seed Python's, numpy's and torch's generators from all `numbers` together; none may be negative."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@DATASETS.register_module()
class RoiDataset(CocoDataset):
    """``CocoDataset`` that lists every fault of its annotation file and films instead of dropping them silently.

    Each film has ``upright``: whether it is known to be, as it has an ROI and its ``view`` isn't ``turned``.  It also has
    ``mirrored_labels``: for each label, its label in the mirror image, from ``mirrored_pairs`` of
    ``metainfo`` (see :mod:`hipdet.core.classes`).

    Films that are excluded, incomplete or unchecked in `hipdet annotate` are left out and counted in the log
    (:mod:`hipdet.data.film_status`); so are films without an ROI that ``filter_cfg`` drops.

    The data root ``data`` is ``$HIPDET_DATA`` if that is set, see :func:`hipdet.core.configs.in_place`.

    Args:
        verify_films: Also check every film: that it exists, is complete, and has the declared size when upright.  Only
            headers are read, so thousands of films take seconds.
        unfinished: Use incomplete and unchecked films too.

    Raises:
        DatasetError: there are faults; the message lists all, with file, id, what was found and what was expected.
        ConfigError: the pipeline mirrors films, but doesn't swap the classes of left and right.
    """

    METAINFO = dict(classes=("hip",), palette=[(220, 20, 60)])
    COCOAPI = StrictCoco

    def __init__(self, *args: Any, verify_films: bool = True, unfinished: bool = False, **kwargs: Any) -> None:
        self.verify_films, self.unfinished = verify_films, unfinished
        self._seeds: Tensor | None = None  # in memory that workers share
        self._seeded: list[int] = []  # the seeds that this process uses
        super().__init__(*args, **kwargs)

    def _join_prefix(self) -> None:
        """As in BaseDataset, but with the data root from the environment."""
        self.data_root: str = in_place(self.data_root or "")
        super()._join_prefix()

    def load_data_list(self) -> list[dict]:
        """Validate, then load the labelled films as CocoDataset does."""
        classes = self.metainfo["classes"]
        if isinstance(classes, str):
            raise DatasetError(f"classes={classes!r} is a string, expected a tuple: write classes=({classes!r},)")
        self._mirrored_labels = self.labels_of_mirror_images(list(mirroring_steps(self.pipeline)))
        root = self.data_prefix.get("img") if self.verify_films else None
        coco = require_valid(self.ann_file, image_root=root, classes=classes)
        taken = labelled(coco, self.ann_file, self.unfinished)
        if taken.left_out:
            log.warning("%s: %s", self.ann_file, taken)
        image_ids = {image["id"] for image in taken.coco["images"]}
        return [film for film in super().load_data_list() if film["img_id"] in image_ids]

    def filter_data(self) -> list[dict]:
        """Filter as CocoDataset does, with a warning."""
        kept = super().filter_data()
        if dropped := len(self.data_list) - len(kept):
            log.warning("%s: filter_cfg %s drops %d films", self.ann_file, self.filter_cfg, dropped)
        return kept

    def parse_data_info(self, raw_data_info: dict) -> dict | list[dict]:
        """As in CocoDataset, with ``mirrored_labels``, and with file names that :func:`name_of` escaped.

        ``ignore`` is treated as ``iscrowd``: CocoDataset would drop the box, so that its place became background.  In
        training, a square that reaches over the edge of the film is whole.
        """
        annotations = [as_crowd(annotation) for annotation in raw_data_info["raw_ann_info"]]
        if not self.test_mode:
            annotations = [{**annotation, "bbox": drawn_box(annotation)} for annotation in annotations]
        film = super().parse_data_info({**raw_data_info, "raw_ann_info": annotations})
        path = path_below(Path(self.data_prefix.get("img") or ""), raw_data_info["raw_img_info"]["file_name"])
        upright = bool(annotations) and raw_data_info["raw_img_info"].get(VIEW) != TURNED
        return dict(film, img_path=str(path), mirrored_labels=self._mirrored_labels, upright=upright)

    def labels_of_mirror_images(self, steps: Sequence[Any]) -> tuple[int, ...]:
        """The ``mirrored_labels``; in training, all `steps` must swap labels by them.

        Args:
            steps: Steps that mirror films, see :func:`hipdet.engine.transforms.mirroring_steps`.

        Raises:
            ConfigError: a step doesn't swap them.
        """
        where = f"RoiDataset of {self.ann_file}"
        labels = mirrored_labels(self.metainfo, where, type(steps[0]).__name__ if steps else "")
        blind = [type(step).__name__ for step in steps if not isinstance(step, RandomSimilarity)]
        if blind and not self.test_mode and labels != tuple(range(len(labels))):
            raise ConfigError(
                f"{where}: {blind[0]} mirrors films but doesn't swap the classes of "
                f"mirrored_pairs={self.metainfo['mirrored_pairs']}: mirror with RandomSimilarity(flip_prob=...) instead"
            )
        return labels

    def seed_workers(self, *numbers: int) -> None:
        """Seed workers, also running ones, from `numbers` and their own number, from their next film on."""
        if self._seeds is None or not self._seeds.is_shared():  # a copy's isn't shared
            self._seeds = torch.zeros(len(numbers), dtype=torch.int64).share_memory_()
        self._seeds.copy_(torch.tensor(numbers))

    def __iter__(self) -> Iterator[Any]:
        """Every film once, a packed grey one in three equal channels.

        mmdet's ``analysis_tools/browse_dataset.py`` iterates, and swaps red and blue; training and testing ask for films
        by number.
        """
        for index in range(len(self)):
            film = self[index]
            if "inputs" in film and len(film["inputs"]) == 1:
                film["inputs"] = film["inputs"].expand(3, -1, -1)
            yield film

    def __getitem__(self, index: int) -> Any:
        """As in BaseDataset, after applying new seeds in a worker."""
        worker = get_worker_info()
        if worker is not None and self._seeds is not None and (numbers := self._seeds.tolist()) != self._seeded:
            self._seeded = numbers
            seed_everything(*numbers, worker.id)
        return super().__getitem__(index)


@FUNCTIONS.register_module()
def collate_films(samples: Sequence[dict]) -> dict:
    """As mmengine's ``pseudo_collate``, but films of one size are one tensor, and labels are passed by value.

    torch passes every tensor between processes as a file of its own, which for the few numbers of a film's labels takes
    longer than everything else.

    Args:
        samples: Outputs of ``PackDetInputs``: ``inputs``, a film ``[C, H, W]``, and ``data_samples``.

    Returns:
        ``inputs``, ``[N, C, H, W]`` or, if sizes differ, a list; ``data_samples``, a list.
    """
    batch = dict(pseudo_collate(samples))
    if len({film.shape for film in batch["inputs"]}) == 1:
        batch["inputs"] = torch.stack(batch["inputs"])
    batch["data_samples"] = ByValue(batch["data_samples"])
    return batch


class ByValue(list):
    """A list whose tensors are passed to another process as copies, not as shared memory."""

    def __reduce__(self) -> tuple[Any, ...]:
        stream = io.BytesIO()
        _ValuePickler(stream, pickle.HIGHEST_PROTOCOL).dump(list(self))
        return pickle.loads, (stream.getvalue(),)  # from this program's own worker


class _ValuePickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Tensor and obj.dtype != torch.bfloat16 and not obj.requires_grad:  # what numpy can hold
            return torch.from_numpy, (obj.numpy(),)
        return NotImplemented
