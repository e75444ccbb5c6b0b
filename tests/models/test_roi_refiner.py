"""The refiner: where it starts, what it learns, and its symmetries.

Windows on films, against pictures whose pixels hold their own coordinates.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps

from hipdet.core.errors import ConfigError
from hipdet.models.roi_refiner import CropFrames, random_frames

BACKBONE = dict(
    type="mmdet.ResNet", depth=18, base_channels=8, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,)
)


def make_refiner(**changes):
    torch.manual_seed(0)
    return MODELS.build(
        dict(type="RoiRefiner", backbone=BACKBONE, in_channels=16, feat_channels=16, pixels=64, **changes)
    )


def discs(boxes, side=160):
    """A film ``[3, side, side]`` with a bright disc in each box ``[G, 4]``."""
    y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    film = torch.zeros(side, side)
    for x0, y0, x1, y1 in boxes.tolist():
        film[(x - (x0 + x1) / 2) ** 2 + (y - (y0 + y1) / 2) ** 2 < ((x1 - x0) / 2) ** 2] = 1.0
    return film.expand(3, -1, -1) * 2 - 1


LABELS = [torch.tensor([[20.0, 30, 60, 70], [90, 60, 130, 100]]), torch.tensor([[60.0, 70, 110, 120]])]
NOTHING = [torch.zeros(0, 4)] * 2


def test_untrained_it_leaves_proposals_alone():
    refiner = make_refiner().eval()
    boxes = torch.tensor([[30.0, 40, 70, 80], [80, 60, 120, 100]])
    refined, quality = refiner.refine(discs(boxes), boxes)
    assert torch.allclose(refined, boxes, atol=1e-3)
    assert quality.tolist() == [0.5, 0.5]


def test_boxes_are_squares_unless_told_otherwise():
    for square in (True, False):
        refiner = make_refiner(square=square).eval()
        torch.nn.init.normal_(refiner.vote.weight, std=0.1)
        found = refiner(torch.randn(3, 3, 64, 64)).deltas
        assert torch.equal(found[:, 2], found[:, 3]) is square


def test_deltas_are_the_weighted_mean_of_the_votes():
    refiner = make_refiner().eval()
    torch.nn.init.normal_(refiner.vote.weight, std=0.1)
    found = refiner(torch.randn(2, 3, 64, 64))
    weights = found.log_weights.exp()
    assert weights.sum(1).allclose(torch.ones(2))
    assert found.deltas.allclose((found.votes * weights[:, None]).sum(2), atol=1e-5)
    assert found.votes.shape == (2, 4, 64)  # stride 8 of 64 pixels: 8 x 8 cells


def test_a_mirrored_pass_equals_a_pass_on_the_mirrored_film():
    refiner = make_refiner().eval()
    torch.nn.init.normal_(refiner.vote.weight, std=0.1)
    film, boxes = torch.randn(3, 160, 160), torch.tensor([[30.0, 40, 70, 80]])
    found, quality = refiner.refine(film, boxes, mirrored=True)
    other, same = refiner.refine(film.flip(-1), mirror(boxes))
    assert found.allclose(mirror(other), atol=1e-3)
    assert quality.allclose(same, atol=1e-5)
    assert not found.allclose(refiner.refine(film, boxes)[0], atol=1.0)


def mirror(boxes):
    """`boxes` on a film 160 px wide in its mirror image."""
    return (torch.tensor([160.0, 0, 160, 0]) - boxes * torch.tensor([1.0, -1, 1, -1]))[:, [2, 1, 0, 3]]


def test_mixing_sees_further():
    """A cell sees 131 pixels (stem 11, stages 32 + 56, two 3x3 of stride 8: 32), and 48 more through a kernel of 7.

    Cell 10 of 16 has its centre at pixel 80 of 128, as padding is even: it sees from pixel 15, with mixing all before it.
    """
    crops = torch.randn(1, 3, 128, 128, dtype=torch.float64)
    other = crops.clone()
    other[:, :, :8, :8] += 100.0
    for kernel, reaches in ((0, False), (7, True)):
        refiner = make_refiner(mixing=kernel).eval().double()
        torch.nn.init.normal_(refiner.vote.weight, std=0.1)
        features = [refiner.stem(refiner.backbone(each)[-1]) for each in (crops, other)]
        votes = [refiner.vote(each if refiner.mixing is None else each + refiner.mixing(each)) for each in features]
        assert torch.equal(votes[0][..., 10, 10], votes[1][..., 10, 10]) is not reaches


@pytest.mark.parametrize("kernel", [-1, 2, 4])
def test_mixing_needs_a_centre(kernel):
    with pytest.raises(ConfigError, match=f"mixing must be 0 or an odd side of a kernel, found {kernel}"):
        make_refiner(mixing=kernel)


@pytest.mark.ci
@pytest.mark.parametrize("kernel", [0, 7])
def test_it_learns(kernel):
    """Discs, missed by a fifth of their side: after training the boxes fit, and the quality tells discs from background."""
    refiner = make_refiner(mixing=kernel).train()
    optimizer = torch.optim.AdamW(refiner.parameters(), lr=4e-3)
    films = torch.stack([discs(boxes) for boxes in LABELS])
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)  # damps the last steps' random numbers
    for _ in range(100):
        losses = refiner.loss(films, LABELS, NOTHING)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        rate.step()
    refiner.eval()
    missed = LABELS[0] + torch.tensor([[8.0, -6, 8, -6], [-8, 4, 0, 12]])
    background = torch.tensor([[15.0, 110, 55, 150]])
    with torch.no_grad():
        refined, quality = refiner.refine(films[0], torch.cat([missed, background]))
    before, after = (bbox_overlaps(boxes, LABELS[0], is_aligned=True) for boxes in (missed, refined[:2]))
    assert before.max() < 0.65
    assert after.min() > 0.9
    assert quality[:2].min() > 0.6 > 0.4 > quality[2]


def test_background_is_what_the_first_stage_takes_for_an_roi():
    refiner = make_refiner(background=3)
    films = torch.zeros(1, 3, 160, 200)
    label = LABELS[0][:1]  # 20, 30, 60, 70
    # IoU 1, 1/3 (half of it: 800 / 2400), 0, 0.6 / 1.4, 0.2 / 1.8, 0
    moved = torch.tensor([[0.0, 0], [20, 0], [80, 0], [0, 16], [32, 0], [0, 60]])
    proposals = label + moved.repeat(1, 2)
    found = refiner._background(label, proposals, films)
    assert found.tolist() == proposals[[2, 4, 5]].tolist()
    assert refiner._background(label, proposals[:0], films).shape == (3, 4)
    mixed = refiner._background(label, proposals[:3], films)
    assert mixed[0].tolist() == proposals[2].tolist()
    assert (mixed[1:, 2] - mixed[1:, 0]).tolist() == pytest.approx([40.0, 40.0])  # as large as the label
    unlabelled = refiner._background(label[:0], proposals[:1], films)
    assert unlabelled[0].tolist() == proposals[0].tolist()
    assert (unlabelled[1:, 3] - unlabelled[1:, 1]).tolist() == pytest.approx([40.0, 40.0])  # a fifth of 200


def test_films_without_labels():
    refiner = make_refiner().train()
    films = torch.stack([discs(boxes) for boxes in LABELS])
    some = refiner.loss(films, [LABELS[0], torch.zeros(0, 4)], NOTHING)
    assert all(torch.isfinite(loss) for loss in some.values())
    none = refiner.loss(films, NOTHING, NOTHING)
    assert none["loss_refined"] == none["loss_votes"] == 0
    sum(none.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in refiner.parameters())
    with pytest.raises(ConfigError, match="background must be 1 or more, found 0"):
        make_refiner(background=0)


BOX = torch.tensor([[10.0, 20.0, 30.0, 40.0]])


def ramp(height=100, width=120):
    """A film ``[2, H, W]`` whose pixels hold x and y of their centres."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y])


