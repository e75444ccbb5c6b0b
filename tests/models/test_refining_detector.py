"""The first stage and the refiner together: what is refined, in which pixels, and what is returned."""

import os
import subprocess
import sys

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from hipdet.core.boxes import iou_matrix
from hipdet.core.errors import ConfigError
from hipdet.models.refining_detector import overruns_memory, reduced, share_size
from places import REPOSITORY
from small_detector import RESIDUAL, make_detector, sample


def test_first_stage_is_a_single_stage_detector_on_the_reduced_film():
    detector = make_detector().eval()
    film = torch.randn(1, 3, 256, 256)
    (features,) = detector.extract_feat(film)
    assert features.shape[-2:] == (8, 8)  # 256 / 2 / 16
    (expected,) = detector.backbone(film.reshape(1, 3, 128, 2, 128, 2).mean((3, 5)))
    assert features.allclose(expected, atol=1e-5)


@pytest.mark.parametrize("by", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(2, 1, 48, 96), (1, 3, 47, 61)])
def test_reduced_films_are_means_of_blocks(shape, by):
    films = torch.rand(shape) * 255
    height, width = (side // by * by for side in shape[2:])  # what doesn't fill a block is left out
    blocks = films[..., :height, :width].unfold(2, by, by).unfold(3, by, by)
    assert reduced(films, by).allclose(blocks.mean((4, 5)), atol=1e-3)
    assert reduced(films, by).shape == blocks.shape[:4]


def test_untrained_refiner_keeps_the_first_stages_boxes():
    """It leaves squares where they are, and all scores are one half: order and boxes are those of the head."""
    detector = make_detector(passes=(4, 2)).eval()
    film = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        (proposed,) = detector.bbox_head.predict(detector.extract_feat(film), [sample()], rescale=False)
        found = detector.refine(film[0], proposed)
    assert len(found) == 4 < len(proposed)
    centres = [(boxes[:4, :2] + boxes[:4, 2:]) / 2 for boxes in (proposed.bboxes, found.bboxes)]
    assert centres[0].sort(0)[0].allclose(centres[1].sort(0)[0], atol=0.1)
    assert found.scores.eq(0.5).all()

    detector.passes = ()
    with torch.no_grad():
        alone = detector.predict(film, [sample()])[0].pred_instances
    assert alone.bboxes.equal(proposed.bboxes)
    assert alone.scores.equal(proposed.scores)


def test_raw_outputs_are_the_heads_and_of_samples_those_of_both_looks():
    detector = make_detector().eval()
    film = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        head = detector(film)
        ((boxes, scores),) = detector(film, [sample()])
        (found,) = detector.predict(film, [sample()])
        scored, moved = detector.bbox_head(detector.extract_feat(film))
    assert [level.equal(other) for level, other in zip([*head[0], *head[1]], [*scored, *moved])] == [True, True]
    assert boxes.equal(found.pred_instances.bboxes)
    assert scores.equal(found.pred_instances.scores)


@pytest.mark.parametrize("passes", [(), (3, 2)])
def test_detections_are_clipped_to_the_film(passes):
    """A film of 512x320 px, half as large in the square: everything beyond x = 160 is padding."""
    detector = make_detector(passes=passes).eval()
    torch.nn.init.normal_(detector.refiner.vote.weight, std=0.1)
    one = sample(0.5)
    one.set_metainfo(dict(ori_shape=(512, 320)))
    with torch.no_grad():
        found = detector.predict(torch.randn(1, 3, 256, 256), [one])[0].pred_instances.bboxes
    assert len(found)
    assert (found.amax(0) <= torch.tensor([320.0, 512.0, 320.0, 512.0])).all()


@pytest.mark.parametrize("passes", [(3,), (4, 2), (5, 5, 1)])
def test_detections_are_sorted_few_and_distinct(passes):
    detector = make_detector(passes=passes).eval()
    torch.nn.init.normal_(detector.refiner.vote.weight, std=0.1)
    with torch.no_grad():
        found = detector.predict(torch.randn(2, 3, 256, 256), [sample(), sample()])
    for one in found:
        assert 1 <= len(one.pred_instances) <= passes[0]
        assert one.pred_instances.scores.tolist() == sorted(one.pred_instances.scores.tolist(), reverse=True)
        overlap = iou_matrix(one.pred_instances.bboxes.numpy(), one.pred_instances.bboxes.numpy())
        assert (overlap - torch.eye(len(overlap)).numpy()).max() <= 0.3 + 1e-6


def test_each_pass_refines_the_best_so_far_and_the_mean_is_returned():
    """A stand-in for the network moves boxes by 2 px, 8 px if mirrored, and reverses the order."""
    detector = make_detector(passes=(3, 1, 1))
    seen = []

    def refine(film, boxes, mirrored):
        seen.append((boxes[:, 0].tolist(), mirrored))
        return boxes + (8 if mirrored else 2), torch.linspace(0.4, 0.8, len(boxes)) if not mirrored else torch.tensor(
            [0.1]
        )

    detector.refiner.refine = refine
    boxes = torch.tensor([[0.0, 0, 20, 20], [50, 50, 70, 70], [100, 100, 120, 120], [150, 150, 170, 170]])
    proposed = InstanceData(bboxes=boxes, scores=torch.tensor([0.4, 0.3, 0.2, 0.1]), labels=torch.zeros(4).long())
    found = detector.refine(torch.zeros(3, 256, 256), proposed)
    # first: 2 52 102 with .4 .6 .8; then 102 -> 110, mean 106, score (.8 + .1) / 2 = .45: behind 52
    assert seen == [([0.0, 50.0, 100.0], False), ([102.0], True), ([52.0], False)]
    # then 52 -> 54, the mean of its two passes 53, score (.6 + .4) / 2
    assert found.bboxes[:, 0].tolist() == pytest.approx([53.0, 106.0, 2.0])
    assert found.scores.tolist() == pytest.approx([0.5, 0.45, 0.4])
    assert proposed.bboxes.equal(boxes)  # unchanged
    assert set(found.keys()) == {"bboxes", "scores", "labels"}


def test_rois_of_a_class_share_their_size():
    boxes = torch.tensor([[0.0, 0, 40, 20], [100, 0, 190, 45], [0, 100, 10, 110], [200, 200, 210, 210]])
    scores, labels = torch.tensor([0.9, 0.5, 0.9, 0.49]), torch.tensor([0, 0, 1, 0])
    found = share_size(boxes, scores, labels)
    # sqrt(40 * 90) = 60 wide, sqrt(20 * 45) = 30 high about (20, 10) and (145, 22.5); another class and a doubtful one stay
    expected = [[-10, -5, 50, 25], [115, 7.5, 175, 37.5], [0, 100, 10, 110], [200, 200, 210, 210]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))
    assert share_size(boxes[:0], scores[:0], labels[:0]).shape == (0, 4)


