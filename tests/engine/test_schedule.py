"""The staged hook in a real mmengine runner, on a model small enough to watch every tensor.

A stage computes no gradients that it doesn't need.
"""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import nn

from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.engine.checkpoint import read_checkpoint
from hipdet.engine.schedule import (
    LayerGroupOptimWrapperConstructor,
    Stage,
    StagedOneCycleHook,
    assign_groups,
    learning_rate_factor,
    stage_starts,
    triangle,
)
from places import REPOSITORY

GROUPS = [dict(prefixes=["head"]), dict(prefixes=["top"], lr_mult=0.1), dict(prefixes=["bottom"], lr_mult=0.01)]
STAGES = [dict(train_groups=1), dict(train_groups=2, lr_mult=0.25), dict(train_groups=3, lr_mult=0.25)]
ITERATIONS = 20  # per epoch


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.bottom = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
        self.top = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
        self.head = nn.Sequential(nn.Conv2d(2, 1, 1), nn.BatchNorm2d(1))

    def forward(self, inputs, mode="tensor"):
        out = self.head(self.top(self.bottom(inputs)))
        return dict(loss=(out - 1).square().mean()) if mode == "loss" else out


class Watch(Hook):
    """Records the settings of each iteration."""

    priority = "LOWEST"

    def __init__(self):
        self.rates, self.trainable, self.training_norms, self.state_sizes, self.steps = [], [], [], [], []
        self.iterations, self.loss_factors = [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        optimizer = runner.optim_wrapper.optimizer
        self.rates.append([group["lr"] for group in optimizer.param_groups])
        self.iterations.append(runner.iter)
        self.loss_factors.append(float(runner.optim_wrapper.scale_loss(torch.ones(()))))
        self.trainable.append([name for name, p in runner.model.named_parameters() if p.requires_grad])
        self.training_norms.append(
            [n for n, m in runner.model.named_modules() if isinstance(m, nn.BatchNorm2d) and m.training]
        )
        self.state_sizes.append(len(optimizer.state))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        state = runner.optim_wrapper.optimizer.state
        self.steps.append(max((int(entry["step"]) for entry in state.values()), default=0))


def make_runner(work_dir, hook=None, max_epochs=3, films=2 * ITERATIONS, batch=2, lr=0.01, accumulate=1, **changes):
    scaling = changes.pop("auto_scale_lr", None)
    settings = dict(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=batch,
            dataset=[torch.randn(1, 4, 4) for _ in range(films)],
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=lambda batch: dict(inputs=torch.stack(batch)),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(
            optimizer=dict(type="Adam", lr=lr, betas=(0.9, 0.99)),
            accumulative_counts=accumulate,
            constructor="LayerGroupOptimWrapperConstructor",
            paramwise_cfg=dict(groups=GROUPS),
        ),
        custom_hooks=[hook or dict(type="StagedOneCycleHook", stages=STAGES), dict(type="SafeCheckpointHook")],
        default_scope="mmdet",
        experiment_name=f"toy{make_runner.count}",
        randomness=dict(seed=0),
    )
    make_runner.count += 1
    return Runner(**{**settings, **changes}, auto_scale_lr=scaling)


make_runner.count = 0


def test_every_iteration(tmp_path):
    runner, watch = make_runner(tmp_path), Watch()
    runner.register_hook(watch)
    before = {name: p.detach().clone() for name, p in runner.model.named_parameters()}
    runner.train()

    # learning rates against the triangle, per group
    for stage, mult in enumerate((1.0, 0.25, 0.25)):
        for i in range(ITERATIONS):
            expected = [mult * rate * triangle(i, ITERATIONS) for rate in (0.01, 0.001, 0.0001)]
            assert watch.rates[stage * ITERATIONS + i] == pytest.approx(expected)
    # literally: each stage starts at lr / 20 and peaks after a tenth, two iterations
    assert watch.rates[0][0] == pytest.approx(0.0005)
    assert watch.rates[2][0] == pytest.approx(0.01)
    assert watch.rates[22] == pytest.approx([2.5e-3, 2.5e-4, 2.5e-5])
    assert watch.rates[42] == pytest.approx([2.5e-3, 2.5e-4, 2.5e-5])

    # what trains, and which BatchNorm follows the batch
    for stage, parts in enumerate((["head"], ["top", "head"], ["bottom", "top", "head"])):
        for i in range(stage * ITERATIONS, (stage + 1) * ITERATIONS):
            assert {name.split(".")[0] for name in watch.trainable[i]} == set(parts)
            assert {name.split(".")[0] for name in watch.training_norms[i]} == set(parts)

    # a new optimizer per stage: its state is empty before the first step and counts from 1
    assert [watch.state_sizes[stage * ITERATIONS] for stage in range(3)] == [0, 0, 0]
    assert watch.steps == [*range(1, ITERATIONS + 1)] * 3
    moved = {name.split(".")[0] for name, p in runner.model.named_parameters() if not torch.equal(before[name], p)}
    assert moved == {"bottom", "top", "head"}


def test_norms_of_frozen_groups_may_follow_the_films(tmp_path):
    hook = dict(type="StagedOneCycleHook", stages=[dict(train_groups=1)], freeze_norms=False)
    runner, watch = make_runner(tmp_path, hook=hook, max_epochs=1), Watch()
    runner.register_hook(watch)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.train()
    assert {name.split(".")[0] for name in watch.training_norms[0]} == {"bottom", "top", "head"}
    moved = {name for name, value in runner.model.state_dict().items() if not torch.equal(before[name], value)}
    assert {name.split(".")[0] for name in moved if "running" in name} == {"bottom", "top", "head"}
    assert {name.split(".")[0] for name in moved if name in dict(runner.model.named_parameters())} == {"head"}


def test_the_ends_of_stages_are_kept(tmp_path):
    make_runner(tmp_path, hook=dict(type="StagedOneCycleHook", stages=STAGES, keep_ends=True), max_epochs=6).train()
    assert sorted(path.name for path in tmp_path.glob("stage_*")) == ["stage_1.pth", "stage_2.pth"]
    for stage, epoch in ((1, 2), (2, 4)):
        kept, usual = (read_checkpoint(tmp_path / name) for name in (f"stage_{stage}.pth", f"epoch_{epoch}.pth"))
        assert kept["meta"]["epoch"] == epoch
        torch.testing.assert_close(dict(kept["state_dict"]), dict(usual["state_dict"]), rtol=0, atol=0)
    assert (tmp_path / "last_checkpoint").read_text().endswith("epoch_6.pth")


def test_rates_scaled_by_the_batch_size(tmp_path):
    # --auto-scale-lr: batch 2 instead of 16 divides every rate by 8
    runner = make_runner(tmp_path, auto_scale_lr=dict(enable=True, base_batch_size=16))
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    assert watch.rates[2][0] == pytest.approx(0.01 / 8)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """The work dir of a run of three stages of two epochs."""
    folder = tmp_path_factory.mktemp("before")
    make_runner(folder, max_epochs=6).train()
    return folder


def rates_of(work_dir, **settings):
    """The settings of each iteration."""
    runner, watch = make_runner(work_dir, **settings), Watch()
    runner.register_hook(watch)
    runner.train()
    return watch


def test_rates_are_unchanged(tmp_path):
    """Bit for bit: rates of a run at the commit before they became a function of epoch and batch."""
    rates = rates_of(tmp_path).rates
    assert rates[0] == [0.0005, 5e-05, 5e-06]
    assert rates[7] == [0.007361111111111111, 0.0007361111111111111, 7.361111111111111e-05]
    assert rates[20] == [0.000125, 1.25e-05, 1.25e-06]
    assert rates[33] == [0.001048611111111111, 0.0001048611111111111, 1.048611111111111e-05]
    assert rates[59] == [0.0002569444444444445, 2.5694444444444455e-05, 2.5694444444444456e-06]


@pytest.mark.parametrize(
    "changes",
    [
        dict(),
        pytest.param(dict(batch=1), marks=pytest.mark.ci),
        dict(batch=4),
        dict(batch=40),  # one iteration an epoch
        pytest.param(dict(films=60), marks=pytest.mark.ci),
        dict(films=14),
        dict(lr=0.02),
        dict(auto_scale_lr=dict(enable=True, base_batch_size=16)),
        dict(batch=4, auto_scale_lr=dict(enable=True, base_batch_size=2)),
        dict(batch=8, accumulate=4),  # 5 iterations an epoch: 15 in all, the last three are fewer than four
        pytest.param(dict(accumulate=4, films=100), marks=pytest.mark.ci),
        dict(hook=dict(type="StagedOneCycleHook", stages=[dict(train_groups=2, cycles=7), dict(train_groups=3)])),
    ],
    ids=str,
)
def test_resumed_with_another_config_trains_by_that_config(before, tmp_path, changes):
    """At a boundary of stages and within one, everything equals a run that always had this config."""
    straight = rates_of(tmp_path / "straight", max_epochs=6, **changes)
    for epoch in (2, 3):
        start = dict(resume=True, load_from=str(before / f"epoch_{epoch}.pth"))
        found = rates_of(tmp_path / "resumed", max_epochs=6, **changes, **start)
        done = len(straight.rates) * epoch // 6
        assert found.rates == straight.rates[done:]
        assert found.iterations == straight.iterations[done:]
        assert found.loss_factors == straight.loss_factors[done:]


def test_layer_groups_are_the_configs(before, tmp_path):
    checkpoint = torch.load(before / "epoch_1.pth", weights_only=True)
    for group in checkpoint["optimizer"]["param_groups"]:
        group.update(prefixes=[7], initial_lr="x")
    torch.save(checkpoint, tmp_path / "other.pth")
    runner = make_runner(tmp_path, resume=True, load_from=str(tmp_path / "other.pth"))
    runner.train()
    assert [group["prefixes"] for group in runner.optim_wrapper.optimizer.param_groups] == [
        ["head"],
        ["top"],
        ["bottom"],
    ]


@pytest.mark.parametrize(
    "meta", [None, {}, [1], *(dict(epoch=each) for each in (-1, "1", 1.5, True, None, [1]))], ids=str
)
def test_checkpoints_without_a_number_of_epochs(before, tmp_path, meta):
    torch.save(dict(torch.load(before / "epoch_1.pth", weights_only=True), meta=meta), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other.pth: meta.epoch must be 0 or more, found"):
        make_runner(tmp_path, resume=True, load_from=str(tmp_path / "other.pth")).train()


def test_frozen_groups_do_not_move(tmp_path):
    runner = make_runner(tmp_path, hook=dict(type="StagedOneCycleHook", stages=[dict(train_groups=1)]), max_epochs=1)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.train()
    for name, value in runner.model.state_dict().items():
        assert torch.equal(before[name], value) == (not name.startswith("head")), name  # running statistics included


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(max_epochs=2), "leaves one of the 3 stages"),
        (dict(hook=dict(type="StagedOneCycleHook", stages=[dict(train_groups=4)])), "must be 1 to 3"),
        (
            dict(hook=dict(type="StagedOneCycleHook", stages=STAGES, cut_div=0)),
            "cut_div of 1 or more, found .*cut_div=0",
        ),
        (dict(hook=dict(type="StagedOneCycleHook", stages=STAGES, div=0)), "div above 0"),
        (dict(hook=dict(type="StagedOneCycleHook", stages=[dict(train_groups=1, cycles=0)])), "1 or more cycles"),
        (dict(hook=dict(type="StagedOneCycleHook", stages=[dict(train_groups=1, portion=0)])), "a portion above 0"),
        (dict(param_scheduler=dict(type="ConstantLR", factor=1)), "remove param_scheduler"),
        (dict(optim_wrapper=dict(optimizer=dict(type="Adam", lr=0.01))), "LayerGroupOptimWrapperConstructor"),
        (dict(train_cfg=dict(by_epoch=False, max_iters=5)), "EpochBasedTrainLoop"),
    ],
)
def test_configs_that_contradict_themselves(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_runner(tmp_path, **changes).train()


def test_layer_groups_of_experiment_3():
    cfg = Config.fromfile(REPOSITORY / "configs/hip_ssd_exp3.py")
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    constructor = LayerGroupOptimWrapperConstructor(
        dict(optimizer=cfg.optim_wrapper.optimizer), cfg.optim_wrapper.paramwise_cfg
    )
    optimizer = constructor(model).optimizer
    # head: conv, BN, class and box conv, two tensors each.  ResNet-101 has 104 convolutions and BNs: layer3 (23 blocks) and
    # layer4 (3) have 26 * 3 + 2 shortcuts = 80 of them, 240 tensors; conv1, layer1 (3) and layer2 (4) 1 + 21 + 2 = 24, 72
    assert [len(group["params"]) for group in optimizer.param_groups] == [8, 240, 72]
    # 2048*256*9+256 + 2*256 + (256*9+1)*6 + (256*9+1)*24
    assert sum(p.numel() for p in optimizer.param_groups[0]["params"]) == 4788510
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.001, 0.0001])
    assert optimizer.defaults["betas"] == (0.9, 0.99)


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        (0, 0.05),  # 1 / 20
        (50, 0.525),  # half way up: (0.05 + 1) / 2
        (100, 1.0),  # the first tenth
        (550, 0.525),  # half way down
        (999, 1 / 20 + 19 / 20 / 900),  # one step before 1 / 20
    ],
)
def test_triangle_of_1000(iteration, expected):
    assert triangle(iteration, 1000) == pytest.approx(expected)