def test_upright_window():
    """Centre (20, 30), side 20, two sides wide: x 0..40 and y 10..50 in four pixels of 10."""
    crop = CropFrames.around(BOX).sample(ramp(), context=2.0, pixels=4)
    assert crop.shape == (1, 2, 4, 4)
    assert crop[0, 0, 2].tolist() == pytest.approx([5, 15, 25, 35], abs=1e-4)
    assert crop[0, 1, :, 0].tolist() == pytest.approx([15, 25, 35, 45], abs=1e-4)


def test_mirrored_and_rotated():
    mirrored = CropFrames.around(BOX, mirror=torch.tensor([-1.0])).sample(ramp(), 2.0, 4)
    assert mirrored[0, 0, 2].tolist() == pytest.approx([35, 25, 15, 5], abs=1e-4)
    # a quarter turn: the frame's x is the film's y (down), its y the film's -x
    turned = CropFrames.around(BOX, angle=torch.tensor([math.pi / 2])).sample(ramp(), 2.0, 4)
    assert turned[0, 1, 0].tolist() == pytest.approx([15, 25, 35, 45], abs=1e-3)
    assert turned[0, 0, :, 0].tolist() == pytest.approx([35, 25, 15, 5], abs=1e-3)


def test_mixed_precision_rounds_no_places():
    """A matrix product would run in bfloat16, which has 256 and 258 pixels and nothing between."""
    frames = CropFrames.around(BOX + 200.3, angle=torch.tensor([0.1]))
    film, label = ramp(400, 400), BOX + 201.0
    exact = frames.sample(film, 2.0, 8), frames.encode(label), frames.decode(frames.encode(label))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = frames.sample(film, 2.0, 8), frames.encode(label), frames.decode(frames.encode(label))
    assert all(torch.equal(*pair) for pair in zip(exact, mixed))


