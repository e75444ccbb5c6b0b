"""The traceable graph, and its ONNX file, are compared with the detector's own predict."""

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope

from hipdet.core.errors import ConfigError
from hipdet.export.export import write_onnx
from hipdet.export.graph import DetectorGraph
from places import REPOSITORY

SIDES = {"hip_roi_small": 448, "hip_roi_medium": 448, "hip_ssd_r18_demo": 224}


def make_detector(name, classes=1, **changes):
    """A detector of hipdet's own config, with weights that give detections everywhere."""
    torch.manual_seed(0)
    init_default_scope("mmdet")
    cfg = Config.fromfile(REPOSITORY / f"configs/{name}.py")
    cfg.model.bbox_head.num_classes = classes
    model = MODELS.build({**cfg.model, **changes}).eval()
    for conv in model.bbox_head.conv_reg:
        torch.nn.init.normal_(conv.weight, std=0.05)
    for conv in model.bbox_head.conv_cls:
        torch.nn.init.normal_(conv.weight, std=0.05)  # more would saturate: ties
    if hasattr(model, "refiner"):
        torch.nn.init.normal_(model.refiner.vote.weight, std=0.05)
    return model


def films(side, count=3):
    """Blurred noise on part of the square, and the extent of that part."""
    generator = np.random.default_rng(0)
    for number in range(count):
        width, height = side - 40 * number, side - 24
        film = np.zeros((side, side), np.uint8)
        coarse = generator.integers(0, 255, (height // 8 + 1, width // 8 + 1), dtype=np.uint8)
        film[:height, :width] = np.kron(coarse, np.ones((8, 8), np.uint8))[:height, :width]
        yield torch.from_numpy(film)[None, None], (width, height)


def predicted(detector, film, extent):
    """The detections of the detector's own ``predict``, from the grey film."""
    sample = DetDataSample(metainfo=dict(img_shape=extent[::-1], scale_factor=(1.0, 1.0)))
    batch = detector.data_preprocessor(dict(inputs=[film[0].expand(3, -1, -1)], data_samples=[sample]))
    batch["data_samples"][0].set_metainfo(dict(img_shape=extent[::-1]))
    with torch.no_grad():
        found = detector.predict(batch["inputs"], batch["data_samples"], rescale=False)[0].pred_instances
    return found.bboxes.numpy(), found.scores.numpy(), found.labels.numpy()


FEW = dict(passes=(6, 2), proposal_thr=0.0221)  # keeps 5, 2 and 5 proposals of `films`
THREE = dict(classes=3, passes=(3, 2), one_size=False)
CASES = [
    ("hip_roi_medium", {}),
    ("hip_roi_small", {}),
    ("hip_roi_medium", dict(passes=(4, 2, 1), one_size="half")),
    ("hip_roi_medium", dict(passes=())),
    ("hip_ssd_r18_demo", {}),
    ("hip_roi_medium", THREE),
    ("hip_roi_small", dict(classes=3)),
    ("hip_roi_medium", dict(classes=2, passes=(4, 2, 1), one_size=True)),
    ("hip_ssd_r18_demo", dict(classes=3)),
    ("hip_roi_medium", FEW),
    ("hip_roi_medium", dict(FEW, classes=2)),
    ("hip_roi_small", dict(orientation_head=dict(type="OrientationHead", in_channels=96))),
]


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_graph_is_the_detector(name, changes):
    detector = make_detector(name, **changes)
    graph = DetectorGraph(detector, SIDES[name])
    for film, extent in films(SIDES[name]):
        boxes, scores, classes = predicted(detector, film, extent)
        with torch.no_grad():
            found, confidence, labels, *orientation = graph(film, torch.tensor(extent, dtype=torch.float32))
        count = min(len(boxes), graph.rois)
        np.testing.assert_allclose(found.numpy()[:count], boxes[:count], atol=1e-3)
        np.testing.assert_allclose(confidence.numpy()[:count], scores[:count], atol=1e-5)
        assert (confidence[count:] == 0).all()
        assert labels[:count].tolist() == classes[:count].tolist()
        assert [tuple(each.shape) for each in orientation] == [(5,)] * ("orientation_head" in changes)
        if graph.passes:  # each class has its chance
            assert set(labels.tolist()) == set(range(changes.get("classes", 1)))


@pytest.mark.parametrize(("name", "changes"), [*CASES[:2], ("hip_roi_medium", THREE), *CASES[-3:]])
def test_onnx_file_is_the_graph(name, changes, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    detector = make_detector(name, **changes)
    graph = DetectorGraph(detector, SIDES[name])
    write_onnx(graph, tmp_path / "new/model.onnx")
    session = runtime.InferenceSession(tmp_path / "new/model.onnx", providers=["CPUExecutionProvider"])
    counts = set()
    for film, extent in films(SIDES[name]):
        inputs = dict(film=film.numpy(), extent=np.array(extent, np.float32))
        boxes, scores, labels, *orientation = session.run(None, inputs)
        with torch.no_grad():
            expected = graph(film, torch.tensor(extent, dtype=torch.float32))
        np.testing.assert_allclose(boxes, expected[0].numpy(), atol=1e-3)
        np.testing.assert_allclose(scores, expected[1].numpy(), atol=1e-5)
        assert labels.tolist() == expected[2].tolist()
        counts.add(int((scores > 0).sum()))
        assert [each.name for each in session.get_outputs()] == ["boxes", "scores", "labels", "orientation"][
            : len(expected)
        ]
        for each, other in zip(orientation, expected[3:], strict=True):
            np.testing.assert_allclose(each, other.numpy(), atol=1e-5)
    assert (len(counts) > 1) == ("proposal_thr" in changes)  # as many crops as proposals are worth it


def test_other_detectors_are_refused():
    detector = make_detector("hip_roi_medium")
    detector.test_cfg.score_thr = 0.1
    with pytest.raises(ConfigError, match="score_thr=0"):
        DetectorGraph(detector, 448)
    detector.bbox_head = torch.nn.Identity()
    with pytest.raises(ConfigError, match="expected a HipSSDHead, found Identity"):
        DetectorGraph(detector, 448)
