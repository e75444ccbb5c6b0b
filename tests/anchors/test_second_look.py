"""What the plan says of the second look, by hand."""

import numpy as np
import pytest
from mmengine.config import Config

from hipdet.anchors.config import PlanData, config_text
from hipdet.anchors.feature_map import Backbone
from hipdet.anchors.plan import design
from hipdet.anchors.search import Goal
from hipdet.anchors.second_look import SecondLook, roi_counts, shared_fits, square_fits
from roi_sets import placed, rois_of, squares
from tool_runs import REPOSITORY

DATA = PlanData("data", ["a.json"], "b.json", "b.json")


def written(tmp_path, rois, base):
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


def test_a_single_roi_shares_with_none():
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
    cfg, source = written(tmp_path, hips(), base), Config.fromfile(REPOSITORY / "configs" / base)
    assert tuple(cfg.model.passes) == passes
    assert cfg.model.one_size is True
    assert cfg.model.refiner.square is True
    assert cfg.model.test_cfg.max_per_img == source.model.test_cfg.max_per_img
    assert cfg.test_evaluator[1].rois_per_image == 2


def test_config_for_chests(tmp_path):
    cfg = written(tmp_path, chests(), "hip_roi_medium.py")
    assert tuple(cfg.model.passes) == (3, 2)  # of each class
    assert (cfg.model.one_size, cfg.model.refiner.square, cfg.model.bbox_head.num_classes) == (False, False, 2)
    assert cfg.test_evaluator[1].rois_per_image == dict(heart=1, lung=2)


def test_config_for_one_and_for_many(tmp_path):
    cfg = written(tmp_path, squares([0.2] * 40), "hip_roi_medium.py")
    assert (tuple(cfg.model.passes), cfg.model.one_size) == ((2, 1), False)
    many = rois_of([[0.08 * x, 0.3 * y, 0.08 * x + 0.07, 0.3 * y + 0.07] for y in range(3) for x in range(12)] * 20,
                   films=np.repeat(np.arange(60), 12))  # fmt: skip
    cfg = written(tmp_path, many, "hip_roi_small.py")
    assert (tuple(cfg.model.passes), cfg.model.test_cfg.max_per_img) == ((12,), 12)
    some = many.at(many.films % 2 * np.arange(len(many)) % 12 < 11)  # not all films have all
    assert written(tmp_path, some, "hip_roi_small.py").test_evaluator[1].rois_per_image[1] == 12


def test_a_base_without_second_look_keeps_out_of_it(tmp_path):
    cfg = written(tmp_path, chests(), "hip_ssd_r18_demo.py")
    assert "refiner" not in cfg.model
    assert "passes" not in cfg.model
