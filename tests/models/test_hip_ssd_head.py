"""Parity with the paper's training recipe (docs/method.md), in literal numbers."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules import DeltaXYWHBBoxCoder, MaxIoUAssigner
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from hipdet.core.boxes import iou_matrix
from hipdet.core.errors import ConfigError
from hipdet.models.hip_ssd_head import HipSSDHead, bounded_deltas
from hipdet.models.square_anchor_generator import SquareAnchorGenerator

SCALES = [0.7, 1.0, 1.3, 1.6, 1.9, 2.2]
META = dict(img_shape=(224, 224), pad_shape=(224, 224), batch_input_shape=(224, 224), scale_factor=(1.0, 1.0))


def make_head(**changes):
    settings = dict(
        num_classes=1,
        in_channels=8,
        feat_channels=16,
        anchor_generator=dict(type="SquareAnchorGenerator", strides=[32], scales=SCALES),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, alpha=0.25, gamma=5.0),
        loss_bbox=dict(type="L1Loss"),
        train_cfg=dict(
            assigner=dict(
                type="MaxIoUAssigner", pos_iou_thr=0.4, neg_iou_thr=0.4, min_pos_iou=0.0, gt_max_assign_all=False
            ),
            allowed_border=-1,
            pos_weight=-1,
        ),
        test_cfg=ConfigDict(
            nms_pre=100, score_thr=0.0, min_bbox_size=0, nms=dict(type="nms", iou_threshold=0.3), max_per_img=10
        ),
    )
    return HipSSDHead(**{**settings, **changes})


def ground_truth(boxes, labels=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return InstanceData(bboxes=boxes, labels=torch.tensor(labels or [0] * len(boxes), dtype=torch.long))


def decode(raw, anchors, cell=32.0):
    """hipdet's way: tanh -> deltas -> mmdet's own coder."""
    sides = anchors[:, 2:] - anchors[:, :2]
    deltas = bounded_deltas(raw.view(1, -1, 4, 1, 1), torch.tensor([cell, cell]), sides)
    return DeltaXYWHBBoxCoder().decode(anchors, deltas.view(-1, 4))


def fastai_decode(raw, anchors, cell=32.0):
    """The recipe's formula, on centres and sides."""
    a = torch.tanh(raw)
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2 + a[:, :2] / 2 * cell
    side = (anchors[:, 2:] - anchors[:, :2]) * (1 + a[:, 2:] / 2)
    return torch.cat([centre - side / 2, centre + side / 2], dim=1)


ANCHORS = SquareAnchorGenerator(strides=[32], scales=SCALES).grid_priors([(7, 7)], device="cpu")[0]


def test_decoding_equals_the_recipe():
    torch.manual_seed(0)
    raw = torch.randn(294, 4) * 3
    torch.testing.assert_close(decode(raw, ANCHORS), fastai_decode(raw, ANCHORS), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        # the anchor of scale 1 at the first cell is 0, 0, 32, 32
        ((0.0, 0.0, 0.0, 0.0), (0, 0, 32, 32)),
        ((99.0, -99.0, 0.0, 0.0), (16, -16, 48, 16)),  # half a cell and no more
        ((0.0, 0.0, 99.0, 99.0), (-8, -8, 40, 40)),  # 1.5 sides
        ((0.0, 0.0, -99.0, -99.0), (8, 8, 24, 24)),  # half a side
    ],
)
def test_bounds(raw, expected):
    found = decode(torch.tensor([raw]), ANCHORS[1:2])
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float32), atol=1e-4, rtol=0)


def test_reach_of_experiment_3():
    # sides from 22.4 / 2 = 11.2 px (5% of 224) to 70.4 * 1.5 = 105.6 px (47%)
    smallest, largest = decode(torch.tensor([[0, 0, -99.0, -99], [0, 0, 99, 99]]), ANCHORS[[0, 5]])
    assert (smallest[2] - smallest[0]).item() == pytest.approx(11.2, abs=1e-4)
    assert (largest[2] - largest[0]).item() == pytest.approx(105.6, abs=1e-4)


