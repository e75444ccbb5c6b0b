"""Shared by all tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hipdet.plugin  # noqa: F401  (before any mmdet import: makes mmcv-lite usable)

REPOSITORY = Path(__file__).parents[1]

# the recipe of experiment 3 with its three stages, on a backbone and data that a test can afford
SMALL = [
    "model.backbone.depth=18",
    "model.backbone.base_channels=8",
    "model.backbone.init_cfg=None",
    "model.bbox_head.in_channels=64",
    "model.bbox_head.feat_channels=16",
    "train_dataloader.batch_size=4",
]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared films and labels, outside the project; tests are skipped where it is missing."""
    folder = Path(os.environ.get("HIPDET_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data/fracatlas_hips").is_dir():
        pytest.skip(f"no data/fracatlas_hips in {folder}: set HIPDET_SHARED to the folder that holds it")
    return folder


def run_tool(name, *arguments, cwd, timeout=600, **environment):
    """Run a tool as a user does, from another working directory."""
    command = [sys.executable, str(REPOSITORY / "tools" / name), *map(str, arguments)]
    # one thread: results don't depend on the machine, and tests may run side by side
    env = {**os.environ, "OMP_NUM_THREADS": "1", **{key: str(value) for key, value in environment.items()}}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Path:
    """A data root of small phantom films with annotations, made by the tools themselves."""
    root = tmp_path_factory.mktemp("phantoms")
    films = ["cgoa=12", "oaih=8", "gis=6"]
    made = run_tool("make_phantoms.py", root, "--films", *films, "--max-side", 256, "--workers", 1, cwd=root)
    assert made.returncode == 0, made.stderr
    converted = run_tool("convert.py", "phantom", root, "--val-fraction", 0.2, cwd=root)
    assert converted.returncode == 0, converted.stderr
    return root


@pytest.fixture(scope="session")
def trained(phantoms, tmp_path_factory):
    """The work dir of a small training of experiment 3 through its three stages."""
    work_dir = tmp_path_factory.mktemp("trained")
    options = ["--cfg-options", *SMALL, "train_cfg.max_epochs=4", "train_cfg.val_interval=2"]
    done = run_tool(
        "train.py", "configs/hip_ssd_exp3.py", "--data-root", phantoms, "--work-dir", work_dir, *options, cwd=work_dir
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return work_dir, done
