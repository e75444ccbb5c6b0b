"""bfloat16 where the processor has it; weights and gradients stay float32."""

import copy

import pytest
import torch
from mmdet.registry import OPTIM_WRAPPERS
from torch import nn

from hipdet.engine import loop as bfloat16_optim_wrapper


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


def test_a_step_is_nearly_that_of_float32(monkeypatch):
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
