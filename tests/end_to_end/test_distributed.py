"""Two gloo ranks on this machine's CPU."""

import json
import os
import socket
import subprocess
import sys

import pytest

from tool_runs import REPOSITORY, SMALL, run_tool

pytestmark = pytest.mark.slow


def run_distributed(script, *arguments, cwd):
    """dist_train.sh or dist_test.sh with two ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return subprocess.run(
        ["bash", str(REPOSITORY / "tools" / script), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PORT": str(port), "OMP_NUM_THREADS": "1", "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_two_ranks_give_the_metrics_of_one(trained, phantoms, tmp_path):
    work_dir, _ = trained
    checkpoint, options = work_dir / "epoch_4.pth", ["--data-root", phantoms, "--cfg-options", *SMALL]
    # 5 films on 2 ranks: the sampler repeats one
    options += ["test_dataloader.dataset.indices=5", "test_dataloader.batch_size=2"]
    one = run_tool("test.py", "configs/hip_ssd_exp3.py", checkpoint, "--work-dir", "one", *options, cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    two = run_distributed(
        "dist_test.sh", "configs/hip_ssd_exp3.py", checkpoint, 2, "--work-dir", "two", *options, cwd=tmp_path
    )
    assert two.returncode == 0, two.stdout + two.stderr
    figures = [json.loads((tmp_path / name / "test_report.json").read_text())["figures"] for name in ("one", "two")]
    assert figures[0]["roi/num_rois"] == 10
    assert figures[1] == pytest.approx(figures[0], abs=1e-6)  # convolutions of another batch size round differently


def test_two_ranks_train_through_the_stages(phantoms, tmp_path):
    options = ["--cfg-options", *SMALL, "train_cfg.max_epochs=3", "train_cfg.val_interval=3"]
    done = run_distributed(
        "dist_train.sh", "configs/hip_ssd_exp3.py", 2, "--data-root", phantoms, "--work-dir", tmp_path / "w", *options,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    log = done.stdout + done.stderr
    assert "Stage 3 of 3" in log
    assert "[1][2/2]" in log  # 16 films, batch 4 on each of two ranks
    assert (tmp_path / "w/epoch_3.pth").exists()
    assert json.loads((tmp_path / "w/val_report.json").read_text())["figures"]["roi/num_rois"] == 8
