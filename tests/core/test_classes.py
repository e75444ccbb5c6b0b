"""Classes that swap in a mirror image, and the number of ROIs of each class on a film."""

import numpy as np
import pytest

from hipdet.core.classes import RoiCounts, mirrored_labels, sided_pairs
from hipdet.core.errors import ConfigError

LUNGS = ("heart", "left lung", "right lung")


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("hip",), []),
        (LUNGS, [("left lung", "right lung")]),
        (("right lung", "heart", "left lung"), [("left lung", "right lung")]),  # the left one first
        (
            ("Left_Hip", "right_hip", "KNEE RIGHT", "Knee Left"),
            [("Left_Hip", "right_hip"), ("Knee Left", "KNEE RIGHT")],
        ),
        (("hip, left, upper", "hip, right, upper", "hip, right, lower"), [("hip, left, upper", "hip, right, upper")]),
        (("left", "right"), [("left", "right")]),
        (("left of right", "right of left"), [("left of right", "right of left")]),
        (("left lung", "lung"), []),  # no class to swap with
        (("l hip", "r hip"), []),
        ((), []),
    ],
)
def test_names_with_left_and_right(classes, expected):
    assert sided_pairs(classes) == expected


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("left lung", "right lung")], (0, 2, 1)),
        ((["right lung", "left lung"],), (0, 2, 1)),  # as JSON gives them back, in either order
        ([], (0, 1, 2)),
        ([("heart", "right lung")], (2, 1, 0)),  # the config knows best
    ],
)
def test_labels_are_indices_of_the_classes(pairs, expected):
    for mirroring in ("", "RandomSimilarity"):
        assert mirrored_labels(dict(classes=LUNGS, mirrored_pairs=pairs), "here", mirroring) == expected


def test_without_pairs():
    assert mirrored_labels(dict(classes=LUNGS), "here") == (0, 1, 2)  # nothing mirrors
    assert mirrored_labels(dict(classes=("heart", "lung")), "here", "RandomFlip") == (0, 1)
    with pytest.raises(ConfigError) as error:
        mirrored_labels(dict(classes=LUNGS, mirrored_pairs=None), "ssd_chest.py", "RandomFlip")
    assert str(error.value) == (
        "ssd_chest.py: RandomFlip mirrors films, and 'left lung' and 'right lung' swap in a mirror image: add "
        "mirrored_pairs=[('left lung', 'right lung')] to metainfo, next to classes; or mirrored_pairs=[] if no classes swap"
    )


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("left lung", "right hip")], "mirrored_pairs names 'right hip', expected one of the classes ['heart', 'left"),
        ([("left lung", 2)], "mirrored_pairs names 2, expected one of"),
        ([("left lung", "right lung"), ("heart", "left lung")], "mirrored_pairs names 'left lung' twice"),
        ([("heart", "heart")], "mirrored_pairs names 'heart' twice"),
        (("left lung", "right lung"), "expected a list of pairs of classes"),
        ([("left lung",)], "expected a list of pairs of classes"),
        ("left lung", "expected a list of pairs of classes"),
        (dict(left="right"), "expected a list of pairs of classes"),
        (3, "expected a list of pairs of classes"),
    ],
)
def test_bad_pairs(pairs, words):
    with pytest.raises(ConfigError, match=r"^here: ") as error:
        mirrored_labels(dict(classes=LUNGS, mirrored_pairs=pairs), "here")
    assert words in str(error.value)


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
def test_errors_about_other_counts_name_the_file(counts):
    with pytest.raises(ConfigError, match=r"a\.onnx"):
        RoiCounts.of(counts, ("hip",), "a.onnx")


@pytest.mark.parametrize(
    ("counts", "classes", "paired", "fixed"),
    [
        (2, ("hip",), {0}, [True]),
        ([1, 2], ("hip",), {0}, [False]),
        (1, ("knee",), set(), [True]),
        (3, ("rib",), set(), [True]),
        ({"heart": 1, "lung": [0, 2]}, ("heart", "lung"), {1}, [True, False]),
        ({"heart": 1, "left lung": 1, "right lung": [0, 1]}, CHEST, {1, 2}, [True, True, False]),
        (3, CHEST, {0, 1, 2}, [True, True, True]),  # any two of them may be of one class
        (1, ("heart", "lung"), set(), [True, True]),
    ],
)
def test_classes_in_pairs_and_with_one_number(counts, classes, paired, fixed):
    found = RoiCounts.of(counts, classes)
    assert (found.paired, found.fixed.tolist()) == (paired, fixed)
