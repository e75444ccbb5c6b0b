"""Checkpoints as .safetensors files.

mmengine loads local checkpoints, and checkpoints from a URL, without running code in them.
"""

import math
import re
import sys

import pytest
import torch
from mmengine.runner import CheckpointLoader, load_checkpoint
from mmengine.runner.checkpoint import load_from_openmmlab
from safetensors.torch import save_file

from hipdet.core.errors import CheckpointError
from hipdet.engine.checkpoint import (
    load_from_http,
    load_from_local,
    read_checkpoint,
    safetensors_bytes,
    state_dict_faults,
)


class Evil:
    def __reduce__(self):
        return print, ("this must never be printed",)


def test_reads_what_is_safe(tmp_path):
    torch.save(dict(state_dict=dict(a=torch.ones(2)), meta=dict(epoch=3)), tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth")["meta"] == dict(epoch=3)
    torch.save(dict(a=torch.ones(2)), tmp_path / "bare.pth")
    assert read_checkpoint(tmp_path / "bare.pth")["a"].tolist() == [1, 1]


def bad_files(folder):
    torch.save(dict(state_dict=dict(a=torch.ones(1000))), folder / "whole.pth")
    whole = (folder / "whole.pth").read_bytes()
    (folder / "truncated.pth").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.pth").write_text("not a checkpoint")
    torch.save(dict(state_dict=dict(a=Evil())), folder / "malicious.pth")
    torch.save([1, 2], folder / "list.pth")
    torch.save(dict(state_dict=dict()), folder / "hollow.pth")
    torch.save(dict(state_dict=dict(a=1.0)), folder / "numbers.pth")
    torch.save(dict(state_dict=[1]), folder / "listed.pth")
    torch.save(dict(state_dict={1: torch.ones(2)}), folder / "numbered.pth")
    nested = []
    nested.append(nested)
    torch.save(dict(state_dict=dict(a=torch.ones(2)), meta=nested), folder / "deep.pth")
    for name, value in dict(nan=math.nan, inf=-math.inf).items():
        values = torch.tensor([0.0, value])
        torch.save(dict(state_dict=dict(fine=torch.ones(2), layer=values)), folder / f"{name}.pth")
        torch.save(
            dict(state_dict=dict(fine=torch.ones(2)), ema_state_dict=dict(layer=values)), folder / f"ema_{name}.pth"
        )
    torch.save(dict(a=torch.tensor([math.nan]), b=torch.tensor([math.inf])), folder / "bare_nan.pth")
    state = dict(state={3: dict(exp_avg=torch.tensor([math.nan]))})
    torch.save(dict(state_dict=dict(a=torch.ones(2)), optimizer=state), folder / "optimizer_nan.pth")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.pth", "no such checkpoint"),
        ("truncated.pth", "damaged"),
        ("empty.pth", "damaged"),
        ("text.pth", "damaged"),
        ("malicious.pth", "refused"),
        ("list.pth", "no weights"),
        ("hollow.pth", "no weights"),
        ("numbers.pth", "no weights"),
        ("listed.pth", "no weights"),
        ("numbered.pth", "no weights"),
        ("deep.pth", "nested too deeply"),
        ("nan.pth", "refused, as numbers of layer are NaN or infinite: its training diverged"),
        ("inf.pth", "refused, as numbers of layer are NaN or infinite"),
        ("ema_nan.pth", r"numbers of ema_state_dict\.layer are NaN"),
        ("ema_inf.pth", r"numbers of ema_state_dict\.layer are NaN"),
        ("bare_nan.pth", "numbers of a and 1 more are NaN or infinite"),
        ("optimizer_nan.pth", r"numbers of optimizer\.state\.3\.exp_avg are NaN"),
    ],
)
def test_bad_checkpoints_are_named(tmp_path, capsys, name, message):
    bad_files(tmp_path)
    with pytest.raises(CheckpointError, match=f"{name}.*({message})") as raised:
        read_checkpoint(tmp_path / name)
    assert "never" not in capsys.readouterr().out
    # torch advises to load unsafe files all the same, in bold
    assert not re.search("weights_only|trust|\x1b|option", str(raised.value))


def test_what_a_pickle_names_is_said(tmp_path):
    bad_files(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"malicious\.pth: refused, .* or is damaged \((builtins\.)?print\)\. Checkpoints"
    ):
        read_checkpoint(tmp_path / "malicious.pth")


def test_a_file_that_is_much_smaller_than_its_tensor(tmp_path):
    """An expanded tensor has one number, here for a terabyte, which loading it would need."""
    torch.save(dict(a=torch.zeros(1).expand(1 << 38)), tmp_path / "large.pth")
    with pytest.raises(
        CheckpointError, match=r"large\.pth: a is no tensor of a detector \(torch\.float32, .* \[274877906944\]"
    ):
        read_checkpoint(tmp_path / "large.pth")
    torch.save(dict(a=torch.full((1,), math.nan).expand(9)), tmp_path / "nan.pth")
    with pytest.raises(CheckpointError, match=r"nan\.pth: refused, as numbers of a are NaN"):
        read_checkpoint(tmp_path / "nan.pth")
    torch.save(dict(a=torch.zeros(1).expand(9)), tmp_path / "good.pth")
    assert read_checkpoint(tmp_path / "good.pth")["a"].tolist() == [0] * 9


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, device="meta"),
        torch.zeros(2).to(torch.float8_e4m3fn),
    ],
    ids=lambda tensor: f"{tensor.dtype}, {tensor.layout}, {tensor.device}",
)
@pytest.mark.parametrize("place", ["state_dict", "optimizer"])
def test_tensors_that_are_not_of_a_detector(tmp_path, tensor, place):
    torch.save({"state_dict": dict(a=torch.zeros(2)), place: dict(a=tensor)}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"odd\.pth: (optimizer\.)?a is no tensor of a detector"):
        read_checkpoint(tmp_path / "odd.pth")


