"""Arguments applied to configs: fresh ones, and ones that a training saved."""

import argparse
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from hipdet.cli.config_arguments import add_config_arguments, load_config
from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.engine.config import use_resume

ROOT = Path(__file__).parents[2]


def load(*arguments):
    parser = argparse.ArgumentParser()
    add_config_arguments(parser, ["train", "val", "test"])
    return load_config(parser.parse_args([str(each) for each in arguments]))


def places(cfg):
    """Every file that films and labels are read from."""
    for part in ("train", "val", "test"):
        dataset = cfg[f"{part}_dataloader"].dataset
        yield str(Path(dataset.data_root, dataset.ann_file))
    for part in ("val", "test"):
        yield from (evaluator.ann_file for evaluator in cfg[f"{part}_evaluator"] if "ann_file" in evaluator)


@pytest.mark.parametrize("saved", [False, True])
def test_data_root_moves_films_and_evaluators(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("HIPDET_DATA", str(tmp_path / "then"))
    config = ROOT / "configs/hip_roi_medium.py"
    if saved:
        load(config).dump(tmp_path / "saved.py")
        config = tmp_path / "saved.py"
    now = tmp_path / "now"
    found = list(places(load(config, "--data-root", now, "--test-ann", "mine.json")))
    assert len(found) == 7
    assert all(place.startswith(f"{now}/") for place in found)
    assert sum(place == f"{now}/mine.json" for place in found) == 3  # dataset and two evaluators


def test_a_folder_that_begins_alike_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("HIPDET_DATA", str(tmp_path / "then"))
    cfg = load(ROOT / "configs/hip_roi_medium.py")
    cfg.test_dataloader.dataset.ann_file = f"{tmp_path}/then_and_there/a.json"
    cfg.dump(tmp_path / "saved.py")
    found = load(tmp_path / "saved.py", "--data-root", tmp_path / "now")
    assert found.test_dataloader.dataset.ann_file == f"{tmp_path}/then_and_there/a.json"
    assert found.data_root == f"{tmp_path}/now"


def test_a_config_without_data_root(tmp_path, monkeypatch):
    monkeypatch.setenv("HIPDET_DATA", "elsewhere")
    Config(dict(model=dict(type="A"))).dump(tmp_path / "plain.py")
    with pytest.raises(ConfigError, match=r"plain\.py has no data_root"):
        load(tmp_path / "plain.py", "--data-root", tmp_path)


def test_resume_without_a_checkpoint_begins_from_load_from(tmp_path):
    torch.save(dict(state_dict=dict(weight=torch.zeros(1))), tmp_path / "start.pth")
    cfg = Config(dict(work_dir=str(tmp_path / "run"), load_from=str(tmp_path / "start.pth")))
    use_resume(cfg, "auto")
    assert not cfg.get("resume")
    assert cfg.load_from == str(tmp_path / "start.pth")
    (tmp_path / "start.pth").write_bytes(b"cut short")
    with pytest.raises(CheckpointError, match=r"start\.pth"):
        use_resume(cfg, "auto")


def test_resume_prefers_what_has_been_trained(tmp_path):
    torch.save(dict(state_dict=dict(weight=torch.zeros(1)), optimizer={}), tmp_path / "epoch_2.pth")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_2.pth"))
    cfg = Config(dict(work_dir=str(tmp_path), load_from=str(tmp_path / "elsewhere.pth")))
    use_resume(cfg, "auto")
    assert cfg.resume
    assert cfg.load_from is None
