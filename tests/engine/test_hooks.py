"""A config that can't give the ROIs that it is to learn is refused before training, with a message that says what to set.

What mirrors films from outside their data set is refused as what does so within it.

Random numbers of the loader's workers, which outlive the epoch, and of the process itself.
"""

import json
import logging
import multiprocessing
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.datasets import ConcatDataset as MMDetConcatDataset
from mmdet.datasets import MultiImageMixDataset
from mmdet.engine.hooks import PipelineSwitchHook
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.registry import init_default_scope
from mmengine.runner import EpochBasedTrainLoop
from PIL import Image
from torch.utils.data import DataLoader

from hipdet.core.errors import ConfigError
from hipdet.data.copies import film_digest
from hipdet.engine.hooks import EpochSeedHook, PossibleRoisHook, ReportHook, cpu_seconds
from places import REPOSITORY

HIP = [10, 10, 20, 20]
LUNG, WIDE_LUNG, LARGE = [0, 0, 20, 40], [50, 0, 30, 40], [40, 40, 40, 40]


def data_set(folder, films, classes, **metainfo):
    """Films of 100 px with boxes ``class, xywh`` and perhaps ``ignore``."""
    init_default_scope("mmdet")
    images = [dict(id=number + 1, file_name=f"{number}.png", width=100, height=100) for number in range(len(films))]
    annotations = []
    for image, boxes in zip(images, films):
        Image.new("L", (100, 100)).save(folder / image["file_name"])
        for label, box, *crowd in boxes:
            annotations.append(dict(id=len(annotations) + 1, image_id=image["id"], category_id=label + 1, bbox=box,
                                    area=box[2] * box[3], iscrowd=int(bool(crowd))))  # fmt: skip
    categories = [dict(id=label + 1, name=name) for label, name in enumerate(classes)]
    (folder / "a.json").write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    settings = dict(type="RoiDataset", data_root=str(folder), ann_file="a.json", data_prefix=dict(img=""), pipeline=[])
    return DATASETS.build(dict(settings, metainfo=dict(classes=tuple(classes), palette=None, **metainfo)))


@pytest.fixture(scope="module")
def model():
    init_default_scope("mmdet")
    return MODELS.build(Config.fromfile(REPOSITORY / "configs/hip_roi_small.py").model)


@pytest.fixture
def check(model, monkeypatch):
    """Starts to train hip_roi_small with other settings."""

    def check_with(dataset, passes=(2,), square=True, one_size=True, num_classes=None, max_per_img=10):
        monkeypatch.setattr(model, "passes", passes)
        monkeypatch.setattr(model, "one_size", one_size)
        monkeypatch.setattr(model.refiner, "square", square)
        monkeypatch.setattr(model.bbox_head, "num_classes", num_classes or len(dataset.metainfo["classes"]))
        monkeypatch.setitem(model.test_cfg, "max_per_img", max_per_img)
        before_train(model, dataset)

    return check_with


def test_hips_are_trained(check, tmp_path, caplog):
    two = [(0, HIP), (0, [60, 10, 21, 21])]
    check(data_set(tmp_path, [two, two, [(0, HIP)], [*two, (0, LUNG, "ignored")]], ["hip"]))
    assert "one_size" not in caplog.text


LUNGS = [(0, LUNG), (0, [50, 0, 21, 41])]
CHEST = [(0, HIP), (1, [50, 0, 20, 20]), (1, [50, 50, 20, 20])]


@pytest.mark.parametrize(
    ("films", "classes", "changes", "words"),
    [
        # aspect 2: 1 / (2 sqrt 2 - 1)
        ([LUNGS], ["lung"], {}, r"refiner\.square=True, but squares reach a mean IoU of 0\.5\d with the labels of 'lung'"),
        ([LUNGS], ["lung"], dict(square=False, passes=(1,)), r"\(1,\) gives up to 1 ROIs of a class, but \S*0\.png has 2"),
        ([[(0, HIP)], CHEST], ["heart", "lung"], dict(passes=(1, 1)), r"\S*1\.png has 2 of 'lung': set the first pass to 2"),
        # sides 20 and 40: each shares half with 28.3
        ([[(0, HIP), (0, LARGE)]], ["hip"], {}, r"one_size=True, but boxes of one size on a film reach a mean IoU of 0\.50"),
        ([[(0, HIP)]], ["hip"], dict(max_per_img=0), r"max_per_img=0, but \S*0\.png has 1 ROIs"),
        ([CHEST], ["heart", "lung"], dict(passes=(), max_per_img=2), r"max_per_img=2, but \S*0\.png has 3 ROIs"),
        ([CHEST], ["heart", "lung"], dict(num_classes=1), r"num_classes=1, but the classes are \['heart', 'lung'\]"),
    ],
)  # fmt: skip
def test_refusals(check, tmp_path, films, classes, changes, words):
    with pytest.raises(ConfigError, match=words) as refused:
        check(data_set(tmp_path, films, classes), **changes)
    assert "hipdet anchors" in str(refused.value)


