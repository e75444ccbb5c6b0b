"""Random numbers of the loader's workers, which outlive the epoch, and of the process itself."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.registry import init_default_scope
from PIL import Image
from torch.utils.data import DataLoader

from hipdet.engine.hooks import EpochSeedHook

FILMS = 5


class Draw:
    """A step of the pipeline that draws from all three generators that augmentations use."""

    def __call__(self, results):
        import random

        return random.random(), float(np.random.rand()), float(torch.rand(1))


@pytest.fixture
def dataset(tmp_path):
    init_default_scope("mmdet")
    images = [dict(id=number, file_name=f"{number}.png", width=40, height=40) for number in range(1, FILMS + 1)]
    for image in images:
        Image.new("L", (40, 40)).save(tmp_path / image["file_name"])
    boxes = [dict(id=n, image_id=n, category_id=1, bbox=[4, 4, 9, 9], area=81, iscrowd=0) for n in range(1, FILMS + 1)]
    coco = dict(images=images, annotations=boxes, categories=[dict(id=1, name="hip")])
    (tmp_path / "ann.json").write_text(json.dumps(coco))
    return lambda: DATASETS.build(
        dict(
            type="RoiDataset", data_root=str(tmp_path), ann_file="ann.json", data_prefix=dict(img=""), pipeline=[Draw()]
        )
    )


def epochs(loader, numbers, seed=0):
    """What the films of epochs `numbers` draw, and what the process draws within the epoch."""
    hook = EpochSeedHook()
    drawn = []
    for epoch in numbers:
        runner = SimpleNamespace(seed=seed, epoch=epoch, train_dataloader=loader)
        hook.before_train_epoch(runner)
        films = []
        for number, batch in enumerate(loader):
            hook.before_train_iter(runner, number)
            films += batch
            if number == 0:
                own = float(torch.rand(1))
        drawn.append((films, own))
    return drawn


def loader(dataset, workers):
    return DataLoader(dataset, 2, num_workers=workers, persistent_workers=workers > 0, collate_fn=list)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_draws_what_a_straight_one_does(dataset, workers):
    straight = epochs(loader(dataset(), workers), [0, 1, 2])
    assert epochs(loader(dataset(), workers), [1, 2]) == straight[1:]
    assert epochs(loader(dataset(), workers), [2], seed=1) != straight[2:]
    assert len({films[0] for films, _ in straight}) == 3  # every epoch another
    assert len({own for _, own in straight}) == 3


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "wrapped", [lambda make: RepeatDataset(make(), 2), lambda make: ConcatDataset([make(), make()])]
)
def test_no_number_is_drawn_twice_in_an_epoch(dataset, wrapped, workers):
    for films, _ in epochs(loader(wrapped(dataset), workers), [0, 1]):
        assert len(films) == 2 * FILMS
        assert all(len(set(values)) == 2 * FILMS for values in zip(*films))


def test_copies_are_seeded_too(dataset):
    original = dataset()
    epochs(loader(original, 2), [0])
    subset = original.get_subset([0, 1, 2])
    (first, _), (second, _) = epochs(loader(subset, 2), [0, 1])
    assert not set(first) & set(second)
    assert epochs(loader(subset, 2), [1]) == [(second, _)]
