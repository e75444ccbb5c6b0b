"""mmdet's own tools on the configs, as a user types them: what comes out is looked at, not only the exit status."""

import json
import re
import time
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import mmdet
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from hipdet.engine.checkpoint import read_checkpoint
from places import REPOSITORY
from tool_runs import RECIPES, mmcv_is_lite, run_python, run_tool

pytestmark = [pytest.mark.slow, pytest.mark.ci]

TOOLS = Path(mmdet.__file__).parent / ".mim/tools"
MMDET_FIRST = ["-m", "hipdet.mmcv_lite"] if mmcv_is_lite() else []
TEST_FILE = "data/annotations/gis.json"  # six films, two hips each


def run_mmdet(script, *arguments, cwd, data):
    done = run_python(*MMDET_FIRST, TOOLS / script, *arguments, cwd=cwd, HIPDET_DATA=data)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(trained, recipe, phantoms, tmp_path_factory):
    """A config; the log and a checkpoint of its training; a dump of its test films, and their figures."""
    work_dir, _ = trained
    out = tmp_path_factory.mktemp("dump")
    place = ["--data-root", phantoms, "--work-dir", out, "--out", out / "test.pkl"]
    checkpoint = work_dir / "epoch_4.pth"
    done = run_tool("test", recipe.config, checkpoint, *place, "--cfg-options", *recipe.small, cwd=out)
    assert done.returncode == 0, done.stderr
    (log,) = work_dir.glob("*/vis_data/2*.json")
    figures = json.loads((out / "test_report.json").read_text())["figures"]
    config = REPOSITORY / recipe.config
    return SimpleNamespace(
        config=config, checkpoint=checkpoint, log=log, dump=out / "test.pkl", figures=figures, data=phantoms
    )


def it_printed_the_config(made, folder, said):
    expected = Config.fromfile(made.config).pretty_text
    assert expected in said
    assert Config.fromfile(folder / "out/whole.py").pretty_text == expected


def it_painted_every_training_film(made, folder, said):
    coco = json.loads((made.data / "annotations/cgoa_oaih_train.json").read_text())
    painted = sorted((folder / "out").iterdir())
    assert [path.name for path in painted] == sorted(Path(film["file_name"]).name for film in coco["images"])
    for path in painted:
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        assert pixels.shape == (224, 224, 3)
        assert 0.005 < (np.ptp(pixels, axis=2) > 60).mean() < 0.5  # boxes in colour on a grey film


def it_counted(made, folder, said):
    assert "Params: 47.289M" in said
    assert "Flops: 8.066G" in said


def it_timed_the_iterations(made, folder, said):
    assert 0 < float(re.search(r"average iter time: ([\d.]+) s/iter", said)[1]) < 60


def it_drew_the_curves(made, folder, said):
    assert Image.open(folder / "curves.png").width > 300
    for name in ("loss_cls", "bbox_mAP"):
        assert f"metric is {name}" in said


def it_painted_the_best_and_the_worst(made, folder, said):
    best, worst = ([path.stem for path in (folder / "out" / name).iterdir()] for name in ("good", "bad"))
    assert len(best) == len(worst) == 2
    precision = [[float(stem.rpartition("_")[2]) for stem in stems] for stems in (best, worst)]
    assert 0 <= max(precision[1]) <= min(precision[0]) <= 1
    assert not {stem[: len("gis_000001")] for stem in best} & {stem[: len("gis_000001")] for stem in worst}


def it_drew_the_matrix(made, folder, said):
    pixels = np.asarray(Image.open(folder / "out/confusion_matrix.png").convert("RGB")).reshape(-1, 3)
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    cells = colours[(counts > 1000) & (np.ptp(colours, axis=1) > 60)]
    scale = matplotlib.colormaps["plasma"](np.linspace(0, 1, 101))[:, :3] * 255
    percent = np.abs(cells[:, None] - scale).sum(2).argmin(1)
    found = 100 * made.figures["roi/oracle_acc50"]  # of the hips, whatever the score
    expected = np.array([found, 100 - found, 100, 0])  # what was found where no hip is was taken for one
    apart = np.abs(percent[:, None] - expected)  # cells of one percentage have one colour
    assert apart.min(0).max() < 2
    assert apart.min(1).max() < 2


