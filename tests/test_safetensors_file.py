"""Checkpoints as .safetensors files."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from hipdet.core.errors import CheckpointError
from hipdet.engine.checkpoint import read_checkpoint, safetensors_bytes

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
        None,
        dict(format="pt"),
        dict(hipdet="no JSON"),
        dict(hipdet="[]"),
        dict(hipdet="[" * 100_000),
        dict(hipdet='{"cfg": "a = 1"}'),
        dict(hipdet='{"cfg": "a = 1", "dataset_meta": null}'),
        dict(hipdet='{"cfg": 7, "dataset_meta": {"classes": ["hip"]}}'),
    ],
)
def test_not_published_by_hipdet(tmp_path, metadata):
    save_file(WEIGHTS, tmp_path / "foreign.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match=r"foreign\.safetensors: has weights, but not the config and classes"):
        read_checkpoint(tmp_path / "foreign.safetensors")


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
