"""Publishing a checkpoint, on one made by hand."""

import hashlib
import json
import sys

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage

from hipdet.core.errors import CheckpointError, ConfigError, DatasetError
from hipdet.engine.checkpoint import read_checkpoint
from hipdet.export.publish import get_weights, publish
from hipdet.version import __version__

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


def test_weights_and_metadata(checkpoint, tmp_path):
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
        assert meta["films"] == dict(train=["cgoa_train.json"], val=[], test=[])
        assert meta["published_with"]["hipdet"] == __version__
        assert "mmdet" in meta["published_with"]
        assert meta["measured"] == [dict(ann_file="gis.json", figures={"roi/avg_iou": 0.8}, versions={})]
        assert b"eve" not in file.read_bytes()
        assert b"20261123" not in file.read_bytes()
    assert card.name == f"{pth.stem}.json"
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
    """As mmengine's own hook writes them: the average instead of the weights, and the weights beside it."""
    model = torch.nn.Linear(1, 1, bias=False)
    hook = EMAHook()
    hook.src_model, hook.ema_model = model, ExponentialMovingAverage(model, momentum=0.5)
    for value in (0.0, 8.0):
        with torch.no_grad():
            model.weight.fill_(value)
        hook.ema_model.update_parameters(model)
    saved = dict(state_dict=model.state_dict())
    hook.before_save_checkpoint(None, saved)
    assert saved["ema_state_dict"]["module.weight"].item() == 8
    for path in publish(checkpoint(**saved), tmp_path)[:2]:
        found = read_checkpoint(path)
        assert set(found) == {"meta", "state_dict"}
        assert {name: value.item() for name, value in found["state_dict"].items()} == {"weight": 4}


def test_a_wrapper_leaves_no_trace():
    assert list(get_weights(dict(state_dict={"module.b": torch.ones(1), "module.a": torch.ones(1)}))) == ["a", "b"]


def test_a_validation_names_the_checkpoint_that_training_started_from(checkpoint, tmp_path):
    path = checkpoint()
    report(path.parent, "val_report.json", checkpoint="resnet.pth", seed=7)
    card = publish(path, tmp_path / "a")[2]
    assert [found["ann_file"] for found in json.loads(card.read_text())["measured"]] == ["gis.json"]
    report(path.parent, "val_report.json", checkpoint="resnet.pth", seed=8)
    assert json.loads(publish(path, tmp_path / "b")[2].read_text())["measured"] == []


def test_no_path_of_a_report_stays(checkpoint, tmp_path):
    path = checkpoint()
    report(path.parent, ann_file="/home/eve/gis.json")
    for file in publish(path, tmp_path / "out"):
        assert b"gis.json" in file.read_bytes()
        assert b"eve" not in file.read_bytes()


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "/x", "c:x", "..", "a\nb", 7])
def test_names_that_would_choose_a_folder(checkpoint, tmp_path, name):
    """Names from the user, or from a file that was published elsewhere."""
    for changes, given in ((dict(), name), (dict(meta=dict(name=name)), None)):
        with pytest.raises(ConfigError, match=r"can't be a model's name.* give another with --name"):
            publish(checkpoint(**changes), tmp_path / "a/b", name=given)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(meta=dict(cfg=None)), r"epoch_4\.pth: has no config and classes"),
        (dict(meta=dict(dataset_meta=None)), r"epoch_4\.pth: has no config and classes"),
        (dict(meta=dict(dataset_meta="hip")), r"epoch_4\.pth: its classes are None, expected names"),
        (dict(meta=dict(dataset_meta=dict(classes=()))), r"epoch_4\.pth: its classes are \(\), expected names"),
        (dict(meta=dict(dataset_meta=dict(classes="hip"))), r"epoch_4\.pth: its classes are 'hip', expected names"),
        (dict(meta=dict(dataset_meta=dict(classes=[7]))), r"epoch_4\.pth: its classes are \[7\], expected names"),
        (dict(meta=dict(cfg="import os")), r"epoch_4\.pth: its config isn't one that mmengine dumped"),
        (dict(meta=dict(cfg=7)), r"epoch_4\.pth: its config isn't one that mmengine dumped"),
        (dict(meta=dict(cfg="text = 'reserved'")), r"epoch_4\.pth: 'text is reserved"),
        (dict(meta=dict(epoch=float("nan"))), r"epoch_4\.pth: its metadata can't be written as JSON"),
        (dict(meta=dict(seed=torch.ones(1))), r"epoch_4\.pth: its metadata can't be written as JSON"),
        (dict(meta=dict(epoch="4")), r"epoch_4\.pth: its metadata: epoch is '4', expected a whole number"),
        (dict(meta=dict(seed=[1])), r"epoch_4\.pth: its metadata: seed is"),
        (dict(meta=dict(measured=7)), r"epoch_4\.pth: its metadata: measured is 7, expected a list"),
        (dict(meta=dict(measured=[7])), r"epoch_4\.pth: its metadata: measured 1: found 7, expected an object"),
        (dict(meta=dict(measured=[dict(ann_file=7)])), r"measured 1: ann_file is 7, expected a text"),
        (dict(meta=dict(measured=[dict(ann_file="a", figures=[1])])), r"measured 1: figures is \[1\]"),
        (dict(meta=dict(measured=[dict(ann_file="a", figures=dict(a="1"))])), r"figures: a is '1', expected a number"),
        (dict(meta=dict(published_with=["0.1"])), r"published_with is \['0.1'\], expected an object"),
        (dict(state_dict={}), r"epoch_4\.pth: has no weights"),
        (dict(state_dict={7: torch.ones(1)}), r"epoch_4\.pth: has no weights"),
    ],
)
def test_checkpoints_that_training_did_not_write(checkpoint, tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=message):
        publish(checkpoint(**changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("meta", [None, [1], "x"])
def test_checkpoints_without_metadata(tmp_path, meta):
    torch.save(dict(state_dict=WEIGHTS, meta=meta), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth: (has no config and classes|its metadata: found)"):
        publish(tmp_path / "x.pth", tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (dict(epoch=3), r"measured on epoch_4\.pth at epoch 3, expected epoch_4\.pth at epoch 4"),
        (dict(checkpoint="best.pth"), r"measured on best\.pth"),
        (dict(checkpoint=None), r"measured on None"),  # weights that were never trained
        (dict(figures=3), "figures is 3, expected an object: give a report as hipdet test writes it"),
        ("[]", r"found \[\], expected an object"),
        ("no JSON", "not JSON"),
        (None, "can.t be read"),
    ],
)
def test_reports_of_something_else(checkpoint, tmp_path, content, message):
    path = checkpoint()
    if isinstance(content, dict):
        report(tmp_path, **content)
    elif content:
        (tmp_path / "test_report.json").write_text(content)
    with pytest.raises(DatasetError, match=rf"test_report\.json: {message}"):
        publish(path, tmp_path / "out", reports=[tmp_path / "test_report.json"])
    assert not (tmp_path / "out").exists()


def test_without_the_safetensors_package_nothing_is_written(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(CheckpointError, match=r"\.safetensors: needs the package safetensors: pip install"):
        publish(checkpoint(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
