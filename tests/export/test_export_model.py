"""Exports of models that find many ROIs, and of some that can't give those that are expected."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from hipdet.export.export_model import export_model
from hipdet.inference.onnx_model import OnnxModel
from hipdet.inference.torch_model import TorchModel
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
