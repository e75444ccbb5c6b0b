"""Facts of the recipe, read from the configs as mmengine builds them."""

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from places import REPOSITORY

CONFIGS = sorted((REPOSITORY / "configs").glob("*.py"))


@pytest.fixture(scope="module")
def exp3():
    return Config.fromfile(REPOSITORY / "configs/hip_ssd_exp3.py")


def test_experiment_3_is_the_papers(exp3):
    assert (exp3.model.backbone.depth, exp3.model.bbox_head.in_channels) == (101, 2048)
    assert "neck" not in exp3.model
    assert "resnet101-63fe2227.pth" in exp3.model.backbone.init_cfg.checkpoint
    assert not exp3.model.backbone.norm_eval
    focal = exp3.model.bbox_head.loss_cls
    assert (focal.alpha, focal.gamma) == (0.25, 5.0)
    optimizer = exp3.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.betas) == ("Adam", 0.01, (0.9, 0.99))
    assert exp3.train_dataloader.batch_size == 16
    assert exp3.train_cfg.max_epochs == 120
    stages = exp3.custom_hooks[0].stages
    assert [(stage.train_groups, stage.lr_mult) for stage in stages] == [(1, 1.0), (2, 0.25), (3, 0.25)]
    steps = {step.type: step for step in exp3.train_dataloader.dataset.pipeline}
    assert (steps["Resize"].scale, steps["Resize"].interpolation) == ((224, 224), "area")
    assert steps["Pad"].pad_val == dict(img=0)
    assert (steps["RandomSimilarity"].max_degrees, steps["RandomSimilarity"].rotate_prob) == (3.0, 0.9)
    assert (steps["RandomLighting"].balance, steps["RandomLighting"].contrast) == (0.5, 0.5)
    assert [d.dataset.ann_file for d in (exp3.train_dataloader, exp3.val_dataloader, exp3.test_dataloader)] == [
        "annotations/cgoa_oaih_train.json",
        "annotations/cgoa_oaih_val.json",
        "annotations/gis.json",
    ]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_builds_its_model_and_fits_together(path):
    init_default_scope("mmdet")
    cfg = Config.fromfile(path)
    cfg.model.backbone.init_cfg = None
    assert MODELS.build(cfg.model).bbox_head.num_classes == 1
    for loader, evaluators in (
        (cfg.val_dataloader, cfg.val_evaluator),
        (cfg.test_dataloader, cfg.test_evaluator),
    ):
        for evaluator in evaluators:  # a metric of another file would score the wrong films
            assert evaluator.ann_file == f"{loader.dataset.data_root}/{loader.dataset.ann_file}"
        assert loader.dataset.test_mode
        assert loader.sampler.shuffle is False
    first, *geometry_and_labels, pack = cfg.train_dataloader.dataset.pipeline
    assert first == dict(type="LoadImageFromFile", color_type="grayscale", backend_args=dict(backend="radiograph"))
    assert pack.type == "PackDetInputs"
    # the test pipeline reads labels after the geometry, so that they stay in pixels of the film
    assert [step.type for step in cfg.test_dataloader.dataset.pipeline][-2:] == ["LoadAnnotations", "PackDetInputs"]
    assert cfg.custom_imports.imports == ["hipdet.plugin"]
    assert geometry_and_labels
    # --auto-scale-lr leaves an untouched config as it is
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=cfg.train_dataloader.batch_size)
