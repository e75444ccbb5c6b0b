"""The same films in the same order as mmengine's loop, but loaded earlier; with mmengine's own runner.

bfloat16 where the processor has it; weights and gradients stay float32.
"""

import copy
import multiprocessing
import time

import pytest
import torch
from mmdet.registry import DATASETS, HOOKS, OPTIM_WRAPPERS
from mmengine.dataset import Compose
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

import hipdet.plugin  # noqa: F401
from hipdet.engine import loop as bfloat16_optim_wrapper

FILMS, BATCH, EPOCHS = 6, 2, 3
PATIENCE = 20  # seconds that a batch waits for a film of the next epoch


@DATASETS.register_module()
class Numbers(Dataset):
    """Numbers as films; counts in shared memory how many were loaded."""

    def __init__(self):
        self.loaded = multiprocessing.Value("q")
        self.pipeline = Compose([])

    def __len__(self):
        return FILMS

    def __getitem__(self, index):
        with self.loaded:
            self.loaded.value += 1
        return self.pipeline(index)


class Counting(BaseModel):
    """Learns nothing, and records its inputs."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def train_step(self, data, optim_wrapper):
        self.seen.append([*data, float(torch.rand(1))])
        return dict(loss=self.weight)

    def forward(self, *args, **kwargs):
        raise NotImplementedError


def train(tmp_path, loop, workers, *hooks, persistent=True):
    """The model's batches, each with a random number of the model, and the data set."""
    model = Counting()
    runner = Runner(
        model,
        str(tmp_path),
        train_dataloader=dict(
            dataset=dict(type="Numbers"),
            batch_size=BATCH,
            num_workers=workers,
            persistent_workers=persistent and workers > 0,
            prefetch_factor=1 if workers else None,
            sampler=dict(type="DefaultSampler", shuffle=True),
        ),
        train_cfg=dict(type=loop, max_epochs=EPOCHS),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        custom_hooks=list(hooks),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", save_last=False)),
        randomness=dict(seed=1),
        default_scope="mmdet",
        experiment_name=f"{loop}{workers}{tmp_path.name}{time.time()}",
        log_level="ERROR",
    )
    before = multiprocessing.active_children()
    runner.train()
    loader = runner.train_dataloader
    if loop == "SteadyTrainLoop":
        assert multiprocessing.active_children() == before  # its workers have ended
    loader._iterator = None  # mmengine leaves its workers running
    return model.seen, loader.dataset


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("persistent", [True, False])
def test_the_order_is_mmengines(tmp_path, workers, persistent):
    expected, _ = train(tmp_path, "EpochBasedTrainLoop", workers, persistent=persistent)
    found, dataset = train(tmp_path, "SteadyTrainLoop", workers, persistent=persistent)
    assert [batch[:-1] for batch in found] == [batch[:-1] for batch in expected]
    assert len(found) == EPOCHS * FILMS // BATCH
    assert dataset.loaded.value == EPOCHS * FILMS  # and no more


@HOOKS.register_module()
class AwaitTheNextEpoch(Hook):
    """At each epoch's last batch waits until a film of the next is loaded."""

    def __init__(self):
        self.came = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx + 1 == FILMS // BATCH:
            enough = (runner.epoch + 1) * FILMS
            end = time.monotonic() + (PATIENCE if runner.epoch + 1 < EPOCHS else 1)
            while runner.train_dataloader.dataset.loaded.value <= enough and time.monotonic() < end:
                time.sleep(0.01)
            self.came.append(runner.train_dataloader.dataset.loaded.value > enough)


def test_the_next_epoch_is_loaded_while_the_last_batch_trains(tmp_path):
    hook = AwaitTheNextEpoch()
    train(tmp_path, "SteadyTrainLoop", 1, hook)
    assert hook.came == [True, True, False]


def test_random_numbers_of_the_network_are_those_of_separate_epochs(tmp_path):
    """A run that ends after an epoch, to be resumed, starts no further one, but its numbers must be the same."""
    found, _ = train(tmp_path, "SteadyTrainLoop", 1, dict(type="EpochSeedHook"))
    expected, _ = train(tmp_path, "EpochBasedTrainLoop", 1, dict(type="EpochSeedHook"))
    assert found == expected


def test_a_pipeline_that_is_switched_between_epochs(tmp_path):
    switch = dict(type="PipelineSwitchHook", switch_epoch=1, switch_pipeline=[Negative()])
    seen, _ = train(tmp_path, "SteadyTrainLoop", 1, switch)
    each = FILMS // BATCH
    assert all(number >= 0 for *batch, _ in seen[:each] for number in batch)
    assert sorted(number for *batch, _ in seen[each : 2 * each] for number in batch) == [-6, -5, -4, -3, -2, -1]
    assert len(seen) == EPOCHS * each


class Negative:
    """A step of a pipeline."""

    def __call__(self, number):
        return -1 - number


@HOOKS.register_module()
class StopEarly(Hook):
    """After one epoch, as mmengine's EarlyStoppingHook does."""

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = True


def test_stopping_early(tmp_path):
    seen, _ = train(tmp_path, "SteadyTrainLoop", 2, dict(type="StopEarly"))
    assert len(seen) == FILMS // BATCH


def wrapper(model):
    settings = dict(type="Bfloat16OptimWrapper", optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    return OPTIM_WRAPPERS.build(settings)


@pytest.mark.parametrize(("fast", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_processor_decides(monkeypatch, fast, expected):
    monkeypatch.setattr(bfloat16_optim_wrapper, "has_bfloat16", lambda device: fast)
    model = nn.Conv2d(1, 1, 3)
    with wrapper(model).optim_context(model):
        found = model(torch.zeros(1, 1, 8, 8))
    assert found.dtype == expected
    assert not torch.is_autocast_enabled("cpu")


def test_a_step_is_close_to_that_of_float32(monkeypatch):
    """bfloat16 has 8 binary digits: the step may differ by a hundredth, and the weights keep theirs."""
    torch.manual_seed(0)
    films, model = torch.randn(4, 3, 16, 16), nn.Conv2d(3, 4, 3)
    steps = []
    for fast in (True, False):
        monkeypatch.setattr(bfloat16_optim_wrapper, "has_bfloat16", lambda device, fast=fast: fast)
        its = copy.deepcopy(model)
        optim = wrapper(its)
        with optim.optim_context(its):
            loss = its(films).float().square().mean()
        optim.update_params(loss)
        assert its.weight.dtype == torch.float32
        steps.append(its.weight.detach() - model.weight.detach())
    assert steps[0].norm() > 0
    assert not torch.equal(*steps)
    assert (steps[0] - steps[1]).norm() < 0.02 * steps[1].norm()


def test_unknown_devices_and_old_versions_train_in_float32(monkeypatch):
    assert not bfloat16_optim_wrapper.has_bfloat16("meta")
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.delattr(torch.cpu, f"_is_{name}_supported", raising=False)
    assert not bfloat16_optim_wrapper.has_bfloat16("cpu")
