"""Batches against mmengine's, and what handing one over from a worker costs."""

import functools
import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from mmengine.structures import InstanceData
from torch.multiprocessing import reductions
from torch.utils.data import DataLoader

from hipdet.engine.dataset import collate_films

ALIKE = [(40, 30)] * 4
DIFFERENT = [(40, 30), (20, 50), (40, 30)]


def make_samples(shapes):
    """Films with 0, 1, 2, ... labels."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for count, shape in enumerate(shapes):
        boxes = torch.rand(count, 4, generator=generator)
        labels = InstanceData(bboxes=HorizontalBoxes(boxes, in_mode="xyxy"), labels=torch.arange(count))
        sample = DetDataSample(metainfo=dict(img_id=count, ori_shape=shape), gt_instances=labels)
        samples.append(dict(inputs=torch.rand(1, *shape, generator=generator), data_samples=sample))
    return samples


@pytest.mark.parametrize("shapes", [ALIKE, DIFFERENT], ids=["alike", "different"])
def test_a_batch_holds_what_mmengines_holds_before_and_after_the_journey(shapes):
    samples = make_samples(shapes)
    expected = pseudo_collate(samples)
    batch = collate_films(samples)
    assert isinstance(batch["inputs"], torch.Tensor) == (shapes == ALIKE)
    for found in (batch, pickle.loads(ForkingPickler.dumps(batch))):
        assert sorted(found) == ["data_samples", "inputs"]
        assert all(map(torch.equal, found["inputs"], expected["inputs"]))
        assert len(found["data_samples"]) == len(shapes)
        for mine, theirs in zip(found["data_samples"], expected["data_samples"]):
            assert mine.metainfo == theirs.metainfo
            assert type(mine.gt_instances.bboxes) is HorizontalBoxes
            assert torch.equal(mine.gt_instances.bboxes.tensor, theirs.gt_instances.bboxes.tensor)
            assert torch.equal(mine.gt_instances.labels, theirs.gt_instances.labels)
            assert mine.gt_instances.labels.dtype == torch.int64


@pytest.mark.parametrize(("collate", "files"), [(collate_films, 1), (pseudo_collate, 4 + 2 * 3)])
def test_a_batch_comes_as_one_file(collate, files, monkeypatch):
    """mmengine's comes as one for each film and for each of its tensors that isn't empty."""
    opened = []
    rebuild = reductions.rebuild_storage_fd

    @functools.wraps(rebuild)  # pickled by its name
    def counted(*args):
        opened.append(args)
        return rebuild(*args)

    monkeypatch.setattr(reductions, "rebuild_storage_fd", counted)
    (batch,) = DataLoader(make_samples(ALIKE), batch_size=4, num_workers=1, collate_fn=collate, timeout=60)
    assert len(batch["data_samples"]) == 4
    assert len(opened) == files


def test_labels_that_arrived_can_be_written_to():
    batch = pickle.loads(ForkingPickler.dumps(collate_films(make_samples(ALIKE))))
    batch["data_samples"][1].gt_instances.labels += 1
    assert batch["data_samples"][1].gt_instances.labels.tolist() == [1]


def test_tensors_that_numpy_cannot_hold():
    samples = make_samples(ALIKE)
    samples[1]["data_samples"].gt_instances.bboxes = torch.ones(1, 4, dtype=torch.bfloat16)
    samples[2]["data_samples"].gt_instances.bboxes = torch.ones(2, 4, requires_grad=True)
    batch = pickle.loads(ForkingPickler.dumps(collate_films(samples)))
    _, half, learned, _ = (sample.gt_instances.bboxes for sample in batch["data_samples"])
    assert torch.equal(half, torch.ones(1, 4, dtype=torch.bfloat16))
    assert torch.equal(learned, torch.ones(2, 4))


def test_configs_find_it():
    assert FUNCTIONS.get("collate_films") is collate_films
