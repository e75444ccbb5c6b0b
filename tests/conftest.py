"""Shared by all tests."""

import os
from pathlib import Path

import pytest

import hipdet.plugin  # noqa: F401  (before any mmdet import: makes mmcv-lite usable)
from browser import start_browser
from places import REPOSITORY
from tool_runs import RECIPES, run_tool


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared films and labels, outside the project; tests are skipped where it is missing."""
    folder = Path(os.environ.get("HIPDET_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data/fracatlas_hips").is_dir():
        pytest.skip(f"no data/fracatlas_hips in {folder}: set HIPDET_SHARED to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Path:
    """A data root of small phantom films with annotations, made by the tools themselves."""
    root = tmp_path_factory.mktemp("phantoms")
    films = ["cgoa=12", "oaih=8", "gis=6"]
    made = run_tool("phantoms", root, "--films", *films, "--max-side", 256, "--workers", 1, cwd=root)
    assert made.returncode == 0, made.stderr
    converted = run_tool("convert", "phantom", root, "--val-fraction", 0.2, cwd=root)
    assert converted.returncode == 0, converted.stderr
    return root


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """Config, checkpoint and export of a small detector with random weights."""
    pytest.importorskip("onnx")
    from untrained import make

    return make(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="session", params=RECIPES, ids=lambda recipe: recipe.name)
def recipe(request):
    """The paper's recipe with its three stages, and the recommended one."""
    return request.param


@pytest.fixture(scope="session")
def trained(recipe, phantoms, tmp_path_factory):
    """The work dir of a small training of a recipe, four epochs."""
    work_dir = tmp_path_factory.mktemp("trained")
    epochs = ["train_cfg.max_epochs=4", "train_cfg.val_interval=2", "default_hooks.logger.interval=1"]
    options = ["--cfg-options", *recipe.small, *epochs]
    done = run_tool("train", recipe.config, "--data-root", phantoms, "--work-dir", work_dir, *options, cwd=work_dir)
    assert done.returncode == 0, done.stdout + done.stderr
    return work_dir, done


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium (tests/support/browser.py); tests are skipped where it or selenium is missing."""
    running = start_browser()
    yield running
    running.quit()
