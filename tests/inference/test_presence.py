"""The presence limit against a search over all limits; limits of classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.core.boxes import as_boxes
from hipdet.inference.detections import FilmDetections
from hipdet.inference.presence import ENOUGH_HITS, Presence, ValidationFilm, find_limit, presence_limits
from hipdet.inference.review import build_limits

SCORES = st.integers(1, 99).map(lambda percent: percent / 100)


def mistakes(limit, hits, others, films, share):
    """As docs/method.md says, in a loop; None where more than half of the hits are lost."""
    lost = sum(hit < limit for hit in hits)
    if lost > len(hits) / 2:
        return None
    false = sum(other >= limit for other in others)
    return max(lost - int(share * len(hits)), 0) + false * len(hits) / max(films, 20)


@given(
    st.lists(SCORES, min_size=1, max_size=40),
    st.lists(SCORES, max_size=30),
    st.integers(0, 30),
    st.sampled_from([0, 0.01, 0.1]),
)
@settings(max_examples=200, deadline=None)
def test_no_limit_makes_fewer_mistakes(hits, others, without, share):
    case = hits, others, len(others) + without, share
    found = find_limit(*case)
    all_limits = {limit / 1000: mistakes(limit / 1000, *case) for limit in range(1, 1001)}
    possible = [number for number in all_limits.values() if number is not None]
    assert mistakes(found, *case) == pytest.approx(min(possible))
    assert 0 < found <= 1


@pytest.mark.parametrize(
    ("hits", "others", "films", "limit"),
    [
        ([0.9, 0.8], [], 0, 0.4),  # nothing to tell apart from: half of the lowest hit
        ([0.9, 0.8], [0.4, 0.2], 40, 0.6),  # halfway
        ([0.9] * 50 + [0.3], [0.6] * 9, 50, 0.75),  # one hit is lost, not nine films
        ([0.9] * 50 + [0.3], [0.95], 50, 0.15),  # nor 51 hits for one film
        ([0.9] * 10 + [0.5] * 3, [0.7], 1, 0.25),  # a single film weighs as a twentieth
        ([0.3, 0.4, 0.5], [0.45] * 100, 100, 0.15),  # half of the hits are kept at least
    ],
)
def test_limits_by_hand(hits, others, films, limit):
    assert find_limit(hits, others, films) == limit


def test_a_hundredth_of_the_hits_is_lost_for_nothing():
    hits = [0.05, *np.linspace(0.8, 0.9, 199)]
    assert find_limit(hits, [], 0) == pytest.approx(0.4, abs=0.001)
    assert find_limit(hits, [], 0, 0) == 0.025


def film(*rows, present=None, absence_known=True):
    """Rows of label, score and whether it is a hit."""
    labels, scores, hits = (np.array(column) for column in zip(*rows)) if rows else (np.zeros(0),) * 3
    boxes = as_boxes([[10, 10, 20, 20]] * len(rows))
    found = FilmDetections(boxes, scores.astype(float), labels.astype(np.int64), 40, 30)
    return ValidationFilm(found, 0.9 * hits, present, absence_known)


def test_each_class_has_a_limit_of_its_own_if_it_has_enough_hits():
    """Films that lack a class count for it, also without a detection; those that may have one without a label don't."""
    films = [film((0, 0.9, True), (1, 0.5, True)) for _ in range(ENOUGH_HITS)]
    films += [film((0, 0.3, False), (2, 0.8, True)) for _ in range(5)]
    films += [film((0, 0.99, False), absence_known=False), film(), film((1, 0.2, False), present=frozenset({0}))]
    common, found = presence_limits(films, ("heart", "lung", "nipple"))
    assert found["heart"] == Presence(0.6, hits=20, lost=0, films=6, false_films=0)
    assert found["lung"] == Presence(0.35, hits=20, lost=0, films=7, false_films=0)
    assert found["nipple"] == Presence(common, hits=5, lost=0, films=22, false_films=0)
    assert common == 0.4  # between .3 and .5
    limits = build_limits(films, classes=("heart", "lung", "nipple"))
    assert limits.least_scores(("nipple", "lung", "other")).tolist() == [0.4, 0.35, 0.4]
    assert limits.candidate_scores(("heart",)).tolist() == [0.3]
    assert found["heart"].words() == (
        "an ROI from a score of 0.6; below it are 0 of 20 hits, at or above it something else on 0 of the 6 films that "
        "could have it"
    )
