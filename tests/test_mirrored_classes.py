"""Which classes change places in a mirror image."""

import pytest

from hipdet.core.errors import ConfigError
from hipdet.core.mirrored_classes import mirrored_labels, sided_pairs

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
        (("left lung", "lung"), []),  # nothing to change places with
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
        "ssd_chest.py: RandomFlip mirrors films, and 'left lung' and 'right lung' change places in a mirror image: add "
        "mirrored_pairs=[('left lung', 'right lung')] to metainfo, beside classes; or mirrored_pairs=[] if none do"
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
