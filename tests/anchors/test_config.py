"""The written config has the plan's settings, and mmengine reads it from any folder.

The plan's settings of the second look are checked by hand.
"""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from hipdet.anchors.config import PlanData, config_text
from hipdet.anchors.feature_map import Backbone
from hipdet.anchors.plan import design
from hipdet.anchors.search import Goal
from hipdet.anchors.second_look import SecondLook, roi_counts, shared_fits, square_fits
from hipdet.core.classes import mirrored_labels, sided_pairs
from hipdet.core.errors import ConfigError
from hipdet.engine.config import use_environment
from places import REPOSITORY
from roi_sets import placed, rois_of, squares

EXP3 = REPOSITORY / "configs/hip_ssd_exp3.py"


def written(tmp_path, rois, data, base=EXP3, **goal):
    plan = design({"films": rois}, Goal(**goal))
    path = tmp_path / "out/ssd.py"
    path.parent.mkdir()
    path.write_text(config_text(plan, Config.fromfile(base), base, path, data))
    return plan, path.read_text(), Config.fromfile(path)


def test_hips(tmp_path, monkeypatch):
    monkeypatch.delenv("HIPDET_DATA", raising=False)
    data = PlanData("data/knees", ["annotations/train.json"], "annotations/val.json", "annotations/test.json")
    _, text, cfg = written(tmp_path, squares(np.linspace(0.1, 0.3, 200)), data)
    assert text.splitlines()[1] == "# Grid 7, 6 scales 0.7 1.0 1.3 1.6 1.9 2.2, 294 anchors."
    exp3 = Config.fromfile(EXP3)
    assert cfg.model.bbox_head.anchor_generator == exp3.model.bbox_head.anchor_generator
    assert cfg.model == exp3.model  # the paper's ratios, the paper's model
    assert cfg.train_dataloader.dataset.ann_file == "annotations/train.json"
    assert cfg.train_dataloader.dataset.pipeline == exp3.train_dataloader.dataset.pipeline
    assert [cfg[f"{part}_dataloader"].dataset.data_root for part in ("train", "val", "test")] == ["data/knees"] * 3
    assert [evaluator.ann_file for evaluator in cfg.test_evaluator] == ["data/knees/annotations/test.json"] * 2
    assert cfg.val_evaluator[1].rois_per_image == 1


def test_data_root_can_be_given_later(tmp_path, monkeypatch):
    monkeypatch.setenv("HIPDET_DATA", "/elsewhere")
    _, text, cfg = written(tmp_path, squares([0.2] * 50), PlanData("data", ["a.json"], "b.json", "b.json"))
    assert "HIPDET_DATA" not in text
    use_environment(cfg)
    assert cfg.train_dataloader.dataset.data_root == "/elsewhere"
    assert cfg.val_evaluator[0].ann_file == "/elsewhere/b.json"


def test_a_folder_with_a_space(tmp_path):
    _, _, cfg = written(tmp_path, squares([0.2] * 50), PlanData("my films", ["it's.json"], "b.json", "b.json"))
    assert cfg.train_dataloader.dataset.data_root == "my films"
    assert cfg.train_dataloader.dataset.ann_file == "it's.json"


def test_names_in_the_data_are_not_run(tmp_path, monkeypatch):
    """A line break ends a comment, and mmengine substitutes variables between double braces in the source."""
    monkeypatch.chdir(tmp_path)
    name = "x\nopen('canary', 'w')  # .json"
    _, _, cfg = written(tmp_path, squares([0.2] * 50), PlanData("my 'films\"", [name], "b.json", "b.json"))
    assert cfg.train_dataloader.dataset.ann_file == name
    assert cfg.val_evaluator[0].ann_file == "my 'films\"/b.json"
    assert not Path("canary").exists()
    plan = design({"films": squares([0.2] * 50)})
    for root, ann_file in (("{{$HOME:a}}", "a.json"), ("data", "{{ fileDirname }}.json")):
        with pytest.raises(ConfigError, match=r"substitutes variables at '\{\{'; rename"):
            config_text(plan, Config.fromfile(EXP3), EXP3, tmp_path / "a.py", PlanData(root, [ann_file]))


def test_several_classes_and_aspects(tmp_path):
    width = np.full(90, 0.25)
    height = np.where(np.arange(90) % 3 == 0, 0.25, 0.5)
    rois = placed(
        width, height, np.random.default_rng(0), films=np.arange(90) // 3, labels=np.where(np.arange(90) % 3 == 0, 0, 1),
        classes=("heart", "lung"),
    )  # fmt: skip
    plan, _, cfg = written(tmp_path, rois, PlanData("data", ["a.json"], "b.json", "b.json"))
    assert cfg.model.bbox_head.num_classes == 2
    assert cfg.model.bbox_head.anchor_generator.type == "AnchorGenerator"
    assert tuple(cfg.model.bbox_head.anchor_generator.ratios) == plan.anchors.aspects
    assert cfg.classes == ("heart", "lung")
    assert cfg.test_dataloader.dataset.metainfo == dict(
        classes=("heart", "lung"), palette=[(220, 20, 60), (0, 130, 200)]
    )
    assert cfg.test_evaluator[1].rois_per_image == dict(heart=1, lung=2)


