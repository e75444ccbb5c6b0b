"""Shared by all tests."""

import os
from pathlib import Path

import pytest

import hipdet.plugin  # noqa: F401  (before any mmdet import: makes mmcv-lite usable)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared films and labels, outside the project; tests are skipped where it is missing."""
    folder = Path(os.environ.get("HIPDET_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data/fracatlas_hips").is_dir():
        pytest.skip(f"no data/fracatlas_hips in {folder}: set HIPDET_SHARED to the folder that holds it")
    return folder