def test_half_way_to_one_size_by_hand():
    """Sides 40 and 90 with scores .9 and .6: weights 10 and 2.5, so their mean is 40 ** .8 * 90 ** .2 = 47.04."""
    boxes = torch.tensor([[0.0, 0, 40, 40], [100, 100, 190, 190], [0, 200, 30, 230]])
    found = share_size(boxes, torch.tensor([0.9, 0.6, 0.4]), torch.zeros(3), half=True)
    sides = (40 * 47.04) ** 0.5, (90 * 47.04) ** 0.5, 30.0  # 43.38 and 65.07; the third isn't sure
    torch.testing.assert_close((found[:, 2] - found[:, 0]).tolist(), list(sides), atol=0.01, rtol=0)
    torch.testing.assert_close((found[:, :2] + found[:, 2:]) / 2, (boxes[:, :2] + boxes[:, 2:]) / 2)
    certain = share_size(boxes[:2], torch.tensor([1.0, 1.0]), torch.zeros(2), half=True)  # no division by zero
    assert (certain[:, 2] - certain[:, 0]).tolist() == pytest.approx([(40 * 60) ** 0.5, (90 * 60) ** 0.5])


@pytest.mark.parametrize("one_size", ["whole", 2, None])
def test_bad_one_size(one_size):
    with pytest.raises(ConfigError, match="one_size must be True, False or 'half', found"):
        make_detector(one_size=one_size)


def test_one_size_is_applied_last():
    detector = make_detector(passes=(2,), one_size=True)
    detector.refiner.refine = lambda film, boxes, mirrored: (boxes, torch.full((len(boxes),), 0.7))
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 50, 90, 90]])
    proposed = InstanceData(bboxes=boxes, scores=torch.tensor([0.4, 0.3]), labels=torch.zeros(2).long())
    found = detector.refine(torch.zeros(3, 256, 256), proposed).bboxes
    assert (found[:, 2:] - found[:, :2]).flatten().tolist() == pytest.approx([20.0] * 4)


def test_pixels_of_the_film():
    detector = make_detector().eval()
    film = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        as_seen = detector.predict(film, [sample(scale=0.25)], rescale=False)[0].pred_instances.bboxes.clone()
        on_film = detector.predict(film, [sample(scale=0.25)])[0].pred_instances.bboxes
    assert on_film.allclose(as_seen * 4, atol=1e-3)