@pytest.mark.parametrize(
    ("films", "classes", "changes"),
    [
        ([LUNGS], ["lung"], dict(square=False)),
        ([[(0, HIP), (0, LARGE)]], ["hip"], dict(one_size=False)),
        ([[(0, HIP)], CHEST], ["heart", "lung"], dict(max_per_img=2)),  # `passes` limits each class
        ([LUNGS], ["lung"], dict(passes=(), one_size=False)),  # no refiner, so nothing is square
        ([[], []], ["hip"], {}),
    ],
)
def test_what_it_trains(check, tmp_path, films, classes, changes):
    dataset = data_set(tmp_path, [*films, [(0, HIP)]], classes)
    check(dataset, **changes)


def test_a_doubtful_setting_gives_a_warning(check, tmp_path, caplog):
    """A fifth wider: sqrt 1.2, so 1 / 1.095 = .91 at best."""
    check(data_set(tmp_path, [[(0, [0, 0, 50, 50]), (0, [0, 0, 60, 50])]], ["hip"]))
    assert "one size on a film reach a mean IoU of 0.91 with the labels of 'hip', expected 0.95 or more" in caplog.text


@pytest.mark.parametrize("wrap", [lambda one: ConcatDataset([one, one]), lambda one: RepeatDataset(one, 3)])
def test_data_sets_in_others(check, tmp_path, wrap):
    with pytest.raises(ConfigError, match="squares reach"):
        check(wrap(data_set(tmp_path, [LUNGS], ["lung"])))


@pytest.fixture(scope="module")
def plain():
    """The paper's detector, without a refiner."""
    init_default_scope("mmdet")
    return MODELS.build(Config.fromfile(REPOSITORY / "configs/hip_ssd_r18_demo.py").model)


def before_train(model, dataset, hooks=()):
    loader, logger = SimpleNamespace(dataset=dataset), logging.getLogger("hook")
    runner = SimpleNamespace(model=model, train_dataloader=loader, logger=logger, hooks=list(hooks))
    PossibleRoisHook().before_train(runner)


def test_any_single_stage_detector(plain, tmp_path, monkeypatch):
    before_train(plain, data_set(tmp_path, [LUNGS], ["lung"]))  # of any shape
    chest = data_set(tmp_path, [CHEST], ["heart", "lung"])
    with pytest.raises(ConfigError, match=r"num_classes=1, but the classes are \['heart', 'lung'\]"):
        before_train(plain, chest)
    monkeypatch.setattr(plain.bbox_head, "num_classes", 2)
    before_train(plain, chest)
    monkeypatch.setitem(plain.test_cfg, "max_per_img", 2)
    with pytest.raises(ConfigError, match=r"max_per_img=2, but \S*0\.png has 3 ROIs"):
        before_train(plain, chest)


def test_other_models_and_data_sets_are_not_checked(plain, tmp_path):
    before_train(object(), data_set(tmp_path, [CHEST], ["heart", "lung"]))
    before_train(plain, [1, 2])


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.py")), ids=lambda path: path.stem)
def test_the_configs_have_it(path):
    assert [hook.type for hook in Config.fromfile(path).custom_hooks].count("PossibleRoisHook") == 1


SIDES = ["left hip", "right hip"]
PAIRS = [("left hip", "right hip")]
FLIP, SWAP = dict(type="RandomFlip", prob=0.5), dict(type="RandomSimilarity", flip_prob=0.5)
TURN = dict(type="RandomSimilarity", flip_prob=0.0)
UNNAMED = r"RoiDataset of \S*a\.json: RandomFlip mirrors films, and 'left hip' and 'right hip' swap in a mirror image"
BLIND = r"RandomFlip mirrors films but doesn't swap the classes"


def hips(folder, pairs=None):
    return data_set(folder, [[(0, [60, 10, 20, 20]), (1, [10, 10, 20, 20])]], SIDES, mirrored_pairs=pairs)


def wrapped(dataset, step):
    return MultiImageMixDataset(dataset, pipeline=[step])


def around_two(dataset, step):
    parts = [dataset, dict(type="MultiImageMixDataset", dataset=dataset, pipeline=[step])]
    return MMDetConcatDataset(parts)


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


FILMS = 5


class Draw:
    """A step of the pipeline that draws from all three generators that augmentations use."""

    def __call__(self, results):
        import random

        return random.random(), float(np.random.rand()), float(torch.rand(1))


@pytest.fixture
def dataset(tmp_path):
    init_default_scope("mmdet")
    images = [dict(id=number, file_name=f"{number}.png", width=40, height=40) for number in range(1, FILMS + 1)]
    for image in images:
        Image.new("L", (40, 40)).save(tmp_path / image["file_name"])
    boxes = [dict(id=n, image_id=n, category_id=1, bbox=[4, 4, 9, 9], area=81, iscrowd=0) for n in range(1, FILMS + 1)]
    coco = dict(images=images, annotations=boxes, categories=[dict(id=1, name="hip")])
    (tmp_path / "ann.json").write_text(json.dumps(coco))
    return lambda: DATASETS.build(
        dict(
            type="RoiDataset", data_root=str(tmp_path), ann_file="ann.json", data_prefix=dict(img=""), pipeline=[Draw()]
        )
    )


