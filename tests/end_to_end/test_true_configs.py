"""The ten configs of the paper at full size: built, trained for one step, and run for boxes.

Also the recommended configs other than medium, which differ from it in size and in their initial weights.
"""

import json

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from hipdet.engine.checkpoint import read_checkpoint
from places import REPOSITORY
from tool_runs import SMALL_ROI, run_tool

pytestmark = pytest.mark.slow

# experiment: anchors, (scales, cells, cells) of every level, parameters, training and test films of the phantoms fixture
TRUE = {
    1: (63, [(3, 4, 4), (3, 2, 2), (3, 1, 1)], 49095021, 16, 6),
    2: (147, [(3, 7, 7)], 47254095, 16, 6),
    3: (294, [(6, 7, 7)], 47288670, 16, 6),
    4: (784, [(16, 7, 7)], 47403920, 16, 6),
    5: (1519, [(31, 7, 7)], 47576795, 16, 6),
    6: (6076, [(31, 14, 14)], 30252763, 16, 6),
}
MODEL_OF_3 = {7: (10, 8), 8: (10, 6), 9: (6, 12), 10: (6, 6)}  # experiment: training and test films


def read_config(number, phantoms, monkeypatch):
    monkeypatch.setenv("HIPDET_DATA", str(phantoms))
    init_default_scope("mmdet")
    return Config.fromfile(REPOSITORY / f"configs/hip_ssd_exp{number}.py")


def data_sets(cfg):
    return [DATASETS.build(cfg[f"{part}_dataloader"].dataset) for part in ("train", "test")]


@pytest.mark.parametrize("number", MODEL_OF_3)
def test_experiments_7_to_10_are_the_third_on_other_films(number, phantoms, monkeypatch):
    cfg, third = (read_config(each, phantoms, monkeypatch) for each in (number, 3))
    assert tuple(len(films) for films in data_sets(cfg)) == MODEL_OF_3[number]
    for key in ("model", "optim_wrapper", "param_scheduler", "custom_hooks", "train_cfg"):
        assert cfg[key] == third[key], key


# the other one has the finest map; the paper's choice is trained in test_train_and_test.py
IN_CI = {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    "number", [pytest.param(each, marks=pytest.mark.ci) if each in IN_CI else each for each in TRUE]
)
def test_true_config(number, phantoms, monkeypatch):
    anchors, levels, parameters, *films = TRUE[number]
    torch.manual_seed(0)
    cfg = read_config(number, phantoms, monkeypatch)
    cfg.model.backbone.init_cfg = None  # no download
    model = MODELS.build(cfg.model)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    train, test = data_sets(cfg)
    assert [len(train), len(test)] == films

    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    model.train()
    before = model.bbox_head.conv_cls[0].weight.detach().clone()
    losses = model.train_step(pseudo_collate([train[0], train[1]]), optimizer)
    assert torch.isfinite(losses["loss"])
    assert losses["loss_bbox"] > 0
    assert not torch.equal(model.bbox_head.conv_cls[0].weight, before)

    model.eval()
    batch = model.data_preprocessor(pseudo_collate([test[0]]))
    with torch.no_grad():
        scores, boxes = model(batch["inputs"], batch["data_samples"], mode="tensor")
    assert [tuple(score.shape[1:]) for score in scores] == levels
    assert [tuple(box.shape[1:]) for box in boxes] == [(4 * scales, h, w) for scales, h, w in levels]
    assert sum(score[0].numel() for score in scores) == anchors
    with torch.no_grad():
        (found,) = model.test_step(pseudo_collate([test[0]]))
    height, width = found.ori_shape
    assert 2 <= len(found.pred_instances) <= 10
    assert found.pred_instances.bboxes.min() >= 0
    assert found.pred_instances.bboxes.max() <= max(height, width) + 1


OFFLINE = ["model.backbone.init_cfg=None", "model.refiner.backbone.init_cfg=None"]
FAMILY = {
    "hip_roi_small": SMALL_ROI,
    "hip_roi_large": SMALL_ROI,
    "hip_roi_imagenet": [*SMALL_ROI, *OFFLINE],
    "hip_roi_resnet18": [*SMALL_ROI, "model.orientation_head.in_channels=64"],
}
GROUPS = {
    "hip_roi_small": [["backbone", "bbox_head", "refiner"]],
    "hip_roi_large": [["backbone", "bbox_head", "refiner"]],
    "hip_roi_imagenet": [["bbox_head", "refiner.stem", "refiner.vote"], ["backbone", "refiner.backbone"]],
    "hip_roi_resnet18": [
        ["backbone", "bbox_head", "orientation_head", "refiner.stem", "refiner.vote", "refiner.mixing"],
        ["refiner.backbone"],
    ],
}


@pytest.mark.parametrize("name", FAMILY)
def test_train_resume_and_test(name, phantoms, tmp_path):
    config = f"configs/{name}.py"
    for epochs, resume in ((1, []), (2, ["--resume"])):
        options = ["--cfg-options", *FAMILY[name], f"train_cfg.max_epochs={epochs}", "train_cfg.val_interval=2"]
        place = ["--data-root", phantoms, "--work-dir", tmp_path / "run"]
        done = run_tool("train", config, *place, *resume, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "Epoch(train) [1]" not in done.stdout + done.stderr
    checkpoint = read_checkpoint(tmp_path / "run/epoch_2.pth")
    assert [group["prefixes"] for group in checkpoint["optimizer"]["param_groups"]] == GROUPS[name]
    arguments = [config, tmp_path / "run/epoch_2.pth", *place, "--cfg-options", *FAMILY[name]]
    done = run_tool("test", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/test_report.json").read_text())["figures"]["roi/num_rois"] == 12


def test_without_a_network_the_remedy_is_named(phantoms, tmp_path):
    missing = [
        f"{part}.init_cfg.checkpoint={tmp_path}/resnet18.pth" for part in ("model.backbone", "model.refiner.backbone")
    ]
    arguments = ["--data-root", phantoms, "--work-dir", tmp_path / "run", "--cfg-options", *missing]
    done = run_tool("train", "configs/hip_roi_imagenet.py", *arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert "resnet18.pth" in done.stderr
    assert "model.backbone.init_cfg.checkpoint=FILE" in done.stderr
    assert "Traceback" not in done.stderr
