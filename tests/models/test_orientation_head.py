"""The head that tells which way up a film is: what its loss counts, that it learns, and that a detector carries it."""

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from hipdet.models.orientation_head import OrientationHead
from places import REPOSITORY

SIZE = (448, 448)


def samples(*orientations):
    return [DetDataSample(metainfo={} if each is None else dict(orientation=each)) for each in orientations]


def silent_head(*bias):
    """A head whose logits are `bias` for any film."""
    head = OrientationHead(4, 8).eval()
    torch.nn.init.zeros_(head.linear.weight)
    with torch.no_grad():
        head.linear.bias.copy_(torch.tensor(bias))
    return head


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ((0, 0), np.log(4) + np.log(2)),  # of equal logits: one of four, one of two
        ((3, 1), np.log(4) + np.log(2)),
        ((-1, 0), np.log(2)),  # which way up isn't known
        (None, 0.0),
    ],
)
def test_loss_by_hand(orientation, expected):
    head = silent_head(0.0, 0, 0, 0, 0)
    loss = head.loss((torch.zeros(1, 4, 14, 14),), samples(orientation))
    assert loss["loss_orientation"].item() == pytest.approx(expected, abs=1e-6)


def test_loss_is_a_sum_over_films_with_a_weight():
    head = silent_head(2.0, 0, 0, 0, -1)
    head.loss_weight = 3.0
    loss = head.loss((torch.zeros(3, 4, 14, 14),), samples((0, 0), (2, 1), None))
    rest = np.log(np.exp(2) + 3)
    by_hand = (rest - 2) + rest + np.log(1 + np.exp(-1)) + np.log(1 + np.exp(1))
    assert loss["loss_orientation"].item() == pytest.approx(3 * by_hand, rel=1e-5)


def test_probabilities():
    found = silent_head(np.log(2), 0.0, 0, 0, 0).predict((torch.zeros(2, 4, 7, 7),))
    torch.testing.assert_close(found, torch.tensor([[0.4, 0.2, 0.2, 0.2, 0.5]] * 2))


def test_it_learns_which_way_a_slope_goes():
    torch.manual_seed(0)
    head = OrientationHead(1, 8, dropout=0.0)
    slope = torch.linspace(0, 1, 14).repeat(14, 1)
    turned = torch.stack([torch.rot90(slope, k) for k in range(4)])[:, None]
    maps = torch.cat([turned, 1 - turned.roll(2, 0)])  # a slope the other way, inverted
    truth = samples(*((-k % 4, inverted) for inverted in (0, 1) for k in range(4)))
    maps[4:] += 3  # what is inverted is brighter here
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        head.loss((maps + 0.05 * torch.randn_like(maps),), truth)["loss_orientation"].backward()
        optimizer.step()
    head.eval()
    found = head.predict((maps,))
    assert found[:, :4].argmax(1).tolist() == [0, 3, 2, 1] * 2
    assert (found[:, 4] > 0.5).tolist() == [False] * 4 + [True] * 4


def test_a_detector_with_it():
    """It adds a loss with gradients for the head and the backbone, and its answer to every sample."""
    torch.manual_seed(0)
    init_default_scope("mmdet")
    cfg = Config.fromfile(REPOSITORY / "configs/hip_roi_small.py")
    plain = MODELS.build(cfg.model)
    head = dict(type="OrientationHead", in_channels=96)
    detector = MODELS.build({**cfg.model, "orientation_head": head})
    assert plain.orientation_head is None
    assert {key.split(".")[0] for key in set(detector.state_dict()) - set(plain.state_dict())} == {"orientation_head"}
    data = samples((1, 0), (0, 1))
    for sample in data:
        sample.set_metainfo(dict(img_shape=SIZE, pad_shape=SIZE, batch_input_shape=SIZE, scale_factor=(1.0, 1.0)))
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[90.0, 90, 190, 190]]), labels=torch.zeros(1).long())
    films = torch.rand(2, 1, 448, 448) * 255
    losses = detector.loss(films, data)
    losses["loss_orientation"].backward()
    assert detector.orientation_head.linear.weight.grad.abs().sum() > 0
    assert detector.backbone.conv1.weight.grad.abs().sum() > 0
    detector.eval()
    with torch.no_grad():
        found = detector.predict(films, data)
        expected = detector.orientation_head.predict(detector.extract_feat(films))
    for sample, each in zip(found, expected):
        torch.testing.assert_close(sample.pred_orientation, each)
        assert each[:4].sum().item() == pytest.approx(1, abs=1e-5)