SIDED = ("heart", "left lung", "right lung")


def hearts_and_lungs(classes):
    """A film has one ROI of each class."""
    each = np.arange(90)
    return squares(np.linspace(0.2, 0.3, 90), films=each // 3, labels=each % 3, classes=classes)


def test_left_and_right_change_places_in_a_mirror_image(tmp_path):
    data = PlanData("data", ["a.json"], "b.json", "b.json")
    roi = REPOSITORY / "configs/hip_ssd_r18_demo.py"
    _, text, cfg = written(tmp_path, hearts_and_lungs(SIDED), data, roi)
    assert "mirrored_pairs=[('left lung', 'right lung')]" in text
    for part in ("train", "val", "test"):
        assert cfg[f"{part}_dataloader"].dataset.metainfo.mirrored_pairs == [("left lung", "right lung")]
    assert mirrored_labels(cfg.metainfo, "here") == (0, 2, 1)


@pytest.mark.parametrize("classes", [("heart", "lung", "liver"), SIDED])
def test_pairs_of_the_base_do_not_stay(tmp_path, classes):
    base = tmp_path / "base.py"
    pairs = "metainfo = dict(mirrored_pairs=[('left hip', 'right hip')])"
    base.write_text(f"_base_ = [{str(EXP3)!r}]\n{pairs}")
    _, _, cfg = written(tmp_path, hearts_and_lungs(classes), PlanData("data", ["a.json"], "b.json", "b.json"), base)
    assert cfg.train_dataloader.dataset.metainfo.mirrored_pairs == sided_pairs(classes)


def test_films_of_two_files_without_validation(tmp_path):
    _, text, cfg = written(tmp_path, squares([0.2] * 50), PlanData("data", ["a.json", "b.json"]))
    assert "no file for validation" in text
    dataset = cfg.train_dataloader.dataset
    assert dataset.type == "ConcatDataset"
    assert [part.ann_file for part in dataset.datasets] == ["a.json", "b.json"]
    exp3 = Config.fromfile(EXP3).train_dataloader.dataset
    assert all(part.pipeline == exp3.pipeline and part.filter_cfg == exp3.filter_cfg for part in dataset.datasets)
    assert cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is None
    assert cfg.test_dataloader.dataset.ann_file == ""
    assert cfg.test_dataloader.dataset.pipeline == Config.fromfile(EXP3).test_dataloader.dataset.pipeline
    assert cfg.test_evaluator[1].rois_per_image == 1
    assert cfg.default_hooks.checkpoint.save_best is None


def test_a_finer_grid_shortens_the_backbone(tmp_path):
    data = PlanData("data", ["a.json"], "b.json", "b.json")
    plan, _, cfg = written(tmp_path, squares(np.linspace(0.04, 0.1, 99)), data, grids=((14,),))
    assert plan.anchors.grids == (14,)
    assert cfg.model.backbone.num_stages == 3
    assert cfg.model.bbox_head.in_channels == 1024
    assert [group.prefixes for group in cfg.optim_wrapper.paramwise_cfg.groups][1] == ["backbone.layer3"]


def test_rois_that_overlap_survive_suppression(tmp_path):
    rois = rois_of([[0.1, 0.1, 0.4, 0.4], [0.2, 0.1, 0.5, 0.4]] * 50, np.repeat(np.arange(50), 2))
    _, _, cfg = written(tmp_path, rois, PlanData("data", ["a.json"], "b.json", "b.json"))
    assert cfg.model.test_cfg.nms == dict(type="nms", iou_threshold=0.6)


def test_paths_are_relative_to_the_data_root(tmp_path):
    root = tmp_path / "films"
    data = PlanData.at(root, [root / "annotations/a.json", tmp_path / "b.json"], root / "c.json")
    assert data.train == ["annotations/a.json", "../b.json"]
    assert (data.val, data.test) == ("c.json", "c.json")


@pytest.mark.parametrize("base", ["hip_ssd_r18_demo.py", "hip_ssd_r18.py", "hip_ssd_exp1.py"])
def test_other_bases(tmp_path, base):
    data = PlanData("data", ["a.json"], "b.json", "b.json")
    plan, _, cfg = written(tmp_path, squares(np.linspace(0.1, 0.3, 200)), data, REPOSITORY / "configs" / base)
    assert cfg.model.bbox_head.anchor_generator.strides == [32]
    assert cfg.model.bbox_head.downsamples == [0]
    assert plan.anchors.grids == (7,)


DATA = PlanData("data", ["a.json"], "b.json", "b.json")


def written_second_look(tmp_path, rois, base):
    base = REPOSITORY / "configs" / base
    source = Config.fromfile(base)
    plan = design({"films": rois}, Goal(), Backbone.of(source))
    path = tmp_path / "ssd.py"
    path.write_text(config_text(plan, source, base, path, DATA))
    return Config.fromfile(path)


def hips(films=60):
    return squares(np.repeat(np.linspace(0.1, 0.3, films), 2), films=np.repeat(np.arange(films), 2))


def chests(films=60):
    """A heart, 1.2 times as wide as high, and two lungs, twice as high as wide, of which one is a fifth wider."""
    size = np.repeat(np.linspace(0.8, 1.0, films), 3)
    width, height = (np.tile(each, films) * size for each in ([0.3, 0.25, 0.3], [0.25, 0.5, 0.5]))
    labels = np.tile([0, 1, 1], films)
    return placed(
        width, height, np.random.default_rng(0), films=np.repeat(np.arange(films), 3), labels=labels,
        classes=("heart", "lung"),
    )  # fmt: skip


def test_fits_by_hand():
    rois = rois_of(
        [[0, 0, 0.1, 0.4], [0.5, 0.5, 0.9, 0.6], [0, 0, 0.2, 0.2]], films=[0, 1, 2], labels=[0, 0, 1], classes="ab"
    )
    # aspects 4 and 1/4: the square of side 2 shares 2 of 4 + 4 - 2 with a box of 1 x 4
    assert square_fits(rois) == dict(a=pytest.approx(1 / 3), b=pytest.approx(1.0))
    assert shared_fits(rois) == {}
    rois = rois_of([[0, 0, 0.1, 0.2], [0.5, 0.5, 0.9, 0.7], [0, 0, 0.2, 0.2]], films=[0, 0, 1])
    # 0.1 and 0.4 wide, mean 0.2: each shares one half with it
    assert shared_fits(rois) == dict(hip=pytest.approx(0.5))


def test_hips_stay_as_they_are():
    look = SecondLook.of(hips())
    assert (look.square, look.one_size, look.most) == (True, True, 2)


def test_other_rois():
    look = SecondLook.of(chests())
    assert (look.square, look.one_size, look.most) == (False, False, 2)
    text = " ".join(look.reasons)
    # aspect 2: 1 / (2 x sqrt 2 - 1) = .55; a fifth wider: sqrt 1.2, 1 / 1.095 = .91
    assert "squares reach a mean IoU of 0.5" in text
    assert "Boxes of one size on a film reach 0.91 with the labels of 'lung'" in text
    assert "up to 2 ROIs of a class" in text


def test_a_single_roi_shares_no_size():
    look = SecondLook.of(squares([0.2] * 40))
    assert (look.square, look.one_size, look.most) == (True, False, 1)


def test_counts_of_films_that_have_any():
    labels, films = [0, 1, 1, 1, 0], [0, 0, 0, 2, 2]  # film 1 has none
    counts = roi_counts(rois_of([[0, 0, 0.1, 0.1]] * 5, films=films, labels=labels, classes=("heart", "lung")))
    assert counts.to_json() == dict(heart=1, lung=[1, 2])


@pytest.mark.parametrize(
    ("base", "passes"), [("hip_roi_medium.py", (3, 2)), ("hip_roi_small.py", (2,)), ("hip_roi_large.py", (3, 2))]
)
def test_config_for_hips(tmp_path, base, passes):
    cfg, source = written_second_look(tmp_path, hips(), base), Config.fromfile(REPOSITORY / "configs" / base)
    assert tuple(cfg.model.passes) == passes
    assert cfg.model.one_size is True
    assert cfg.model.refiner.square is True
    assert cfg.model.test_cfg.max_per_img == source.model.test_cfg.max_per_img
    assert cfg.test_evaluator[1].rois_per_image == 2


def test_config_for_chests(tmp_path):
    cfg = written_second_look(tmp_path, chests(), "hip_roi_medium.py")
    assert tuple(cfg.model.passes) == (3, 2)  # of each class
    assert (cfg.model.one_size, cfg.model.refiner.square, cfg.model.bbox_head.num_classes) == (False, False, 2)
    assert cfg.test_evaluator[1].rois_per_image == dict(heart=1, lung=2)


def test_config_for_one_and_for_many(tmp_path):
    cfg = written_second_look(tmp_path, squares([0.2] * 40), "hip_roi_medium.py")
    assert (tuple(cfg.model.passes), cfg.model.one_size) == ((2, 1), False)
    many = rois_of([[0.08 * x, 0.3 * y, 0.08 * x + 0.07, 0.3 * y + 0.07] for y in range(3) for x in range(12)] * 20,
                   films=np.repeat(np.arange(60), 12))  # fmt: skip
    cfg = written_second_look(tmp_path, many, "hip_roi_small.py")
    assert (tuple(cfg.model.passes), cfg.model.test_cfg.max_per_img) == ((12,), 12)
    some = many.at(many.films % 2 * np.arange(len(many)) % 12 < 11)  # not all films have all
    assert written_second_look(tmp_path, some, "hip_roi_small.py").test_evaluator[1].rois_per_image[1] == 12


def test_a_base_without_second_look_gets_none(tmp_path):
    cfg = written_second_look(tmp_path, chests(), "hip_ssd_r18_demo.py")
    assert "refiner" not in cfg.model
    assert "passes" not in cfg.model