@pytest.mark.parametrize(
    ("found", "expected", "words"),
    [
        (dict(a=1), dict(a=1), []),
        ({"module.a": 1}, dict(a=1), []),  # saved from a data-parallel wrapper
        (dict(a=1), dict(a=1, b=2), ["1 missing, such as b"]),
        (dict(a=1, c=2), dict(a=1), ["1 unknown, such as c"]),
        (dict(a=2), dict(a=1), ["1 of another shape", r"a is (2,), but (1,) in the model"]),
    ],
)
def test_faults_of_weights(found, expected, words):
    faults = state_dict_faults(
        {name: torch.ones(size) for name, size in found.items()},
        {name: torch.ones(size) for name, size in expected.items()},
    )
    assert bool(faults) == bool(words)
    assert all(word in faults for word in words)


META = dict(cfg="a = 1", epoch=3, dataset_meta=dict(classes=("hip",), palette=[(220, 20, 60)]))
WEIGHTS = dict(a=torch.arange(6.0).reshape(2, 3), b=torch.tensor(3))


@pytest.fixture
def path(tmp_path):
    """A good file."""
    (tmp_path / "a.safetensors").write_bytes(safetensors_bytes(WEIGHTS, META))
    return tmp_path / "a.safetensors"


def test_reads_what_was_written_tuples_included(path):
    found = read_checkpoint(path)
    assert found["meta"] == META
    assert found["state_dict"].keys() == WEIGHTS.keys()
    assert all(torch.equal(found["state_dict"][name], WEIGHTS[name]) for name in WEIGHTS)
    assert found["state_dict"]["b"].dtype == torch.int64


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 100, slice(0, 40), slice(0, -3)])
def test_damaged(path, content):
    path.write_bytes(path.read_bytes()[content] if isinstance(content, slice) else content)
    with pytest.raises(CheckpointError, match=r"a\.safetensors: damaged, perhaps cut short.*Get it again"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "metadata",
    [
        dict(hipdet="no JSON"),
        dict(hipdet="[]"),
        dict(hipdet="[" * 100_000),
        dict(hipdet='{"cfg": "a = 1"}'),
        dict(hipdet='{"cfg": "a = 1", "dataset_meta": null}'),
        dict(hipdet='{"cfg": 7, "dataset_meta": {"classes": ["hip"]}}'),
        dict(hipdet='{"cfg": "a = 1", "dataset_meta": {"classes": [7]}}'),
        dict(hipdet='{"cfg": "a = 1", "dataset_meta": {"classes": "hip"}}'),
    ],
)
def test_not_published_by_hipdet(tmp_path, metadata):
    save_file(WEIGHTS, tmp_path / "foreign.safetensors", metadata=metadata)
    with pytest.raises(
        CheckpointError, match=r"foreign\.safetensors: .*(publish the \.pth file again|nested too deeply|not JSON)"
    ):
        read_checkpoint(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize("metadata", [None, dict(format="pt")])
def test_weights_without_metadata(tmp_path, metadata):
    """Of other programs: a backbone can start from them."""
    save_file(WEIGHTS, tmp_path / "foreign.safetensors", metadata=metadata)
    assert read_checkpoint(tmp_path / "foreign.safetensors").keys() == {"state_dict"}


def test_weights_that_are_no_numbers(tmp_path):
    """Also where mmengine loads them: DetInferencer, ``load_from``, resuming."""
    weights = dict(weight=torch.tensor([[math.nan]]), bias=torch.ones(1))
    (tmp_path / "a.safetensors").write_bytes(safetensors_bytes(weights, META))
    torch.save(dict(state_dict=weights), tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        with pytest.raises(CheckpointError, match=rf"{name}: refused, as numbers of weight are NaN or infinite"):
            load_checkpoint(torch.nn.Linear(1, 1), str(tmp_path / name))


def test_no_weights_and_no_file(tmp_path):
    (tmp_path / "hollow.safetensors").write_bytes(safetensors_bytes({}, META))
    with pytest.raises(CheckpointError, match=r"hollow\.safetensors: has no weights"):
        read_checkpoint(tmp_path / "hollow.safetensors")
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such checkpoint"):
        read_checkpoint(tmp_path / "none.safetensors")


def test_the_package_is_missing(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(CheckpointError, match=r"a\.safetensors: needs the package safetensors: pip install"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "loader"),
    [
        ("a.safetensors", load_from_local),
        ("/home/x y/a-1a2b3c4d.safetensors", load_from_local),
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


def test_a_missing_file_gives_a_clear_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such checkpoint"):
        load_checkpoint(torch.nn.Linear(1, 1), str(tmp_path / "none.safetensors"))


def test_what_mmengine_would_run_is_removed(tmp_path):
    """`config` when resuming, the message hub's `cfg` and meta's in DetInferencer are removed; everything else stays."""
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
