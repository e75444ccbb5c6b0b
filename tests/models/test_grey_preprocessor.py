"""Films of one channel against mmdet's own preprocessor on three equal ones."""

import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from hipdet.models.backbones import GreyPreprocessor
from tool_runs import REPOSITORY

SETTINGS = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_size_divisor=32
)  # fmt: skip


def batch(shapes, channels, dtype):
    generator = torch.Generator().manual_seed(0)
    films = [torch.randint(0, 256, (1, *shape), generator=generator).to(dtype) for shape in shapes]
    samples = [DetDataSample(metainfo=dict(img_shape=shape)) for shape in shapes]
    return dict(inputs=[film.expand(channels, -1, -1).clone() for film in films], data_samples=samples)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "shapes", [[(64, 64)] * 3, [(64, 64), (32, 96)], [(50, 70)] * 2], ids=["one", "several", "odd"]
)
def test_equals_mmdets_on_three_channels(shapes, channels, dtype):
    expected = DetDataPreprocessor(**SETTINGS)(batch(shapes, 3, dtype), training=True)
    found = GreyPreprocessor(**SETTINGS)(batch(shapes, channels, dtype), training=True)
    assert torch.equal(found["inputs"], expected["inputs"])
    for mine, theirs in zip(found["data_samples"], expected["data_samples"]):
        assert mine.metainfo == theirs.metainfo
    if len(set(shapes)) == 1:  # as collate_films gives them
        data = batch(shapes, channels, dtype)
        data["inputs"] = torch.stack(data["inputs"])
        assert torch.equal(GreyPreprocessor(**SETTINGS)(data, training=True)["inputs"], expected["inputs"])


def test_colour_stays_colour():
    colour = dict(inputs=[torch.arange(3 * 32 * 32).reshape(3, 32, 32).float() % 256], data_samples=None)
    expected = DetDataPreprocessor(**SETTINGS)(dict(colour))
    assert torch.equal(GreyPreprocessor(**SETTINGS)(colour)["inputs"], expected["inputs"])


def test_any_backbone_behind_it():
    """MobileNetV2 in the place of the ResNet: it learns, and its exported graph gives what it predicts."""
    pytest.importorskip("onnx")
    from hipdet.export.graph import DetectorGraph

    init_default_scope("mmdet")
    torch.manual_seed(0)
    cfg = Config.fromfile(REPOSITORY / "configs/hip_ssd_r18_demo.py")
    backbone = dict(type="MobileNetV2", widen_factor=0.25, out_indices=(7,))
    preprocessor = dict(type="GreyPreprocessor", **SETTINGS)
    cfg.model.bbox_head.in_channels = 1280
    detector = MODELS.build({**cfg.model, "backbone": backbone, "data_preprocessor": preprocessor})
    data = batch([(224, 224)] * 2, 1, torch.uint8)
    for sample in data["data_samples"]:
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0)))
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[40.0, 60, 90, 110]]), labels=torch.zeros(1).long())
    losses = detector.train()(**detector.data_preprocessor(data, training=True), mode="loss")
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in detector.parameters())
    graph = DetectorGraph(detector.eval(), 224)
    with torch.no_grad():
        boxes, scores, _ = graph(data["inputs"][0][None], torch.tensor([224.0, 224.0]))
        prepared = detector.data_preprocessor(data)
        (found, _) = detector.predict(prepared["inputs"], prepared["data_samples"], rescale=False)
    torch.testing.assert_close(boxes, found.pred_instances.bboxes[: len(boxes)], atol=1e-3, rtol=0)
    torch.testing.assert_close(scores, found.pred_instances.scores[: len(scores)], atol=1e-5, rtol=0)