@given(st.integers(1, 2000))
def test_triangle_stays_within_its_bounds_and_has_one_peak(length):
    factors = [triangle(i, length) for i in range(length)]
    assert all(0.05 <= factor <= 1 for factor in factors)
    assert factors.index(max(factors)) == length // 10
    assert max(factors) == 1


def test_stages_of_the_paper():
    stages = [Stage(1), Stage(2, 0.25), Stage(3, 0.25)]
    assert stage_starts(stages, 120) == [0, 40, 80, 120]
    assert stage_starts(stages, 3) == [0, 1, 2, 3]
    assert stage_starts([Stage(1, portion=3), Stage(2)], 8) == [0, 6, 8]


@pytest.mark.parametrize("epochs", [1, 2])
def test_too_few_epochs(epochs):
    with pytest.raises(ConfigError, match="without an epoch"):
        stage_starts([Stage(1), Stage(2), Stage(3)], epochs)


def test_forty_one_epoch_cycles():
    # the reference implementation's option: 40 triangles of one epoch each
    stage = Stage(1, lr_mult=0.25, cycles=40)
    assert learning_rate_factor(stage, 0, 4000) == pytest.approx(0.25 * 0.05)
    assert learning_rate_factor(stage, 100, 4000) == pytest.approx(0.25 * 0.05)
    assert learning_rate_factor(stage, 110, 4000) == pytest.approx(0.25)


