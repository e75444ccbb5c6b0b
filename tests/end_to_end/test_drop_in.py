"""mmdet's own tools and interfaces run the configs unchanged."""

import json
import os
import subprocess
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import mmdet
import numpy as np
import pytest

from hipdet.radiographs.read import read_radiograph
from places import REPOSITORY
from tool_runs import SMALL, mmcv_is_lite

CONFIG = REPOSITORY / "configs/hip_ssd_exp3.py"
MMDET_TOOLS = Path(mmdet.__file__).parent / ".mim/tools"
# arguments that run a script which imports mmdet before hipdet: none with compiled mmcv
MMDET_FIRST = ["-m", "hipdet.mmcv_lite"] if mmcv_is_lite() else []
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def installed():
    try:
        distribution("hipdet")
    except PackageNotFoundError:
        pytest.skip("a deployment has hipdet installed: pip install . --no-deps")


def run(*command, cwd, data_root):
    """Run a process that finds hipdet only as an installed package."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env.update(HIPDET_DATA=str(data_root), OMP_NUM_THREADS="1")
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=600
    )


@pytest.mark.ci
def test_mims_copy_of_configs_and_tools(phantoms, tmp_path):
    """``pip install .`` copies them to where ``mim search``, ``mim train`` and ``mim test`` look for them."""
    mim = Path(sysconfig.get_paths()["purelib"]) / "hipdet/.mim"
    if not mim.is_dir():
        pytest.skip("an editable install has none")
    names = [
        "model-index.yml",
        *(path.relative_to(REPOSITORY) for path in (REPOSITORY / "configs").rglob("*.*") if "__" not in str(path)),
    ]
    for name in names:
        assert (mim / name).read_bytes() == (REPOSITORY / name).read_bytes(), f"{name}: install hipdet again"
    options = ["--cfg-options", *SMALL, "train_cfg.max_epochs=3", "train_cfg.val_interval=3"]
    done = run(mim / "tools/train.py", "configs/hip_ssd_exp7.py", *options, cwd=tmp_path, data_root=phantoms)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work_dirs/hip_ssd_exp7/epoch_3.pth").exists()


@pytest.mark.ci
def test_mmdets_own_train_and_test(recipe, phantoms, tmp_path):
    options = ["--cfg-options", *recipe.small, "train_cfg.max_epochs=3", "train_cfg.val_interval=3"]
    done = run(
        *MMDET_FIRST,
        MMDET_TOOLS / "train.py",
        REPOSITORY / recipe.config,
        "--work-dir",
        tmp_path / "w",
        *options,
        cwd=tmp_path,
        data_root=phantoms,
    )
    assert done.returncode == 0, done.stderr
    assert "Stage 3 of 3" in done.stdout + done.stderr or recipe.name != "hip_ssd_exp3"
    done = run(
        *MMDET_FIRST,
        MMDET_TOOLS / "train.py",
        REPOSITORY / recipe.config,
        "--work-dir",
        tmp_path / "w",
        "--resume",
        *options,
        cwd=tmp_path,
        data_root=phantoms,
    )
    assert done.returncode == 0, done.stderr
    checkpoint = tmp_path / "w/epoch_3.pth"
    done = run(
        *MMDET_FIRST,
        MMDET_TOOLS / "test.py",
        REPOSITORY / recipe.config,
        checkpoint,
        "--work-dir",
        tmp_path / "t",
        *options,
        cwd=tmp_path,
        data_root=phantoms,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "t/test_report.json").read_text())["figures"]["roi/num_rois"] == 12


@pytest.fixture
def deployed(trained, recipe, phantoms):
    """A config as a deployment has it (the one dumped beside the checkpoint), a checkpoint, and films."""
    work_dir, _ = trained
    films = sorted((phantoms / "gis/images").glob("*.jpg"))[:3]
    return work_dir / f"{recipe.name}.py", work_dir / "epoch_4.pth", films


def assert_plausible(boxes, scores, film):
    height, width = read_radiograph(film).shape
    assert len(boxes) == len(scores) > 1
    assert list(scores) == sorted(scores, reverse=True)
    side = max(height, width)  # boxes may reach into the padding of the square, never beyond
    assert np.asarray(boxes).min() >= 0
    assert np.asarray(boxes).max() <= side + 1


def test_init_detector_and_inference_detector(deployed):
    from mmdet.apis import inference_detector, init_detector

    config, checkpoint, films = deployed
    model = init_detector(str(config), str(checkpoint), device="cpu")
    assert model.dataset_meta["classes"] == ("hip",)
    for film in films:
        found = inference_detector(model, str(film)).pred_instances
        assert_plausible(found.bboxes.numpy(), found.scores.numpy(), film)
    # an array, as other pipelines pass it; last, as mmdet then changes the pipeline of the model permanently
    by_file = inference_detector(model, str(films[0])).pred_instances
    pixels = np.repeat(read_radiograph(films[0])[..., None], 3, axis=2)
    by_array = inference_detector(model, pixels).pred_instances
    np.testing.assert_allclose(by_array.bboxes.numpy(), by_file.bboxes.numpy(), atol=1e-3)


def test_det_inferencer(deployed, tmp_path):
    from mmdet.apis import DetInferencer

    config, checkpoint, films = deployed
    inferencer = DetInferencer(str(config), str(checkpoint), device="cpu", show_progress=False)
    results = inferencer([str(film) for film in films], batch_size=2, out_dir=str(tmp_path), pred_score_thr=0.0)
    for film, found in zip(films, results["predictions"]):
        assert_plausible(found["bboxes"], found["scores"], film)
    assert len(list((tmp_path / "vis").glob("*.jpg"))) == 3


@pytest.mark.parametrize("before", ["", "import mmengine; "], ids=["first", "after mmengine"])
def test_the_package_alone_registers_nothing_and_its_plugin_does(tmp_path, phantoms, before):
    """The plugin replaces ``imports=['hipdet']``, which no longer registers anything."""
    registered = "from mmdet.registry import MODELS; print(MODELS.get('HipSSDHead'))"
    import_plugin = f"{before}import hipdet; import sys; print('hipdet.plugin' in sys.modules); import hipdet.plugin"
    done = run("-c", f"{import_plugin}; {registered}", cwd=tmp_path, data_root=phantoms)
    assert done.stdout.split()[0] == "False", done.stderr
    assert "hip_ssd_head.HipSSDHead" in done.stdout.splitlines()[-1], done.stderr
