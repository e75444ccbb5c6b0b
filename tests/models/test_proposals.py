"""Scores of several classes: the refiner doesn't tell them apart, the first stage does.

Proposals of a whole batch against mmdet's own way, film by film.

Where the film ends in the square, against mmdet's own resizing and padding.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.datasets.transforms import Pad, Resize
from mmengine.structures import InstanceData

from hipdet.core.boxes import iou_matrix
from hipdet.models.proposals import RegionProposals, best_proposals, class_shares, distinct, film_shape, pairwise_iou
from small_detector import detector_head, make_detector, sample

HIP, OTHER = [48.0, 48, 112, 112], [144.0, 144, 208, 208]  # anchors


def of_classes(detector, classes):
    head = dict(detector_head(), num_classes=classes)
    return make_detector(bbox_head=head, **detector)


def see(detector, seen):
    """A first stage that gives these scores, by class, to the anchors whose centre is nearest to these places."""
    anchors, logits, deltas = detector.bbox_head.flat(
        *detector.bbox_head(detector.extract_feat(torch.zeros(1, 3, 256, 256)))
    )
    logits = torch.full_like(logits, -20.0)
    wanted = torch.tensor([box for box, _ in seen])
    for anchor, (_, scores) in zip(pairwise_iou(wanted, anchors).argmax(1), seen):
        logits[0, anchor] = torch.tensor(scores).logit()
    detector.bbox_head.flat = lambda *_: (anchors, logits, torch.zeros_like(deltas))


def found_by(detector, seen, quality=0.95, real=(HIP, OTHER)):
    """With a refiner that moves every proposal near a real ROI onto it, whatever its class."""
    real = torch.tensor(real)

    def read(film, boxes, mirrored=False):
        overlap, nearest = pairwise_iou(boxes, real).max(1)
        return torch.where(overlap[:, None] > 0.1, real[nearest], boxes), torch.where(overlap > 0.1, quality, 0.02)

    detector.refiner.refine = read
    see(detector, seen)
    with torch.no_grad():
        (film,) = detector.predict(torch.zeros(1, 3, 256, 256), [sample()])
    return film.pred_instances


@pytest.mark.parametrize("passes", [(2,), (3, 2), (5, 5, 1)])
def test_a_wrong_class_on_a_real_roi_keeps_its_place(passes):
    """One ROI of each class; the first stage gives .05 to the wrong class of the first, which the refiner refines well."""
    found = found_by(of_classes(dict(passes=passes), 2).eval(), [(HIP, [0.9, 0.05]), (OTHER, [0.001, 0.3])])
    assert found.labels[:2].tolist() in ([0, 1], [1, 0])
    first, second = (found[found.labels == label] for label in (0, 1))
    assert first.bboxes[0].tolist() == HIP
    assert first.scores[0].item() == pytest.approx(0.95 * 0.9 / 0.95)
    assert second.bboxes[0].tolist() == OTHER  # however weak: it has the better share of its place
    assert second.scores[0].item() == pytest.approx(0.95 * 0.3 / 0.301)
    wrong = second[(second.bboxes == torch.tensor(HIP)).all(1)]
    assert wrong.scores.tolist() == pytest.approx([0.95 * 0.05 / (0.3 + 0.9)])


def test_a_proposal_that_moves_onto_another_roi_takes_nothing_of_it():
    """A weak class beside a real ROI, where no other class was found: the refiner moves it onto the ROI."""
    beside = [80.0, 48, 144, 112]  # an anchor too; IoU 1/3
    found = found_by(of_classes(dict(passes=(2,)), 2).eval(), [(HIP, [0.9, 0.001]), (beside, [0.001, 0.03])])
    wrong = found[(found.labels == 1) & (found.bboxes == torch.tensor(HIP)).all(1)]
    assert wrong.scores.max().item() == pytest.approx(0.95 * 0.03 / 0.93)


def test_a_weak_class_is_proposed_where_others_fill_the_list():
    detector = of_classes(dict(passes=(1,)), 3).eval()
    detector.test_cfg.update(nms_pre=4, max_per_img=2)
    places = [[x - 32.0, y - 32.0, x + 32.0, y + 32.0] for x in (48, 112, 208) for y in (48, 112)]
    found = found_by(detector, [*((place, [0.8, 0.001, 0.7]) for place in places), (OTHER, [0.001, 0.02, 0.001])])
    assert sorted(found.labels.tolist()) == [0, 1, 2]
    assert found[found.labels == 1].bboxes[0].tolist() == OTHER


LARGER = [136.0, 136, 216, 216]  # 80 px about the centre of the other one of 64


@pytest.mark.parametrize(
    ("quality", "seen", "sides"),
    [
        # predicted IoUs are .6, though scores are .46 and .14: the quality decides
        (0.6, [(HIP, [0.5, 0.15]), (OTHER, [0.5, 0.15])], [[(64 * 80) ** 0.5] * 2, [64.0, 80.0]]),
        # the wrong class of the first has a good quality too, and mustn't change the right one's size
        (0.95, [(HIP, [0.9, 0.05]), (OTHER, [0.001, 0.3])], [[64.0, 80.0], [64.0, 80.0]]),
    ],
)
def test_which_rois_share_their_size(quality, seen, sides):
    detector = of_classes(dict(passes=(2,), one_size=True), 2).eval()
    found = found_by(detector, seen, quality, (HIP, LARGER))
    for label, expected in enumerate(sides):
        boxes = found.bboxes[found.labels == label]
        assert sorted((boxes[:, 2] - boxes[:, 0]).tolist()) == pytest.approx(expected)


def test_films_without_a_proposal():
    detector = of_classes(dict(passes=(2,)), 2).eval()
    detector.test_cfg.score_thr = 0.5
    found = found_by(detector, [(HIP, [0.3, 0.05])])
    assert len(found) == 0


def test_noise_is_no_share():
    """A weak ROI of .2 among others' .4, and elsewhere a proposal of its class of .02 without a competitor."""
    detector = of_classes(dict(passes=(2,)), 2).eval()
    found = found_by(detector, [(HIP, [0.2, 0.4]), (OTHER, [0.02, 1e-6])])
    first = found[found.labels == 0]
    assert first.bboxes[0].tolist() == HIP
    assert first.scores.tolist() == pytest.approx([0.95 * 0.2 / (0.2 + 0.4), 0.95 * 0.02 / 0.2], rel=1e-4)