@given(st.lists(st.floats(-8, 8), min_size=4, max_size=4), st.integers(0, 293))
@settings(max_examples=50, deadline=None)
def test_gradient_flows_through_decoding(values, anchor):
    raw = torch.tensor([values], dtype=torch.float64, requires_grad=True)
    decode(raw, ANCHORS[anchor : anchor + 1].double()).sum().backward()
    assert torch.isfinite(raw.grad).all()


def brute_force_assignment(anchors, boxes):
    """Recipe: IoU > 0.4, and the best anchor of every box, forced; later boxes win a tie of forced anchors."""
    iou = iou_matrix(anchors, boxes)
    owner = [int(row.argmax()) if row.max() >= 0.4 else -1 for row in iou]
    for g in range(len(boxes)):
        owner[int(iou[:, g].argmax())] = g
    return owner


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_assignment_equals_brute_force(data):
    side = st.floats(10, 100)
    boxes = []
    for _ in range(2):
        s = data.draw(side)
        x, y = data.draw(st.floats(0, 224 - s)), data.draw(st.floats(0, 224 - s))
        boxes.append([x, y, x + s, y + s])
    head = make_head()
    assigned = head.assigner.assign(InstanceData(priors=ANCHORS), ground_truth(boxes)).gt_inds - 1
    single = torch.tensor(boxes, dtype=torch.float32).double().numpy()
    expected = brute_force_assignment(ANCHORS.double().numpy(), single)
    differing = [i for i in range(294) if assigned[i] != expected[i]]
    # float32 and float64 may disagree where two IoUs are equal to 7 digits
    iou = iou_matrix(ANCHORS.double().numpy(), single)
    for i in differing:
        row, column = iou[i], iou.max(axis=0)
        assert abs(row.max() - 0.4) < 1e-5 or abs(row[0] - row[1]) < 1e-5 or any(abs(row - column) < 1e-5)


def test_assignment_literally():
    # a 48-px box centred at 112, 112, the centre of the middle cell (3, 3).  Same centre: IoU = (small / large)^2:
    # 22.4: .218, 32: .444, 41.6: .751, 51.2: .879, 60.8: .623, 70.4: .465 -> five of six
    assigned = make_head().assigner.assign(InstanceData(priors=ANCHORS), ground_truth([[88, 88, 136, 136]])).gt_inds
    cell = (3 * 7 + 3) * 6
    assert assigned[cell : cell + 6].tolist() == [0, 1, 1, 1, 1, 1]
    # a 10-px box overlaps no anchor enough (22.4: at most .199): its best is forced
    assigned = make_head().assigner.assign(InstanceData(priors=ANCHORS), ground_truth([[107, 107, 117, 117]])).gt_inds
    assert assigned.nonzero().flatten().tolist() == [cell]
    assert isinstance(make_head().assigner, MaxIoUAssigner)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_focal_value_and_gradient(p):
    focal = MODELS.build(dict(type="FocalLoss", use_sigmoid=True, alpha=0.25, gamma=5.0))
    for target, alpha, pt in ((1.0, 0.25, p), (0.0, 0.75, 1 - p)):
        logit = torch.tensor([[math.log(p / (1 - p))]], dtype=torch.float64, requires_grad=True)
        loss = focal(logit, torch.tensor([[target]], dtype=torch.float64), reduction_override="sum")
        loss.backward()
        assert loss.item() == pytest.approx(-alpha * (1 - pt) ** 5 * math.log(pt))
        # d/dx of -a (1-q)^g log q with q = sigmoid(+-x): +-a (1-q)^g (g q log q - (1-q)), through the modulating factor
        sign = 1 if target else -1
        expected = sign * alpha * (1 - pt) ** 5 * (5 * pt * math.log(pt) - (1 - pt))
        assert logit.grad.item() == pytest.approx(expected)


def flat_maps(values, anchors=6):
    """[anchors * 49, C] in the anchors' order to a map [1, anchors * C, 7, 7]."""
    return values.view(7, 7, -1).permute(2, 0, 1)[None].contiguous()


def losses_of(head, logits, deltas, boxes, labels=None):
    return head.loss_by_feat([flat_maps(logits)], [flat_maps(deltas)], [ground_truth(boxes, labels)], [META])


