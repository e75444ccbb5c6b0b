"""mmengine's loaders read checkpoints, local ones and those at an address, without running what is in them."""

import pytest
import torch
from mmengine.runner import CheckpointLoader, load_checkpoint
from mmengine.runner.checkpoint import load_from_openmmlab

from hipdet.core.errors import CheckpointError
from hipdet.engine.checkpoint import load_from_http, load_from_local, load_safetensors, safetensors_bytes


@pytest.mark.parametrize(
    ("name", "loader"),
    [
        ("a.safetensors", load_safetensors),
        ("/home/x y/a-1a2b3c4d.safetensors", load_safetensors),
        ("a.pth", load_from_local),
        ("a.safetensors.pth", load_from_local),
        ("https://example.org/a.pth", load_from_http),
        ("open-mmlab://a", load_from_openmmlab),
    ],
)
def test_loaders_by_name(name, loader):
    assert CheckpointLoader._get_checkpoint_loader(name) is loader


def test_into_a_model(tmp_path):
    weights = dict(weight=torch.tensor([[2.0]]), bias=torch.tensor([3.0]))
    meta = dict(cfg="a = 1", dataset_meta=dict(classes=("hip",)))
    (tmp_path / "a.safetensors").write_bytes(safetensors_bytes(weights, meta))
    model = torch.nn.Linear(1, 1)
    found = load_checkpoint(model, str(tmp_path / "a.safetensors"), map_location="cpu", strict=True)
    assert (model.weight.item(), model.bias.item()) == (2, 3)
    assert found["meta"] == dict(meta, cfg="a = 1\n")


def test_a_missing_file_is_called_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such checkpoint"):
        load_checkpoint(torch.nn.Linear(1, 1), str(tmp_path / "none.safetensors"))


def test_what_mmengine_would_run_is_taken_out(tmp_path):
    """`config` when resuming, the message hub's `cfg` and meta's in DetInferencer; all else stays."""
    text, weights = "import os", dict(weight=torch.zeros(1))
    hub = dict(runtime_info=dict(cfg=text, best_score=0.5), log_scalars={})
    meta = dict(cfg=text, config=text, epoch=3)
    torch.save(dict(state_dict=weights, meta=meta, message_hub=hub), tmp_path / "a.pth")
    found = CheckpointLoader.load_checkpoint(str(tmp_path / "a.pth"))
    assert torch.equal(found["state_dict"]["weight"], weights["weight"])
    assert found["message_hub"] == dict(runtime_info=dict(best_score=0.5), log_scalars={})
    assert found["meta"]["epoch"] == 3
    assert "config" not in found["meta"]
    with pytest.raises(CheckpointError, match=r"a\.pth: its config isn't used: .* Give a config of your own"):
        found["meta"]["cfg"]
    torch.save(weights, tmp_path / "bare.pth")
    assert CheckpointLoader.load_checkpoint(str(tmp_path / "bare.pth")).keys() == weights.keys()