@given(st.integers(1, 300), st.integers(1, 400), st.integers(1, 400), st.floats(1, 100))
def test_every_iteration_of_every_stage_has_a_rate(length, cycles, cut_div, div):
    """However short the stage and its last cycle are."""
    stage = Stage(1, lr_mult=0.25, cycles=cycles)
    factors = [learning_rate_factor(stage, i, length, div, cut_div) for i in range(length)]
    assert all(0.25 / div - 1e-9 <= factor <= 0.25 + 1e-9 for factor in factors)


def test_prefixes_end_at_dots():
    assert assign_groups(["a.layer1.w", "a.layer10.w"], [["a.layer1"], ["a.layer10"]]) == {
        "a.layer1.w": 0,
        "a.layer10.w": 1,
    }


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([["a"]], "b.w is in 0 groups"),
        ([["a", "b"], ["b.w"]], "b.w is in 2 groups"),
        ([["a", "b", "c"]], "no parameter is under c"),  # a misspelt prefix would leave a group empty
    ],
)
def test_every_parameter_in_exactly_one_group(groups, message):
    with pytest.raises(ConfigError, match=message):
        assign_groups(["a.w", "b.w"], groups)


def test_constructor():
    model = nn.ModuleDict(dict(body=nn.Linear(2, 3), head=nn.Linear(3, 1)))
    constructor = LayerGroupOptimWrapperConstructor(
        dict(optimizer=dict(type="Adam", lr=0.01, betas=(0.9, 0.99))),
        dict(groups=[dict(prefixes=["head"]), dict(prefixes=["body"], lr_mult=0.01)]),
    )
    model.body.requires_grad_(False)  # frozen when the optimizer is built: a later stage trains it
    optimizer = constructor(model).optimizer
    assert isinstance(optimizer, torch.optim.Adam)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, pytest.approx(1e-4)]
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 2]
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.99)