def test_loss_by_hand():
    # the 48-px box has five positive anchors of the same centre; with deltas 0 each corner is off by half the difference of
    # sides: 8, 3.2, 1.6, 6.4, 11.2 px -> mean 6.08 px of 224
    losses = losses_of(make_head(), torch.zeros(294, 1), torch.zeros(294, 4), [[88, 88, 136, 136]])
    # neighbours with IoU >= .4 are positive too: count them by hand
    iou = iou_matrix(ANCHORS.numpy(), [[88, 88, 136, 136]])[:, 0]
    positive = ANCHORS[torch.tensor(iou >= 0.4)]
    expected = (positive - torch.tensor([88.0, 88, 136, 136])).abs().mean() / 224
    assert losses["loss_bbox"].item() == pytest.approx(expected.item(), rel=1e-5)
    # p = 1/2 everywhere: alpha * 2^-5 * log 2 for each anchor
    count = len(positive)
    focal = (0.25 * count + 0.75 * (294 - count)) * 2**-5 * math.log(2)
    assert losses["loss_cls"].item() == pytest.approx(focal, rel=1e-5)


def test_batch_adds_its_images_and_each_averages_its_own_positives():
    torch.manual_seed(1)
    head = make_head()
    logits, deltas = [torch.randn(294, 1) for _ in range(2)], [torch.randn(294, 4) * 0.1 for _ in range(2)]
    boxes = [[[88, 88, 136, 136]], [[10, 10, 40, 40], [100, 100, 160, 160]]]
    single = [losses_of(head, c, d, b) for c, d, b in zip(logits, deltas, boxes)]
    both = head.loss_by_feat(
        [torch.cat([flat_maps(c) for c in logits])],
        [torch.cat([flat_maps(d) for d in deltas])],
        [ground_truth(b) for b in boxes],
        [META, META],
    )
    for name in ("loss_cls", "loss_bbox"):
        torch.testing.assert_close(both[name], single[0][name] + single[1][name])


def test_no_ground_truth_still_has_a_gradient():
    deltas = torch.randn(294, 4, requires_grad=True)
    losses = losses_of(make_head(), torch.zeros(294, 1), deltas, [])
    assert losses["loss_bbox"].item() == 0
    losses["loss_bbox"].backward()
    assert deltas.grad.abs().sum() == 0


def test_focal_is_divided_by_the_number_of_classes():
    head = make_head(num_classes=2)
    losses = losses_of(head, torch.zeros(294, 2), torch.zeros(294, 4), [[88, 88, 136, 136]], [1])
    one = losses_of(make_head(), torch.zeros(294, 1), torch.zeros(294, 4), [[88, 88, 136, 136]])
    # the other class adds 294 negatives
    negatives = 294 * 0.75 * 2**-5 * math.log(2)
    assert losses["loss_cls"].item() == pytest.approx((one["loss_cls"].item() + negatives) / 2, rel=1e-5)


def test_three_levels_of_experiment_1():
    head = make_head(
        anchor_generator=dict(
            type="SquareAnchorGenerator", strides=[56, 112, 224], scales=dict(start=0.7, stop=1.3, step=0.3)
        ),
        downsamples=(1, 2, 3),
    )
    scores, deltas = head((torch.randn(2, 8, 7, 7),))
    assert [tuple(s.shape) for s in scores] == [(2, 3, 4, 4), (2, 3, 2, 2), (2, 3, 1, 1)]
    assert [tuple(d.shape) for d in deltas] == [(2, 12, 4, 4), (2, 12, 2, 2), (2, 12, 1, 1)]
    losses = head.loss_by_feat(scores, deltas, [ground_truth([[20, 20, 70, 70]])] * 2, [META] * 2)
    sum(losses.values()).backward()
    # the box is small: only the finest level has positives, but every level learns the background
    assert all(conv.weight.grad.abs().sum() > 0 for conv in head.conv_cls)