def test_outside_has_the_films_darkest_value():
    film = torch.full((1, 50, 50), 0.25)
    film[0, 0, 0] = -2.0
    crop = CropFrames.around(torch.tensor([[-40.0, -40.0, -20.0, -20.0]])).sample(film, 1.0, 3)
    assert crop.eq(-2.0).all()


def test_split_keeps_the_order():
    frames = random_frames(torch.tensor([[10.0, 20, 30, 40]]).repeat(6, 1), 0.2, 1.35, 10.0)
    first, none, rest = frames.split([2, 0, 4])
    assert len(none.side) == 0
    for whole, *parts in zip(frames, first, rest):
        assert torch.equal(torch.cat(parts), whole)


def test_long_side_of_a_box_that_is_not_square():
    frames = CropFrames.around(torch.tensor([[0.0, 0.0, 10.0, 30.0]]))
    assert frames.side.item() == 30
    assert frames.encode(torch.tensor([[0.0, 0.0, 10.0, 30.0]]))[0].tolist() == pytest.approx(
        [0, 0, math.log(1 / 3), 0]
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_decode_is_the_inverse_of_encode(seed, count):
    torch.manual_seed(seed)
    corner, size = torch.rand(2, count, 2, dtype=torch.float64) * 90 + 10
    boxes = torch.cat([corner, corner + size], dim=1)
    frames = random_frames(boxes, shift=0.3, zoom=2.0, degrees=180.0)
    assert torch.allclose(frames.decode(frames.encode(boxes)), boxes, atol=1e-9)


def test_a_label_lies_where_encode_says():
    """The window's pixel at a label's encoded centre shows the film's coordinates of that centre."""
    torch.manual_seed(3)
    boxes = torch.tensor([[40.0, 30.0, 64.0, 54.0]]).repeat(20, 1)
    frames = random_frames(boxes, shift=0.2, zoom=1.3, degrees=20.0)
    crops, where = frames.sample(ramp(), 2.0, 64), frames.encode(boxes)[:, :2]
    for crop, (x, y) in zip(crops, ((where / 2.0 + 0.5) * 64 - 0.5).round().long().tolist()):
        assert crop[:, y, x].tolist() == pytest.approx([52, 42], abs=0.8)  # half a pixel of the crop is 0.5 px


def test_how_far_random_frames_miss():
    torch.manual_seed(0)
    boxes = BOX.repeat(4000, 1)
    frames = random_frames(boxes, shift=0.2, zoom=1.35, degrees=10.0)
    miss = ((frames.centre - torch.tensor([20.0, 30.0])) / 20).abs()
    assert 0.19 < miss.max() <= 0.2
    zoom = frames.side / 20
    assert 1 / 1.35 - 1e-6 <= zoom.min() < 0.76
    assert 1.33 < zoom.max() <= 1.35 + 1e-6
    determinant = torch.linalg.det(frames.axes)
    assert determinant.abs().allclose(torch.ones(1))
    assert 0.45 < (determinant < 0).float().mean() < 0.55
