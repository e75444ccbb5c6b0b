"""What mirrors films from outside their data set is refused as what does so within it."""

import pytest
from mmdet.datasets import ConcatDataset, MultiImageMixDataset
from mmdet.engine.hooks import PipelineSwitchHook
from test_possible_rois_hook import before_train, data_set

from hipdet.core.errors import ConfigError

SIDES = ["left hip", "right hip"]
PAIRS = [("left hip", "right hip")]
FLIP, SWAP = dict(type="RandomFlip", prob=0.5), dict(type="RandomSimilarity", flip_prob=0.5)
TURN = dict(type="RandomSimilarity", flip_prob=0.0)
UNNAMED = r"RoiDataset of \S*a\.json: RandomFlip mirrors films, and 'left hip' and 'right hip' change places"
BLIND = r"RandomFlip mirrors films but doesn't swap the classes"


def hips(folder, pairs=None):
    return data_set(folder, [[(0, [60, 10, 20, 20]), (1, [10, 10, 20, 20])]], SIDES, mirrored_pairs=pairs)


def wrapped(dataset, step):
    return MultiImageMixDataset(dataset, pipeline=[step])


def around_two(dataset, step):
    parts = [dataset, dict(type="MultiImageMixDataset", dataset=dataset, pipeline=[step])]
    return ConcatDataset(parts)


def within(dataset, step):
    return wrapped(dict(type="ConcatDataset", datasets=[dataset, dataset]), step)


@pytest.mark.parametrize("wrap", [wrapped, around_two, within])
@pytest.mark.parametrize(("pairs", "words"), [(None, UNNAMED), (PAIRS, BLIND)])
def test_wrappers(tmp_path, wrap, pairs, words):
    dataset = wrap(hips(tmp_path, pairs), FLIP)
    with pytest.raises(ConfigError, match=words):
        before_train(object(), dataset)


@pytest.mark.parametrize(("pairs", "words"), [(None, UNNAMED), (PAIRS, BLIND)])
def test_pipelines_that_come_later(tmp_path, pairs, words):
    with pytest.raises(ConfigError, match=words):
        before_train(object(), hips(tmp_path, pairs), [PipelineSwitchHook(5, [FLIP])])


@pytest.mark.parametrize(("pairs", "step"), [(None, TURN), (PAIRS, SWAP), ([], FLIP)])
def test_what_is_trained(tmp_path, pairs, step):
    dataset = hips(tmp_path, pairs)
    before_train(object(), wrapped(dataset, step))
    before_train(object(), dataset, [PipelineSwitchHook(5, [step])])
