"""Publishing a checkpoint, on one made by hand."""

import hashlib
import json

import pytest
import torch

from hipdet.checkpoint import read_checkpoint
from hipdet.errors import CheckpointError, DatasetError
from hipdet.publish import publish

CFG = (
    "model = dict(type='SingleStageDetector')\nwork_dir = '/home/eve/run'\n"
    "train_dataloader = dict(dataset=dict(data_root='/home/eve/films', ann_file='annotations/cgoa_train.json'))\n"
)
WEIGHTS = dict(b=torch.arange(6.0).reshape(2, 3).t(), a=torch.tensor(3))  # one isn't contiguous


@pytest.fixture
def checkpoint(tmp_path):
    """Writes a checkpoint as training does."""

    def write(**changes):
        meta = dict(
            epoch=4, iter=16, seed=7, cfg=CFG, time="20261123_101010", experiment_name="hip_ssd_exp3_20261123_101010",
            mmengine_version="0.10.7", dataset_meta=dict(classes=("hip",), palette=[(220, 20, 60)]),
        )  # fmt: skip
        content = dict(meta=meta, state_dict=WEIGHTS, optimizer=dict(state={}), message_hub={}, param_schedulers=[])
        content.update({key: value for key, value in changes.items() if key != "meta"})
        content["meta"] = {**meta, **changes.get("meta", {})}
        path = tmp_path / "run" / "epoch_4.pth"
        path.parent.mkdir(exist_ok=True)
        torch.save(content, path)
        return path

    return write


def report(folder, name="test_report.json", **changes):
    content = dict(ann_file="gis.json", checkpoint="epoch_4.pth", epoch=4, figures={"roi/avg_iou": 0.8}, versions={})
    (folder / name).write_text(json.dumps({**content, **changes}))
    return folder / name


def test_weights_and_what_one_needs_to_know(checkpoint, tmp_path):
    path = checkpoint()
    report(path.parent)
    report(path.parent, "val_report.json", checkpoint=None, epoch=2)  # of an earlier epoch: left out
    pth, safe, card = publish(path, tmp_path / "out")
    for file in (pth, safe):
        name, _, digest = file.stem.partition("-")
        assert name == "hip_ssd_exp3"
        assert digest == hashlib.sha256(file.read_bytes()).hexdigest()[:8]
        found = read_checkpoint(file)  # weights_only=True
        assert list(found["state_dict"]) == ["a", "b"]
        assert all(torch.equal(found["state_dict"][key], WEIGHTS[key]) for key in WEIGHTS)
        assert set(found) == {"meta", "state_dict"}
        meta = found["meta"]
        assert meta["dataset_meta"]["classes"] == ("hip",)
        assert (meta["epoch"], meta["iter"], meta["seed"]) == (4, 16, 7)
        assert meta["films"] == dict(train="annotations/cgoa_train.json")
        assert meta["measured"] == [dict(ann_file="gis.json", figures={"roi/avg_iou": 0.8}, versions={})]
        assert b"eve" not in file.read_bytes()
        assert b"20261123" not in file.read_bytes()
    content = json.loads(card.read_text())
    assert content["files"][pth.name]["sha256"] == hashlib.sha256(pth.read_bytes()).hexdigest()
    assert content["files"][safe.name]["bytes"] == safe.stat().st_size


def test_same_input_same_bytes_and_publishing_again_changes_nothing(checkpoint, tmp_path):
    path = checkpoint()
    report(path.parent)
    first = publish(path, tmp_path / "a")
    moved = path.rename(path.with_name("other.pth"))
    (path.parent / "test_report.json").write_text(
        (path.parent / "test_report.json").read_text().replace("epoch_4.pth", "other.pth")
    )
    for files in (publish(moved, tmp_path / "b"), publish(first[0], tmp_path / "c"), publish(first[1], tmp_path / "d")):
        assert [file.name for file in files] == [file.name for file in first]
        assert [file.read_bytes() for file in files] == [file.read_bytes() for file in first]


def test_the_moving_average_is_what_was_validated(checkpoint, tmp_path):
    average = {"module.a": torch.tensor(4), "module.b": WEIGHTS["b"] + 1, "steps": torch.tensor(9)}
    found = read_checkpoint(publish(checkpoint(ema_state_dict=average), tmp_path)[0])
    assert found["state_dict"]["a"] == 4
    assert list(found["state_dict"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(meta=dict(cfg=None)), r"epoch_4\.pth: has no config and classes"),
        (dict(meta=dict(dataset_meta=None)), r"epoch_4\.pth: has no config and classes"),
        (dict(meta=dict(cfg="import os")), r"epoch_4\.pth: its config isn't one that mmengine dumped"),
        (dict(state_dict={}), r"epoch_4\.pth: has no weights"),
    ],
)
def test_checkpoints_that_training_did_not_write(checkpoint, tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=message):
        publish(checkpoint(**changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (dict(epoch=3), r"test_report\.json: measured on epoch_4\.pth at epoch 3, and this is epoch_4\.pth at epoch 4"),
        (dict(checkpoint="best.pth"), r"test_report\.json: measured on best\.pth"),
        (None, r"test_report\.json: expected a report"),
    ],
)
def test_reports_of_another_checkpoint(checkpoint, tmp_path, content, message):
    path = checkpoint()
    given = tmp_path / "test_report.json"
    if content is None:
        given.write_text("{}")
    else:
        report(tmp_path, **content)
    with pytest.raises(DatasetError, match=message):
        publish(path, tmp_path / "out", reports=[given])
    assert not (tmp_path / "out").exists()


def test_damaged_and_foreign_safetensors(checkpoint, tmp_path):
    from safetensors.torch import save_file

    _, safe, _ = publish(checkpoint(), tmp_path / "out")
    safe.write_bytes(safe.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match=r"\.safetensors: damaged, perhaps cut short"):
        read_checkpoint(safe)
    save_file(dict(a=torch.zeros(2)), tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match=r"foreign\.safetensors: has weights, but not the config"):
        read_checkpoint(tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.safetensors")
