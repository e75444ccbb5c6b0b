"""Shared by all tests."""

import json
import os
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from filelock import FileLock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run in parallel; torch reads it when it is imported

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
def make_once(tmp_path_factory, worker_id):
    """Makes a folder that all test processes share: ``make_once(name, make)`` calls `make` with it in the first one only."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent

    def folder(name, make):
        place, done = base / name, base / f"{name}.done"
        with FileLock(base / f"{name}.lock"):
            if not done.exists():
                place.mkdir()
                done.write_text(json.dumps(make(place)))
        return place, json.loads(done.read_text())

    return folder


@pytest.fixture(scope="session")
def phantoms(make_once) -> Path:
    """A data root of small phantom films with annotations, made by the tools themselves; tests only read it."""

    def make(root):
        films = ["cgoa=12", "oaih=8", "gis=6"]
        made = run_tool("phantoms", root, "--films", *films, "--max-side", 256, "--workers", 1, cwd=root)
        assert made.returncode == 0, made.stderr
        converted = run_tool("convert", "phantom", root, "--val-fraction", 0.2, cwd=root)
        assert converted.returncode == 0, converted.stderr

    return make_once("phantoms", make)[0]


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
def trained(recipe, phantoms, make_once):
    """The work dir of a small training of a recipe, four epochs, and what it printed; tests only read it."""

    def make(folder):
        epochs = ["train_cfg.max_epochs=4", "train_cfg.val_interval=2", "default_hooks.logger.interval=1"]
        options = ["--cfg-options", *recipe.small, *epochs]
        done = run_tool("train", recipe.config, "--data-root", phantoms, "--work-dir", folder, *options, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return [done.args, done.returncode, done.stdout, done.stderr]

    work_dir, done = make_once(f"trained_{recipe.name}", make)
    return work_dir, CompletedProcess(*done)


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium (tests/support/browser.py); tests are skipped where it or selenium is missing."""
    running = start_browser()
    yield running
    running.quit()