def it_gave_the_figures_of_the_test(made, folder, said):
    printed = re.findall(r"'((?:roi|coco)/\w+)': (-?[\d.]+(?:e-?\d+)?)", said)
    assert {name: float(value) for name, value in printed} == pytest.approx(made.figures, abs=1e-6)
    assert made.figures["roi/num_rois"] == 12


def it_wrote_the_weights(made, folder, said):
    (name,) = re.findall(r"saved at (small-[0-9a-f]{8}\.pth)", said)
    deadline = time.time() + 30
    while not (folder / name).exists() or (folder / "small.pth").exists():  # mmdet doesn't wait for its `mv`
        assert time.time() < deadline
        time.sleep(0.02)
    published, trained = read_checkpoint(folder / name), read_checkpoint(made.checkpoint)
    assert sorted(published) == ["meta", "state_dict"]
    assert published["state_dict"].keys() == trained["state_dict"].keys()
    assert all(tensor.equal(trained["state_dict"][key]) for key, tensor in published["state_dict"].items())


# name, script, arguments, what is asserted; {words} are of `made`
ROWS = [
    ("print_config", "misc/print_config.py", "{config} --save-path out/whole.py", it_printed_the_config),
    (
        "browse_dataset",
        "analysis_tools/browse_dataset.py",
        "{config} --output-dir out --not-show",
        it_painted_every_training_film,
    ),
    ("get_flops", "analysis_tools/get_flops.py", "{config} --num-images 1", it_counted),
    ("analyze_logs, times", "analysis_tools/analyze_logs.py", "cal_train_time {log}", it_timed_the_iterations),
    (
        "analyze_logs, curves",
        "analysis_tools/analyze_logs.py",
        "plot_curve {log} --keys loss_cls bbox_mAP --eval-interval 2 --out curves.png",
        it_drew_the_curves,
    ),
    (
        "analyze_results",
        "analysis_tools/analyze_results.py",
        "{config} {dump} out --topk 2",
        it_painted_the_best_and_the_worst,
    ),
    (
        "confusion_matrix",
        "analysis_tools/confusion_matrix.py",
        "{config} {dump} out --score-thr 0",
        it_drew_the_matrix,
    ),
    (
        # it takes the metrics of validation for the films of the test, too
        "eval_metric",
        "analysis_tools/eval_metric.py",
        "{config} {dump} --cfg-options val_evaluator.0.ann_file={test} val_evaluator.1.ann_file={test}",
        it_gave_the_figures_of_the_test,
    ),
    ("publish_model", "model_converters/publish_model.py", "{checkpoint} small.pth", it_wrote_the_weights),
]


@pytest.mark.parametrize("recipe", RECIPES[:1], indirect=True, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize(("script", "arguments", "check"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_tool(made, tmp_path, script, arguments, check):
    if "analyze_logs" in script:
        pytest.importorskip("seaborn")
    words = [word.format(**vars(made), test=TEST_FILE) for word in arguments.split()]
    check(made, tmp_path, run_mmdet(script, *words, cwd=tmp_path, data=made.data))


def test_flops_of_both_looks(phantoms, tmp_path):
    script, config = "analysis_tools/get_flops.py", REPOSITORY / "configs/hip_roi_medium.py"
    every = "model.test_cfg.nms.iou_threshold=1.0"  # with random weights, suppression leaves fewer boxes now and then
    said = run_mmdet(script, config, "--num-images", 1, "--cfg-options", every, cwd=tmp_path, data=phantoms)
    assert "Params: 1.136M" in said
    assert "Flops: 0.734G" in said  # 0.418G of them are the first look's
