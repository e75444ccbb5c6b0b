"""Windows on films, against pictures whose pixels hold their own coordinates."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.models.crop_frames import CropFrames, random_frames

BOX = torch.tensor([[10.0, 20.0, 30.0, 40.0]])


def ramp(height=100, width=120):
    """A film ``[2, H, W]`` whose pixels hold x and y of their centres."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y])


def test_upright_window():
    """Centre (20, 30), side 20, two sides wide: x 0..40 and y 10..50 in four pixels of 10."""
    crop = CropFrames.around(BOX).read(ramp(), context=2.0, pixels=4)
    assert crop.shape == (1, 2, 4, 4)
    assert crop[0, 0, 2].tolist() == pytest.approx([5, 15, 25, 35], abs=1e-4)
    assert crop[0, 1, :, 0].tolist() == pytest.approx([15, 25, 35, 45], abs=1e-4)


def test_mirrored_and_turned():
    mirrored = CropFrames.around(BOX, mirror=torch.tensor([-1.0])).read(ramp(), 2.0, 4)
    assert mirrored[0, 0, 2].tolist() == pytest.approx([35, 25, 15, 5], abs=1e-4)
    # a quarter turn: the frame's x is the film's y (down), its y the film's -x
    turned = CropFrames.around(BOX, angle=torch.tensor([math.pi / 2])).read(ramp(), 2.0, 4)
    assert turned[0, 1, 0].tolist() == pytest.approx([15, 25, 35, 45], abs=1e-3)
    assert turned[0, 0, :, 0].tolist() == pytest.approx([35, 25, 15, 5], abs=1e-3)


def test_mixed_precision_rounds_no_places():
    """A matrix product would be done in bfloat16, which knows 256 pixels from 258 and nothing between."""
    frames = CropFrames.around(BOX + 200.3, angle=torch.tensor([0.1]))
    film, label = ramp(400, 400), BOX + 201.0
    exact = frames.read(film, 2.0, 8), frames.encode(label), frames.decode(frames.encode(label))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = frames.read(film, 2.0, 8), frames.encode(label), frames.decode(frames.encode(label))
    assert all(torch.equal(*pair) for pair in zip(exact, mixed))


def test_outside_is_as_black_as_the_film_gets():
    film = torch.full((1, 50, 50), 0.25)
    film[0, 0, 0] = -2.0
    crop = CropFrames.around(torch.tensor([[-40.0, -40.0, -20.0, -20.0]])).read(film, 1.0, 3)
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
    crops, where = frames.read(ramp(), 2.0, 64), frames.encode(boxes)[:, :2]
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