class Before:
    """The refinement as it was before classes entered the score (one class)."""

    def __init__(self, detector):
        self.detector = detector

    def refine(self, film, proposed):
        detector = self.detector
        kept = proposed[: detector.passes[0]]
        kept.readings = torch.zeros_like(kept.scores)
        for turn, count in enumerate(detector.passes):
            boxes, quality = detector.refiner.refine(film, kept.bboxes[:count], turn % 2 == 1)
            times = kept.readings[:count]
            boxes = (kept.bboxes[:count] * times[:, None] + boxes) / (times[:, None] + 1)
            quality = (kept.scores[:count] * times + quality) / (times + 1)
            kept = detector._suppress(
                InstanceData(
                    bboxes=torch.cat([boxes, kept.bboxes[count:]]),
                    scores=torch.cat([quality, kept.scores[count:]]),
                    labels=kept.labels,
                    readings=torch.cat([times + 1, kept.readings[count:]]),
                )
            )
        return kept


@pytest.mark.parametrize("passes", [(2,), (3, 2), (5, 3, 1)])
def test_one_class_is_bit_equal_to_the_old_formula(passes):
    detector = make_detector(passes=passes).eval()
    torch.nn.init.normal_(detector.refiner.vote.weight, std=0.1)
    torch.nn.init.normal_(detector.bbox_head.conv_cls[0].weight, std=0.05)
    for film in torch.randn(3, 1, 3, 256, 256):
        with torch.no_grad():
            (proposed,) = detector.bbox_head.predict(detector.extract_feat(film), [sample()], rescale=False)
            before = Before(detector).refine(film[0], proposed)
            now = detector.refine(film[0], proposed)
        assert now.bboxes.equal(before.bboxes)
        assert now.scores.equal(before.scores)
        assert now.labels.equal(before.labels)


boxes = st.lists(
    st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(1, 50), st.floats(1, 50)), min_size=1, max_size=6
).map(lambda rows: torch.tensor([[x, y, x + w, y + h] for x, y, w, h in rows], dtype=torch.float32))
score = st.floats(1e-6, 1.0)