def test_a_part_that_the_model_does_not_have_needs_no_parameters():
    model = nn.ModuleDict(dict(head=nn.Linear(3, 1)))
    model.orientation_head = None
    groups = dict(groups=[dict(prefixes=["head", "orientation_head"])])
    constructor = LayerGroupOptimWrapperConstructor(dict(optimizer=dict(type="Adam", lr=0.01)), groups)
    assert [len(group["params"]) for group in constructor(model).optimizer.param_groups] == [2]
    groups["groups"][0]["prefixes"].append("tail")
    with pytest.raises(ConfigError, match="no parameter is under tail"):
        constructor(model)


@pytest.mark.parametrize("paramwise", [None, {}, dict(groups=[]), dict(groups=[dict(lr_mult=1)])])
def test_needs_groups(paramwise):
    with pytest.raises(ConfigError, match=r"paramwise_cfg\.groups"):
        LayerGroupOptimWrapperConstructor(dict(optimizer=dict(type="Adam", lr=0.01)), paramwise)


def convolutions_in_backward(loss):
    """Nodes of the autograd graph below `loss` that are convolutions."""
    seen, waiting, count = set(), [loss.grad_fn], 0
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        count += type(node).__name__.startswith("ConvolutionBackward")
        waiting += [each for each, _ in node.next_functions]
    return count