def test_boxes_are_clipped_to_the_film():
    detector = make_detector(passes=(1,)).eval()
    beyond = torch.tensor([[-9.0, 20, 300, 329]])
    detector.bbox_head.flat = lambda *_: (beyond, torch.zeros(1, 1, 1), torch.zeros(1, 1, 4))
    with torch.no_grad():
        (found,) = detector.predict(torch.randn(1, 3, 256, 256), [sample()])
    assert found.pred_instances.bboxes[0].tolist() == pytest.approx([0, 20, 256, 256], abs=0.1)


def test_a_square_over_the_edge_is_whole_until_the_end():
    """The refiner looks at all of it, and its size counts for the other ROI; the result is the part on the film."""
    detector = make_detector(passes=(2, 2), one_size=True).eval()
    proposed = torch.tensor([[-30.0, 60, 70, 160], [120, 60, 201, 141]])
    logits = torch.tensor([[[3.0], [2.0]]])
    detector.bbox_head.flat = lambda *_: (proposed, logits, torch.zeros(1, 2, 4))
    seen = []

    def refine(film, boxes, mirrored):
        seen.append(boxes)
        return boxes, torch.full((len(boxes),), 0.9)

    detector.refiner.refine = refine
    with torch.no_grad():
        (found,) = detector.predict(torch.randn(1, 3, 256, 256), [sample()])
    assert all(boxes.sort(0).values.allclose(proposed.sort(0).values) for boxes in seen)
    assert len(seen) == 2
    boxes = found.pred_instances.bboxes[found.pred_instances.bboxes[:, 0].argsort()]
    torch.testing.assert_close(boxes, torch.tensor([[0.0, 65, 65, 155], [115.5, 55.5, 205.5, 145.5]]))  # sides of 90


@pytest.mark.parametrize("boxes", [[], [[30.0, 40, 80, 90]]])
def test_every_weight_has_a_gradient_also_where_no_film_has_a_roi(boxes):
    """DistributedDataParallel waits for all of them, also in a batch of films without an ROI."""
    detector = make_detector().train()
    losses = detector.loss(torch.randn(2, 3, 256, 256), [sample(), sample(boxes=boxes)])
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    assert [name for name, weight in detector.named_parameters() if weight.grad is None] == []
    if not boxes:  # only background: class and quality learn it, boxes learn nothing
        assert losses["loss_cls"] > 0
        assert losses["loss_quality"] > 0
        assert losses["loss_bbox"] == losses["loss_refined"] == losses["loss_votes"] == 0


def test_losses_of_both_parts():
    detector = make_detector().train()
    boxes = [[50.0, 60, 110, 120], [150, 60, 210, 120]]
    losses = detector.loss(torch.randn(2, 3, 256, 256), [sample(boxes=boxes), sample()])
    assert set(losses) == {"loss_cls", "loss_bbox", "loss_quality", "loss_refined", "loss_votes"}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in detector.parameters())


@pytest.mark.parametrize("passes", [(0,), (2, 4)])
def test_passes_must_descend(passes):
    with pytest.raises(ConfigError, match="passes must be positive, in falling order"):
        make_detector(passes=passes)


def test_proposals_that_score_little_are_not_refined():
    detector = make_detector(passes=(3, 2), proposal_thr=0.3)
    assert detector.worth_refining(torch.tensor([0.9, 0.3, 0.29])).tolist() == [True, True, False]
    # as many as the last pass refines in any case
    assert detector.worth_refining(torch.tensor([0.1, 0.05, 0.04])).tolist() == [True, True, False]
    assert detector.worth_refining(torch.tensor([])).tolist() == []
    seen = []
    detector.refiner.refine = lambda film, boxes, mirrored: (seen.append(len(boxes)) or boxes + 2, boxes[:, 0] / 200)
    boxes = torch.tensor([[100.0, 0, 120, 20], [50, 50, 70, 70], [150, 100, 170, 120]])
    proposed = InstanceData(bboxes=boxes, scores=torch.tensor([0.9, 0.0, 0.2]), labels=torch.zeros(3).long())
    found = detector.refine(torch.zeros(3, 256, 256), proposed)  # a score of 0 is a place that a fixed shape has left
    assert seen == [2, 2]
    # .75 and .5 in the first pass; in the second one 152 -> 154 with .76, 102 -> 104 with .51
    assert found.scores.tolist() == pytest.approx([0.755, 0.505, 0.0])
    assert found.bboxes[:, 0].tolist() == pytest.approx([153.0, 103.0, 50.0])
    # even the best one may be such a place, as on a film with nothing but padding around it
    nothing = InstanceData(bboxes=boxes, scores=torch.zeros(3), labels=torch.zeros(3).long())
    assert detector.refine(torch.zeros(3, 256, 256), nothing).scores.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("proposal_thr", [-0.1, 1, float("nan")])
