"""Resuming: exact, and after a kill."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from hipdet.engine.checkpoint import read_checkpoint
from tool_runs import of_checkout, run_tool

pytestmark = pytest.mark.slow


def assert_equal(found, expected, path=""):
    """Bit for bit, through nested containers."""
    assert type(found) is type(expected), path
    if isinstance(found, torch.Tensor):
        assert torch.equal(found, expected), path
    elif isinstance(found, dict):
        assert found.keys() == expected.keys(), path
        for key in found:
            assert_equal(found[key], expected[key], f"{path}/{key}")
    elif isinstance(found, (list, tuple)):
        assert len(found) == len(expected), path
        for index, (a, b) in enumerate(zip(found, expected)):
            assert_equal(a, b, f"{path}/{index}")
    else:
        assert found == expected, path


def test_killed_in_the_third_epoch_and_resumed_equals_straight(trained, recipe, phantoms, tmp_path):
    straight, _ = trained
    options = [
        "--cfg-options",
        *recipe.small,
        "train_cfg.max_epochs=4",
        "train_cfg.val_interval=2",
        "default_hooks.logger.interval=1",
    ]
    arguments = [recipe.config, "--data-root", phantoms, "--work-dir", tmp_path / "killed", *options]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "hipdet", "train", *map(str, arguments)],
            cwd=tmp_path,
            env=of_checkout(),
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        deadline = time.time() + 300
        while "[3][1/4]" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.time() < deadline, log.read_text()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert (tmp_path / "killed/epoch_2.pth").exists()
    assert not (tmp_path / "killed/epoch_3.pth").exists()

    done = run_tool("train", *arguments[:5], "--resume", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Epoch(train) [3][1/4]" in done.stdout + done.stderr
    assert "Epoch(train) [2]" not in done.stdout + done.stderr
    found, expected = (read_checkpoint(folder / "epoch_4.pth") for folder in (tmp_path / "killed", straight))
    assert_equal(found["state_dict"], expected["state_dict"])
    assert_equal(found["optimizer"], expected["optimizer"])
    assert_equal(found.get("ema_state_dict"), expected.get("ema_state_dict"))
    assert found["meta"]["iter"] == expected["meta"]["iter"] == 16


def test_resume_from_a_named_epoch(trained, recipe, phantoms, tmp_path):
    straight, _ = trained
    options = ["--cfg-options", *recipe.small, "train_cfg.max_epochs=4", "train_cfg.val_interval=2"]
    done = run_tool(
        "train", recipe.config, "--data-root", phantoms, "--work-dir", tmp_path,
        "--resume", straight / "epoch_3.pth", *options, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, expected = (read_checkpoint(folder / "epoch_4.pth") for folder in (tmp_path, straight))
    assert_equal(found["state_dict"], expected["state_dict"])
