"""How many ROIs of each class a film has."""

import numpy as np
import pytest

from hipdet.core.errors import ConfigError
from hipdet.core.roi_counts import RoiCounts

CHEST = ("heart", "left lung", "right lung")


def test_a_number_counts_all_classes_together():
    counts = RoiCounts.of(2, CHEST)
    best = counts.best(np.array([0.2, 0.9, 0.5]), np.array([0, 1, 1]))
    assert (counts.most, best.tolist()) == (2, [1, 2])
    assert counts.too_few(np.array([0]))
    assert not counts.too_few(np.array([0, 0]))
    assert counts.too_many(np.array([0] * 3))


def test_numbers_and_ranges_by_class():
    counts = RoiCounts.of({"left lung": [1, 2], "heart": 1, "right lung": (0, 1)}, CHEST)
    assert counts.most == 4
    # two hearts, the weaker first; three left lungs, of which the weakest goes; no right lung
    labels = np.array([0, 0, 1, 1, 1])
    best = counts.best(np.array([0.1, 0.8, 0.3, 0.9, 0.2]), labels)
    assert best.tolist() == [3, 1, 2]
    assert counts.too_many(labels)
    assert not counts.too_many(labels[best])
    assert not counts.too_few(labels[best])
    assert counts.too_few(np.array([1, 2]))  # no heart


@pytest.mark.parametrize(
    ("words", "plain"),
    [
        (["2"], 2),
        (["1-2"], [1, 2]),
        (["heart=1", "left lung=0-1", "right lung=1-2"], {"heart": 1, "left lung": [0, 1], "right lung": [1, 2]}),
    ],
)
def test_what_users_type_and_cards_hold(words, plain):
    counts = RoiCounts.from_words(words, CHEST)
    assert counts.to_json() == plain
    assert RoiCounts.of(plain, CHEST) == counts


@pytest.mark.parametrize(
    "words", [["0"], ["two"], ["2-1"], ["-1"], ["heart=1"], ["heart=1", "heart=2"], ["1", "2"], ["heart"], ["1.5"], []]
)
def test_other_words_are_refused(words):
    with pytest.raises(ConfigError, match="--rois"):
        RoiCounts.from_words(words, CHEST)


@pytest.mark.parametrize("counts", [0, -1, True, 1.0, [1], [1, 2, 3], [0, 0], "2", None, {"hip": 1.5}, {}, {"knee": 1}])
def test_other_counts_are_refused_by_name_of_the_file(counts):
    with pytest.raises(ConfigError, match=r"a\.onnx"):
        RoiCounts.of(counts, ("hip",), "a.onnx")