def test_bad_proposal_thr(proposal_thr):
    with pytest.raises(ConfigError, match="proposal_thr must be 0 or more and below 1"):
        make_detector(proposal_thr=proposal_thr)


def test_double_precision():
    detector = make_detector(passes=(6, 2)).eval()
    film = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        (single,) = detector.predict(film, [sample()])
        (double,) = detector.double().predict(film.double(), [sample()])
    torch.testing.assert_close(single.pred_instances.bboxes.double(), double.pred_instances.bboxes, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kept", [1, 3, 6])
def test_predict_drops_them(kept):
    detector = make_detector(passes=(6, 2)).eval()
    torch.nn.init.normal_(detector.bbox_head.conv_cls[0].weight, std=0.1)
    film = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        (proposed,) = detector.bbox_head.predict(detector.extract_feat(film), [sample()], rescale=False)
        detector.proposal_thr = float(proposed.scores[kept - 1 : kept + 1].mean())
        (found,) = detector.predict(film, [sample()])
    assert len(found.pred_instances) == max(kept, 2)


def is_channels_last(model):
    """Whether the weights of every convolution are; those of 1x1 convolutions are in both orders."""
    convolutions = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    return all(each.weight.is_contiguous(memory_format=torch.channels_last) for each in convolutions)


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_bundled_sizes_are_in_channels_last_order(size):
    init_default_scope("mmdet")
    assert is_channels_last(MODELS.build(Config.fromfile(REPOSITORY / f"configs/hip_roi_{size}.py").model))


@pytest.mark.parametrize(("channels", "safe"), [(15, False), (16, True)])
def test_networks_of_few_channels_are_not(channels, safe):
    residual = dict(RESIDUAL, base_channels=channels)
    second = dict(residual, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,))
    refiner = dict(type="RoiRefiner", backbone=second, in_channels=2 * channels, feat_channels=16, pixels=64)
    assert is_channels_last(make_detector(refiner=refiner, backbone=dict(residual, num_stages=3, strides=(1, 2, 2),
        dilations=(1, 1, 1), out_indices=(2,)))) is safe  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "overrun"),
    [
        (torch.nn.Conv2d(15, 16, 1, stride=2), True),
        (torch.nn.Conv2d(3, 16, 1, stride=(1, 2)), True),
        (torch.nn.Conv2d(16, 16, 1, stride=2), False),
        (torch.nn.Conv2d(8, 16, 1), False),
        (torch.nn.Conv2d(3, 16, 7, stride=2, padding=3), False),
        (torch.nn.BatchNorm2d(8), False),
    ],
)
def test_layers_whose_backward_overruns_its_memory(layer, overrun):
    assert overruns_memory(layer) is overrun


ONE_STEP = """
import sys
import torch
import hipdet.plugin
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

init_default_scope("mmdet")
cfg = Config.fromfile(sys.argv[1])
cfg.merge_from_dict({
    "model.backbone.base_channels": 8, "model.bbox_head.in_channels": 32, "model.refiner.backbone.base_channels": 8,
    "model.refiner.in_channels": 16})
detector = MODELS.build(cfg.model).train()
labels = InstanceData(bboxes=torch.tensor([[60.0, 60, 140, 140]]), labels=torch.zeros(1, dtype=torch.long))
meta = dict(img_shape=(448, 448), pad_shape=(448, 448), batch_input_shape=(448, 448), scale_factor=(1.0, 1.0))
samples = [DetDataSample(metainfo=meta, gt_instances=labels) for _ in range(4)]
for _ in range(2):
    losses = detector.loss(torch.rand(4, 1, 448, 448) * 255, samples)
    sum(sum(each) if isinstance(each, list) else each for each in losses.values()).backward()
print("trained")
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX512"), reason="the processor has no AVX-512"
)
@pytest.mark.parametrize("processor", ["AVX512_CORE", "DEFAULT"])
def test_eight_channels_train_in_float32_without_a_crash(processor):
    """As on a processor without AMX and bfloat16, and on this one."""
    environment = {**os.environ, "DNNL_MAX_CPU_ISA": processor, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ONE_STEP, str(REPOSITORY / "configs/hip_roi_medium.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["trained"]), done.stderr[-2000:]
