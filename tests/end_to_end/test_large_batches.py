"""Batches larger than memory, and other batch sizes than the recipe's."""

import pytest

from hipdet.engine.checkpoint import read_checkpoint
from tool_runs import RECIPES, SMALL, run_tool

pytestmark = pytest.mark.slow

SHORT = ["train_cfg.max_epochs=3", "train_cfg.val_interval=3", "default_hooks.logger.interval=1"]


def train(phantoms, folder, *options, flags=()):
    arguments = ["configs/hip_ssd_exp3.py", "--data-root", phantoms, "--work-dir", folder, *flags]
    done = run_tool("train", *arguments, "--cfg-options", *SMALL, *SHORT, *options, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("recipe", RECIPES[:1], indirect=True)
def test_gradient_accumulation(phantoms, trained, tmp_path):
    """Four batches of 4 films make one step: Adam's state counts one step of the last stage where there were four."""
    log = train(phantoms, tmp_path / "w", "optim_wrapper.accumulative_counts=4")
    assert "[1][4/4]" in log
    (steps,) = {int(s["step"]) for s in read_checkpoint(tmp_path / "w/epoch_3.pth")["optimizer"]["state"].values()}
    assert steps == 1
    single = read_checkpoint(trained[0] / "epoch_4.pth")["optimizer"]["state"].values()
    assert {int(s["step"]) for s in single} == {4}


def test_auto_scale_lr(phantoms, tmp_path):
    """The batch is 4, the recipe's 16: a quarter of the rate, in every layer group and after resuming too."""
    train(phantoms, tmp_path / "w", flags=["--auto-scale-lr"])
    groups = read_checkpoint(tmp_path / "w/epoch_3.pth")["optimizer"]["param_groups"]
    assert [group["initial_lr"] for group in groups] == pytest.approx([0.01 / 4, 0.001 / 4, 0.0001 / 4])
    train(phantoms, tmp_path / "w", "train_cfg.max_epochs=6", flags=["--auto-scale-lr", "--resume"])
    groups = read_checkpoint(tmp_path / "w/epoch_6.pth")["optimizer"]["param_groups"]
    assert [group["initial_lr"] for group in groups] == pytest.approx([0.01 / 4, 0.001 / 4, 0.0001 / 4])
