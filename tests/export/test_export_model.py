"""Exports of models that find many ROIs, and of some that can't give those that are expected."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from hipdet.core.errors import ConfigError
from hipdet.export.export import export_model
from hipdet.export.torch_model import TorchModel
from hipdet.inference.onnx_model import OnnxModel
from tool_runs import REPOSITORY
from untrained import noise

CONFIG = """
_base_ = [{base!r}]
metainfo = dict(classes={classes!r})
model = dict(bbox_head=dict(num_classes={number}), {changes})
test_evaluator = [dict(type='RoiMetric', ann_file='', rois_per_image={rois!r})]
"""


def untrained(folder, base, classes, rois, changes=""):
    """A model of one of our configs with random weights, read as users' are."""
    path, weights = folder / "untrained.py", folder / "untrained.pth"
    base = str(REPOSITORY / f"configs/{base}.py")
    path.write_text(CONFIG.format(base=base, classes=classes, number=len(classes), rois=rois, changes=changes))
    torch.manual_seed(0)
    init_default_scope("mmdet")
    detector = MODELS.build(Config.fromfile(path).model)
    for conv in [*detector.bbox_head.conv_reg, *detector.bbox_head.conv_cls]:
        torch.nn.init.normal_(conv.weight, std=0.05)
    torch.save(dict(state_dict=detector.state_dict(), meta=dict(dataset_meta=dict(classes=classes), epoch=0)), weights)
    return TorchModel(path, weights)


@pytest.mark.parametrize(
    ("classes", "rois", "given"),
    [(("tooth",), 7, 7), (("tooth",), [0, 6], 6), (("tooth",), 2, 4), (("jaw", "tooth"), dict(jaw=1, tooth=5), 10)],
)
def test_a_head_without_second_look_gives_as_many_as_are_expected(tmp_path, classes, rois, given):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = untrained(tmp_path, "hip_ssd_r18_demo", classes, rois)
    film = noise(224, 200, 3)
    export_model(model, model.card, tmp_path / "m.onnx", [film])
    exported = OnnxModel(tmp_path / "m.onnx")
    assert len(exported.read(exported.prepare(film)).scores) == given


@pytest.mark.parametrize(
    ("base", "changes", "rois", "words"),
    [
        (
            "hip_roi_small",
            "passes=(1,)",
            dict(heart=3, lung=1),
            r"3 ROIs of 'heart' .* model\.passes=\(1,\) gives up to 1",
        ),
        ("hip_roi_small", "passes=(1,)", 3, r"3 ROIs are expected .* gives up to 2 \(model\.passes\)"),
        (
            "hip_ssd_r18_demo",
            "test_cfg=dict(max_per_img=4)",
            dict(heart=2, lung=3),
            r"5 ROIs are expected .* gives up to 4 \(model\.test_cfg\.max_per_img\)",
        ),
    ],
)
def test_more_expected_than_the_model_gives(tmp_path, base, changes, rois, words):
    model = untrained(tmp_path, base, ("heart", "lung"), rois, changes)
    with pytest.raises(ConfigError, match=words):
        export_model(model, model.card, tmp_path / "m.onnx", [])
    assert not (tmp_path / "m.onnx").exists()