# the head has 3; layer3 and layer4 of a ResNet-18 have two blocks of 2 and a shortcut each; all of it has 20
@pytest.mark.parametrize(("stage", "expected"), [(0, 3), (1, 3 + 2 * 5), (2, 3 + 20)])
def test_backward_ends_where_training_ends(stage, expected):
    init_default_scope("mmdet")
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(REPOSITORY / "configs/hip_ssd_r18_demo.py").model).train()
    recipe = Config.fromfile(REPOSITORY / "configs/hip_ssd_exp3.py")
    settings = dict(type="OptimWrapper", optimizer=recipe.optim_wrapper.optimizer)
    wrapper = LayerGroupOptimWrapperConstructor(settings, recipe.optim_wrapper.paramwise_cfg)(model)
    hook = StagedOneCycleHook(recipe.custom_hooks[0].stages)
    hook.starts = [0, 1, 2, 3]
    logger = MMLogger.get_instance("stage_work", log_level="ERROR")
    hook.before_train_epoch(SimpleNamespace(epoch=stage, optim_wrapper=wrapper, model=model, logger=logger))
    labels = DetDataSample(metainfo=dict(img_shape=(224, 224), scale_factor=(1.0, 1.0)))
    labels.gt_instances = InstanceData(bboxes=torch.tensor([[40.0, 60, 90, 110]]), labels=torch.zeros(1).long())
    batch = dict(inputs=[torch.rand(1, 224, 224) * 255] * 2, data_samples=[labels, labels.clone()])
    losses = model(**model.data_preprocessor(batch, training=True), mode="loss")
    loss, _ = model.parse_losses(losses)
    assert convolutions_in_backward(loss) == expected
    loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert all(name.startswith("backbone") for name in without)
    assert bool(without) == (stage < 2)