def test_initial_state():
    head = make_head()
    assert (head.conv_cls[0].bias == -4).all()
    names = [type(module).__name__ for module in head.stem]
    assert names == ["Conv2d", "ReLU", "BatchNorm2d", "Dropout"]
    assert head.stem[0].bias is not None
    assert head.drop.p == head.stem[3].p == 0.4
    # PyTorch's own initialisation, bounded by 1 / sqrt(fan in): not mmdet's normal(0.01)
    assert head.conv_reg[0].weight.abs().max() <= 1 / math.sqrt(16 * 9)
    assert head.conv_reg[0].weight.std() > 0.02


def test_predict_finds_what_the_maps_say():
    head = make_head().eval()
    logits, deltas = torch.full((294, 1), -6.0), torch.zeros(294, 4)
    left, right = (3 * 7 + 1) * 6 + 2, (3 * 7 + 5) * 6 + 2  # cells (3, 1) and (3, 5), scale 1.3
    logits[left], logits[right], logits[left + 1] = 2.0, 3.0, 1.5  # the third overlaps the first
    (found,) = head.predict_by_feat([flat_maps(logits)], [flat_maps(deltas)], batch_img_metas=[META], rescale=True)
    torch.testing.assert_close(found.bboxes[:2], ANCHORS[[right, left]], atol=1e-3, rtol=0)
    assert found.scores[0].item() == pytest.approx(1 / (1 + math.exp(-3)))
    assert len(found) == 10  # top-k, without a score threshold
    for a, b in itertools.combinations(found.bboxes.numpy(), 2):
        assert iou_matrix([a], [b])[0, 0] <= 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(downsamples=(0, 1)), "downsamples"),  # two numbers, one level
        (dict(loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False)), "use_sigmoid"),
        (dict(bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=(0.1, 0.1, 0.2, 0.2))), "target_stds"),
    ],
)
def test_configs_that_contradict_themselves(changes, message):
    with pytest.raises(ConfigError, match=message):
        make_head(**changes)


EXP3 = dict(start=0.7, stop=2.2, step=0.3)


def priors(strides, scales, size=224):
    generator = SquareAnchorGenerator(strides=strides, scales=scales)
    return torch.cat(generator.grid_priors([(size // s, size // s) for s in strides], device="cpu"))


def test_experiment_3():
    anchors = priors([32], EXP3)
    assert anchors.shape == (294, 4)  # 7 * 7 * 6
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    sides = anchors[:, 2:] - anchors[:, :2]
    # order: row, column, scale
    expected = torch.tensor([[16 + 32.0 * (i // 6 % 7), 16 + 32.0 * (i // 42)] for i in range(294)])
    torch.testing.assert_close(centres, expected, atol=3e-5, rtol=0)
    torch.testing.assert_close(sides[:, 0], sides[:, 1])
    # 0.7 * 32 = 22.4 ... 2.2 * 32 = 70.4
    torch.testing.assert_close(sides[:6, 0], torch.tensor([22.4, 32.0, 41.6, 51.2, 60.8, 70.4]), atol=3e-5, rtol=0)


def test_first_and_last_anchor_literally():
    anchors = priors([32], EXP3)
    # centre 16, side 22.4: 16 - 11.2 .. 16 + 11.2; the last: centre 208, side 70.4, not clipped at 224
    torch.testing.assert_close(anchors[0], torch.tensor([4.8, 4.8, 27.2, 27.2]))
    torch.testing.assert_close(anchors[-1], torch.tensor([172.8, 172.8, 243.2, 243.2]))


@pytest.mark.parametrize(
    ("strides", "scales", "count"),
    [
        ([56, 112, 224], dict(start=0.7, stop=1.3, step=0.3), 63),
        ([32], dict(start=0.7, stop=2.2, step=0.75), 147),
        ([32], dict(start=0.7, stop=2.2, step=0.1), 784),
        ([32], dict(start=0.7, stop=2.2, step=0.05), 1519),
        ([16], dict(start=0.7, stop=2.2, step=0.05), 6076),
        ([32], [1.0], 49),
    ],
)
def test_counts(strides, scales, count):
    assert len(priors(strides, scales)) == count


@pytest.mark.parametrize("scales", [[], [1.0, 0.0], [-1.0], dict(start=1.0, stop=0.5, step=0.1)])
def test_bad_scales(scales):
    with pytest.raises(ConfigError, match="scales"):
        SquareAnchorGenerator(strides=[32], scales=scales)
