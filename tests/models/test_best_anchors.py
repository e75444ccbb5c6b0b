"""Proposals of a whole batch against mmdet's own way, film by film."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_refining_detector import make_detector, sample

from hipdet.core.boxes import iou_matrix
from hipdet.models.proposals import Proposals, best_anchors, distinct


@pytest.mark.parametrize("films", [1, 3])
def test_a_batch_is_what_mmdet_finds_film_by_film(films):
    detector = make_detector().eval()
    head = detector.bbox_head
    for conv in (*head.conv_cls, *head.conv_reg):
        torch.nn.init.normal_(conv.weight, std=0.3)
    torch.manual_seed(1)
    features = detector.extract_feat(torch.randn(films, 3, 256, 256))
    samples = [sample(boxes=[[40.0, 40.0, 90.0, 90.0]]) for _ in range(films)]
    losses, proposals = head.loss_and_propose(features, samples, detector.test_cfg)
    expected_losses, expected = head.loss_and_predict(features, samples, proposal_cfg=detector.test_cfg)
    for name, value in expected_losses.items():
        assert losses[name].equal(value)
    for mine, theirs in zip(proposals, expected):
        assert 1 < len(mine) <= 10
        torch.testing.assert_close(mine, theirs.bboxes, atol=1e-4, rtol=1e-5)
        assert not mine.requires_grad


def test_decoding_by_hand():
    """Of two anchors and two classes: class 1 of anchor 0 is best, moved by a tenth of its side and doubled in height."""
    logits = torch.tensor([[-1.0, 3.0], [0.0, -9.0]])
    deltas = torch.tensor([[0.1, 0.0, 0.0, 0.6931472], [0.0, 0.0, 0.0, 0.0]])
    anchors = torch.tensor([[10.0, 10.0, 30.0, 30.0], [90.0, 90.0, 130.0, 130.0]])
    found = best_anchors(logits, deltas, anchors, torch.tensor([100, 80]), 3)
    assert found.labels.tolist() == [1, 0, 0]
    torch.testing.assert_close(found.boxes[0], torch.tensor([12.0, 0, 32, 40]))
    # the second lies below the film's lower edge: nothing of it is left
    assert found.scores.tolist() == pytest.approx([0.952574, -1.0, 0.268941], abs=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 5), st.floats(0.1, 0.9))
def test_distinct_is_greedy_suppression(seed, candidates, count, threshold):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(candidates, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 5 + torch.rand(candidates, 2, generator=generator) * 50], dim=1)
    labels = torch.randint(0, 2, (candidates,), generator=generator)
    found = Proposals(boxes, torch.rand(candidates, generator=generator), labels)
    chosen, scores = distinct(found, threshold, count)
    overlap = iou_matrix(boxes.numpy(), boxes.numpy())
    kept = []
    for each in found.scores.argsort(descending=True).tolist():
        same = [other for other in kept if labels[other] == labels[each]]
        if all(overlap[each, other] <= threshold for other in same):
            kept.append(each)
    kept = kept[:count]
    assert chosen[: len(kept)].tolist() == kept
    assert scores[: len(kept)].tolist() == found.scores[kept].tolist()
    assert scores[len(kept) :].eq(0).all()