def epochs(loader, numbers, seed=0):
    """The random numbers of the films of epochs `numbers`, and of the process within the epoch."""
    hook = EpochSeedHook()
    drawn = []
    for epoch in numbers:
        runner = SimpleNamespace(seed=seed, epoch=epoch, train_dataloader=loader)
        hook.before_train_epoch(runner)
        films = []
        for number, batch in enumerate(loader):
            hook.before_train_iter(runner, number)
            films += batch
            if number == 0:
                own = float(torch.rand(1))
        drawn.append((films, own))
    return drawn


def loader(dataset, workers):
    return DataLoader(dataset, 2, num_workers=workers, persistent_workers=workers > 0, collate_fn=list)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_draws_as_an_uninterrupted_one(dataset, workers):
    straight = epochs(loader(dataset(), workers), [0, 1, 2])
    assert epochs(loader(dataset(), workers), [1, 2]) == straight[1:]
    assert epochs(loader(dataset(), workers), [2], seed=1) != straight[2:]
    assert len({films[0] for films, _ in straight}) == 3  # different in every epoch
    assert len({own for _, own in straight}) == 3


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "wrapped", [lambda make: RepeatDataset(make(), 2), lambda make: ConcatDataset([make(), make()])]
)
def test_no_number_is_drawn_twice_in_an_epoch(dataset, wrapped, workers):
    for films, _ in epochs(loader(wrapped(dataset), workers), [0, 1]):
        assert len(films) == 2 * FILMS
        assert all(len(set(values)) == 2 * FILMS for values in zip(*films))


def test_copies_are_seeded_too(dataset):
    original = dataset()
    epochs(loader(original, 2), [0])
    subset = original.get_subset([0, 1, 2])
    (first, _), (second, _) = epochs(loader(subset, 2), [0, 1])
    assert not set(first) & set(second)
    assert epochs(loader(subset, 2), [1]) == [(second, _)]


def _work(done, wait):
    while time.process_time() < 0.6:
        pass
    done.set()
    wait.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't tell what running workers have used")
def test_cpu_seconds_are_also_those_of_workers():
    before = cpu_seconds()
    context = multiprocessing.get_context("fork")
    done, wait = context.Event(), context.Event()
    worker = context.Process(target=_work, args=(done, wait))
    worker.start()
    done.wait()
    running = cpu_seconds() - before  # it has worked, and still runs
    wait.set()
    worker.join()
    assert running > 0.3  # a worker that is forked has the clock of its own process
    assert cpu_seconds() - before > 0.3


@pytest.mark.parametrize(("meta", "expected"), [(dict(cpu_seconds=1000.0), 1000), (dict(seconds=5.0), None)])
def test_cpu_seconds_are_added_up_over_interruptions(meta, expected):
    hook, saved = ReportHook(), dict(meta={})
    loader = SimpleNamespace(dataset=[])
    runner = SimpleNamespace(_train_dataloader={}, _train_loop={}, _resume=True, resume=True, train_dataloader=loader)
    hook.after_load_checkpoint(runner, dict(meta=meta, state_dict={}))
    hook.before_save_checkpoint(runner, saved)
    if expected is None:  # the first part wasn't measured
        assert "cpu_seconds" not in saved["meta"]
    else:
        assert saved["meta"]["cpu_seconds"] == pytest.approx(expected + cpu_seconds(), abs=5)


@pytest.mark.parametrize("wrapped", [lambda made: made, lambda made: ConcatDataset([made, made])])
@pytest.mark.parametrize(
    ("meta", "before", "known"),
    [
        (None, [], True),  # random weights
        (dict(seen=dict(films=["0123456789abcdef"], known=True)), ["0123456789abcdef"], True),
        (dict(seen=dict(films=["0123456789abcdef"], known=False)), ["0123456789abcdef"], False),
        (dict(), [], False),  # of another program
        (dict(seen=dict(films=7, known=True)), [], False),
        (dict(seen=dict(films=[["a"], "b"], known=True)), [], False),
        (dict(seen=[]), [], False),
    ],
)
def test_checkpoints_say_which_films_they_and_their_start_have_seen(dataset, tmp_path, wrapped, meta, before, known):
    # a film of other content: those of the fixture are all the same
    Image.new("L", (40, 40), 9).save(tmp_path / "2.png")
    hook, saved = ReportHook(), dict(meta={})
    loader = SimpleNamespace(dataset=wrapped(dataset()))
    runner = SimpleNamespace(_train_loop=object.__new__(EpochBasedTrainLoop), _resume=False, train_dataloader=loader)
    if meta is not None:
        hook.after_load_checkpoint(runner, dict(meta=meta, state_dict={}))
    hook.before_save_checkpoint(runner, saved)
    own = {film_digest(tmp_path / f"{number}.png") for number in range(1, FILMS + 1)}
    assert len(own) == 2
    assert saved["meta"]["seen"] == dict(films=sorted(own | {*before}), known=known)
