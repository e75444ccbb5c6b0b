import pytest
import torch
from torch import nn

from hipdet.core.errors import ConfigError
from hipdet.engine.schedule import LayerGroupOptimWrapperConstructor, assign_groups


def test_prefixes_end_at_dots():
    assert assign_groups(["a.layer1.w", "a.layer10.w"], [["a.layer1"], ["a.layer10"]]) == {
        "a.layer1.w": 0,
        "a.layer10.w": 1,
    }


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([["a"]], "b.w is in 0 groups"),
        ([["a", "b"], ["b.w"]], "b.w is in 2 groups"),
        ([["a", "b", "c"]], "no parameter is under c"),  # a misspelt prefix would leave a group empty
    ],
)
def test_every_parameter_in_exactly_one_group(groups, message):
    with pytest.raises(ConfigError, match=message):
        assign_groups(["a.w", "b.w"], groups)


def test_constructor():
    model = nn.ModuleDict(dict(body=nn.Linear(2, 3), head=nn.Linear(3, 1)))
    constructor = LayerGroupOptimWrapperConstructor(
        dict(optimizer=dict(type="Adam", lr=0.01, betas=(0.9, 0.99))),
        dict(groups=[dict(prefixes=["head"]), dict(prefixes=["body"], lr_mult=0.01)]),
    )
    model.body.requires_grad_(False)  # frozen when the optimizer is built: a later stage trains it
    optimizer = constructor(model).optimizer
    assert isinstance(optimizer, torch.optim.Adam)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, pytest.approx(1e-4)]
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 2]
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.99)


@pytest.mark.parametrize("paramwise", [None, {}, dict(groups=[]), dict(groups=[dict(lr_mult=1)])])
def test_needs_groups(paramwise):
    with pytest.raises(ConfigError, match=r"paramwise_cfg\.groups"):
        LayerGroupOptimWrapperConstructor(dict(optimizer=dict(type="Adam", lr=0.01)), paramwise)
