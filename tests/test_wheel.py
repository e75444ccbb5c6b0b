"""What ``pip install .`` installs: the package with its data, configs for mim, and nothing of an older build."""

import shutil
import subprocess
import sys
import zipfile

import pytest

from places import REPOSITORY

pytestmark = pytest.mark.slow
PARTS = (
    "hipdet",
    "configs",
    "tools",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "MANIFEST.in",
    "LICENSE",
    "model-index.yml",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names in a wheel that is built in a tree with the build folder of an older hipdet."""
    pytest.importorskip("setuptools")
    source = tmp_path_factory.mktemp("source")
    for name in PARTS:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, source / name)
    stale = source / "build/lib/hipdet/annotation"
    stale.mkdir(parents=True)
    (stale / "journal.py").write_text("old = True")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        source / "wheels",
        source,
    ]
    done = subprocess.run(list(map(str, build)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (source / "wheels").glob("*.whl")
    with zipfile.ZipFile(path) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def installed(folder, root=REPOSITORY):
    files = (path for path in (root / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix() for path in files}


def test_it_holds_the_package_as_it_is_here(wheel):
    ours = {name for name in wheel if name.startswith("hipdet/") and not name.startswith("hipdet/.mim/")}
    assert ours == installed("hipdet")
    for name in (
        "weights/hips.onnx",
        "data/sources/fracatlas_hips.csv",
        "data/sources/fracatlas_knees.csv",
        "annotate/page/index.html",
        "py.typed",
    ):
        assert wheel[f"hipdet/{name}"] == (REPOSITORY / "hipdet" / name).read_bytes()
    assert any(name.startswith("hipdet/visualization/page_files/") for name in ours)


def test_it_holds_what_mim_looks_for(wheel):
    expected = {f"hipdet/.mim/{name}" for name in installed("configs") | installed("tools") | {"model-index.yml"}}
    assert {name for name in wheel if name.startswith("hipdet/.mim/")} == expected


def test_it_holds_nothing_else(wheel):
    """Nothing that runs at Python's start, and no other package."""
    others = {name for name in wheel if not name.startswith("hipdet/")}
    assert {name.partition("/")[0].partition("-")[0] for name in others} == {"hipdet"}
    assert all(".dist-info/" in name for name in others)
    assert not any(name.endswith(".pth") for name in wheel)


def test_its_commands(wheel):
    (entries,) = (text.decode() for name, text in wheel.items() if name.endswith("entry_points.txt"))
    assert [line.partition(" = ")[0] for line in entries.splitlines()[1:]] == [
        "hipdet",
        "hipdet-crop",
        "hipdet-predict",
    ]