@given(boxes, boxes, boxes, score, st.data())
def test_shares(a, b, came_from, own, data):
    """They lie between 0 and 1, and are larger the more the class has."""
    looked = [
        RegionProposals(each, torch.tensor(data.draw(st.lists(score, min_size=len(each), max_size=len(each)))), label)
        for label, each in enumerate((a, b))
    ]
    first = RegionProposals(came_from[:1].expand(len(a), 4), torch.full((len(a),), own), 0)
    shares = class_shares(a, first, 0, looked)
    assert ((shares > 0) & (shares <= 1)).all()
    assert (class_shares(a, first._replace(scores=first.scores * 2), 0, looked) >= shares - 1e-6).all()
    torch.testing.assert_close(
        pairwise_iou(a, b), torch.from_numpy(iou_matrix(a.numpy(), b.numpy())).float(), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("left", "came_from", "weight"),
    [
        (5.0, 5.0, 0.0),  # 5 of 15: hearts and lungs overlap, and are two ROIs
        (4.0, 5.0, (6 / 14 - 0.4) / 0.4),
        (3.0, 5.0, (7 / 13 - 0.4) / 0.4),  # 7 of 13
        (2.0, 5.0, (8 / 12 - 0.4) / 0.4),
        (5.0, 2.0, (8 / 12 - 0.4) / 0.4),  # it came from there
        (0.0, 5.0, 1.0),
    ],
)
def test_places(left, came_from, weight):
    """The weight of a box 10 px wide that starts `left` px beside a box of another class with score .9."""
    ours, theirs = ([[x, 0.0, x + 10, 10.0]] for x in (came_from, 0.0))
    first = RegionProposals(torch.tensor(ours), torch.tensor([0.4]), 0)
    looked = [first, RegionProposals(torch.tensor(theirs), torch.tensor([0.9]), 1)]
    share = class_shares(torch.tensor([[left, 0.0, left + 10, 10.0]]), first, 0, looked)
    assert share.tolist() == pytest.approx([0.4 / (0.4 + 0.9 * weight)])


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
        # mmdet clips boxes to the square
        torch.testing.assert_close(mine.clamp(0, 256), theirs.bboxes, atol=1e-4, rtol=1e-5)
        assert not mine.requires_grad


def test_decoding_by_hand():
    """Two anchors and two classes: class 1 of anchor 0 is best, moved by a tenth of its side and doubled in height."""
    logits = torch.tensor([[-1.0, 3.0], [0.0, -9.0]])
    deltas = torch.tensor([[0.1, 0.0, 0.0, 0.6931472], [0.0, 0.0, 0.0, 0.0]])
    anchors = torch.tensor([[10.0, 10.0, 30.0, 30.0], [90.0, 90.0, 130.0, 130.0]])
    found = best_proposals(logits, deltas, anchors, torch.tensor([100, 80]), 3)
    assert found.labels.tolist() == [1, 0, 0]
    torch.testing.assert_close(found.boxes[0], torch.tensor([12.0, 0, 32, 40]))
    # the second lies below the film's lower edge: nothing of it is seen
    assert found.scores.tolist() == pytest.approx([0.952574, -1.0, 0.268941], abs=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 5), st.floats(0.1, 0.9))
def test_distinct_is_greedy_suppression(seed, candidates, count, threshold):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(candidates, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 5 + torch.rand(candidates, 2, generator=generator) * 50], dim=1)
    labels = torch.randint(0, 2, (candidates,), generator=generator)
    found = RegionProposals(boxes, torch.rand(candidates, generator=generator), labels)
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


SIDE = st.integers(8, 700)


@settings(max_examples=60, deadline=None)
@given(height=SIDE, width=SIDE)
def test_it_is_what_mmdet_resized_before_it_padded(height, width):
    results = Resize(scale=(224, 224), keep_ratio=True)(dict(img=np.zeros((height, width, 3), np.uint8)))
    resized = results["img"].shape[:2]
    padded = Pad(size=(224, 224))(results)
    meta = dict(ori_shape=(height, width), img_shape=padded["img_shape"], scale_factor=padded["scale_factor"])
    assert meta["img_shape"] == (224, 224)
    assert film_shape(meta) == resized


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (dict(), (224, 112)),  # 800x400 at 0.28
        (dict(flip=True), (224, 112)),  # it was mirrored before it was padded
        (dict(ori_shape=None), (224, 224)),
        (dict(scale_factor=None), (224, 224)),
        (dict(scale_factor=(1.0, 1.0)), (224, 224)),  # never more than the square
    ],
)
def test_film_shape(changes, expected):
    meta = {**dict(ori_shape=(800, 400, 3), img_shape=(224, 224, 3), scale_factor=(0.28, 0.28)), **changes}
    assert film_shape({key: value for key, value in meta.items() if value is not None}) == expected
