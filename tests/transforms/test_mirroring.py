"""Steps that make mirror images are found wherever they stand in a pipeline."""

import pytest
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from hipdet.engine.transforms import mirroring_steps

SIMILARITY = dict(type="RandomSimilarity", flip_prob=0.5)
FLIP = dict(type="RandomFlip", prob=0.5)


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        ([], []),
        ([SIMILARITY], ["RandomSimilarity"]),
        ([dict(SIMILARITY, flip_prob=0.0, quarter_turn_prob=1.0, max_degrees=180)], []),  # turns
        ([dict(type="PackDetInputs"), FLIP, SIMILARITY], ["RandomFlip", "RandomSimilarity"]),
        ([dict(FLIP, prob=0.0)], []),
        ([dict(FLIP, direction="vertical")], ["RandomFlip"]),
        ([dict(FLIP, direction="diagonal")], []),  # a half turn
        ([dict(FLIP, prob=[0.2, 0.3], direction=["diagonal", "horizontal"])], ["RandomFlip"]),
        ([dict(type="mmcv.RandomFlip", prob=0.5)], ["RandomFlip"]),
        ([dict(type="RandomApply", transforms=[FLIP], prob=0.1)], ["RandomFlip"]),
        ([dict(type="RandomChoice", transforms=[[dict(type="PackDetInputs")], [SIMILARITY]])], ["RandomSimilarity"]),
        ([dict(type="TestTimeAug", transforms=[[dict(FLIP, prob=0.0), dict(FLIP, prob=1.0)]])], ["RandomFlip"]),
    ],
)
def test_steps(pipeline, expected):
    init_default_scope("mmdet")
    assert [type(step).__name__ for step in mirroring_steps(Compose(pipeline))] == expected
