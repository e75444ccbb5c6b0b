"""What a resumed run remembers, and which files it can delete, in a real mmengine runner whose scores are given."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from hipdet.core.errors import CheckpointError
from hipdet.engine.checkpoint import read_checkpoint
from hipdet.engine.checkpoint_hooks import is_best_name, records

NUMBERS = itertools.count()


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, mode="tensor"):
        out = self.layer(inputs)
        return dict(loss=out.square().mean()) if mode == "loss" else [out]


class Given(BaseMetric):
    """Returns the next of the given scores, by metric."""

    def __init__(self, scores):
        super().__init__()
        self.scores = iter(scores)

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        score = next(self.scores)
        return score if isinstance(score, dict) else {"a/score": score}


def run(work_dir, scores, resume=None, done=0, **checkpoint):
    """Train an epoch for each of `scores`, after `done` epochs."""
    loader = dict(
        batch_size=2,
        dataset=[torch.ones(1), torch.zeros(1)],
        collate_fn=lambda batch: dict(inputs=torch.stack(batch)),
        sampler=dict(type="DefaultSampler", shuffle=False),
    )
    Runner(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=loader,
        val_evaluator=Evaluator([Given(scores)]),
        train_cfg=dict(by_epoch=True, max_epochs=done + len(scores)),
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01)),
        default_hooks=dict(
            checkpoint=dict(
                type="CheckpointHook",
                **{**dict(interval=1, max_keep_ckpts=1, save_best="a/score", rule="greater"), **checkpoint},
            )
        ),
        custom_hooks=[dict(type="SafeCheckpointHook")],
        resume=resume is not None,
        load_from=None if resume in (None, "auto") else str(resume),
        default_scope="mmdet",
        experiment_name=f"safe{next(NUMBERS)}",
    ).train()


def files(folder):
    return sorted(path.name for path in folder.rglob("*.pth"))


def forge(path, out, **info):
    """A checkpoint as at `path`, whose message hub has `info`."""
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["message_hub"] = dict(log_scalars={}, runtime_info=info, resumed_keys=dict.fromkeys(info, True))
    torch.save(checkpoint, out)
    return out


def test_two_resumes_in_a_row(tmp_path):
    run(tmp_path, [0.1, 0.5])
    assert files(tmp_path) == ["best_a_score_epoch_2.pth", "epoch_2.pth"]
    run(tmp_path, [0.3], resume="auto", done=2)  # worse: not the best
    assert files(tmp_path) == ["best_a_score_epoch_2.pth", "epoch_3.pth"]
    info = read_checkpoint(tmp_path / "epoch_3.pth")["message_hub"]["runtime_info"]
    assert info == dict(best_score=0.5, best_ckpt="best_a_score_epoch_2.pth", keep_ckpt_ids=[3])
    run(tmp_path, [0.4, 0.6], resume="auto", done=3)
    assert files(tmp_path) == ["best_a_score_epoch_5.pth", "epoch_5.pth"]


def test_each_of_several_metrics_keeps_its_best(tmp_path):
    both = dict(save_best=["a/score", "b"], rule=["greater", "less"])
    run(tmp_path, [{"a/score": 0.5, "b": 3}, {"a/score": 0.4, "b": 2}], **both)
    run(tmp_path, [{"a/score": 0.6, "b": np.float64(2.5)}], resume="auto", done=2, **both)
    assert files(tmp_path) == ["best_a_score_epoch_3.pth", "best_b_epoch_2.pth", "epoch_3.pth"]
    assert read_checkpoint(tmp_path / "epoch_3.pth")["message_hub"]["runtime_info"] == {
        "best_score_a/score": 0.6,
        "best_ckpt_a/score": "best_a_score_epoch_3.pth",
        "best_score_b": 2.0,
        "best_ckpt_b": "best_b_epoch_2.pth",
        "keep_ckpt_ids": [3],
    }


def test_fewer_checkpoints_than_before(tmp_path):
    run(tmp_path, [0.5, 0.4, 0.3], max_keep_ckpts=3)
    run(tmp_path, [0.2], resume="auto", done=3, max_keep_ckpts=2)
    assert files(tmp_path) == ["best_a_score_epoch_1.pth", "epoch_3.pth", "epoch_4.pth"]


def test_the_first_metric(tmp_path):
    run(tmp_path, [0.5], save_best="auto")
    run(tmp_path, [0.4, 0.6], resume="auto", done=1, save_best="auto")
    assert files(tmp_path) == ["best_a_score_epoch_3.pth", "epoch_3.pth"]


@pytest.mark.parametrize("bystanders", [["epoch_1.pth", "epoch_2.pth", "best_a_score_epoch_2.pth", "x.pth"]])
def test_in_another_folder_the_files_of_both_stay(tmp_path, bystanders):
    old, new = tmp_path / "old", tmp_path / "new"
    run(old, [0.1, 0.5], max_keep_ckpts=2)
    new.mkdir()
    for name in bystanders:
        (new / name).write_text("another training's")
    before = files(old)
    run(new, [0.3], resume=old / "epoch_2.pth", done=2)
    assert files(new) == sorted([*bystanders, "epoch_3.pth"])  # .3 isn't the best
    run(new, [0.6], resume="auto", done=3)
    run(new, [0.7], resume="auto", done=4)
    assert files(new) == sorted([*bystanders, "best_a_score_epoch_5.pth", "epoch_5.pth"])
    assert all((new / name).read_text() == "another training's" for name in bystanders)
    assert files(old) == before


def test_checkpoints_go_to_a_folder_of_their_own(tmp_path):
    place = dict(out_dir=str(tmp_path / "out"))
    run(tmp_path / "w", [0.5], **place)
    run(tmp_path / "w", [0.4, 0.6], resume="auto", done=1, **place)
    assert files(tmp_path / "out/w") == ["best_a_score_epoch_3.pth", "epoch_3.pth"]


def test_another_metric_has_its_own_best(tmp_path):
    scores = {"a/score": 0.9, "b": 0.1}
    run(tmp_path, [scores])
    run(tmp_path, [scores], resume="auto", done=1, save_best="b")
    assert files(tmp_path) == ["best_a_score_epoch_1.pth", "best_b_epoch_2.pth", "epoch_2.pth"]


def test_old_checkpoints_record_no_best(tmp_path):
    run(tmp_path, [0.5])
    forge(tmp_path / "epoch_1.pth", tmp_path / "epoch_1.pth")
    run(tmp_path, [0.3], resume="auto", done=1)
    assert "best_a_score_epoch_2.pth" in files(tmp_path)


@pytest.mark.parametrize(
    "info",
    [
        dict(best_ckpt="../victim.pth"),
        dict(best_ckpt="{outside}/victim.pth"),
        dict(best_ckpt="..\\victim.pth"),
        dict(best_ckpt="victim.pth"),
        dict(best_ckpt="{outside}/best_a_score_epoch_7.pth"),
        dict(best_ckpt="sub/best_a_score_epoch_7.pth"),
        dict(best_ckpt="best_a_score_epoch_8.pth"),  # a folder
        dict(best_ckpt="best_a_score_epoch_1.pth\0"),
        dict(best_ckpt="best_a_score_epoch_" + "9" * 10**5 + ".pth"),
        dict(keep_ckpt_ids=[8, 7, 6, 5]),  # a folder and none
        {
            "best_ckpt_a/score": "{outside}/victim.pth",
            "last_ckpt": "{outside}/victim.pth",
            "epoch": "x",
            "x": [1] * 10**5,
        },
    ],
    ids=lambda info: str(info)[:60],
)
def test_forged_records_delete_nothing(tmp_path, monkeypatch, info):
    """Everything that mmengine would delete is below `tmp_path`, even if the hook fails: never add a real folder."""
    work = tmp_path / "work"
    (tmp_path / "here/below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here/below")  # relative names are taken from here
    run(work, [0.1])
    victims = [
        tmp_path / "victim.pth",
        tmp_path / "best_a_score_epoch_7.pth",
        work / "victim.pth",
        work / "sub/best_a_score_epoch_7.pth",
        work / "best_a_score_epoch_8.pth/film.pth",
        work / "epoch_8.pth/film.pth",
    ]
    for victim in victims:
        victim.parent.mkdir(exist_ok=True)
        victim.write_text("kept")
    placed = {
        key: value.replace("{outside}", str(tmp_path)) if isinstance(value, str) else value
        for key, value in info.items()
    }
    forged = forge(work / "epoch_1.pth", work / "forged.pth", **{"best_score": 0.2, **placed})
    run(work, [0.9], resume=forged, done=1)
    assert all(victim.read_text() == "kept" for victim in victims)
    assert (work / "best_a_score_epoch_2.pth").is_file()


@pytest.mark.parametrize(
    "info",
    [
        dict(best_score="0.5"),
        dict(best_score=True),
        dict(best_score=float("nan")),
        dict(best_score=float("inf")),
        dict(best_score=10**400),
        dict(best_score=[0.5]),
        dict(best_score=torch.ones(3)),
        dict(best_ckpt=7),
        dict(best_ckpt=["victim.pth"]),
        dict(keep_ckpt_ids="../victim"),
        dict(keep_ckpt_ids=["../victim"]),
        dict(keep_ckpt_ids=[1.0]),
        dict(keep_ckpt_ids=[True]),
        dict(keep_ckpt_ids=[-1]),
        dict(keep_ckpt_ids=[10**600]),
        dict(keep_ckpt_ids=[1] * 10_001),
        dict(keep_ckpt_ids={1: 2}),
        dict(keep_ckpt_ids=None),
    ],
    ids=lambda info: f"{next(iter(info))}-{type(next(iter(info.values()))).__name__}",
)
def test_records_of_another_type_are_refused(tmp_path, info):
    run(tmp_path, [0.1])
    forged = forge(tmp_path / "epoch_1.pth", tmp_path / "forged.pth", **info)
    before = files(tmp_path)
    with pytest.raises(CheckpointError, match=rf"forged.pth: can't be resumed, .*{next(iter(info))} must be "):
        run(tmp_path, [0.9], resume=forged, done=1)
    assert files(tmp_path) == before


@pytest.mark.parametrize("hub", [None, [1], {}, dict(runtime_info=[1]), dict(runtime_info=None)], ids=str)
def test_without_records(tmp_path, hub):
    run(tmp_path, [0.1])
    torch.save(dict(torch.load(tmp_path / "epoch_1.pth", weights_only=True), message_hub=hub), tmp_path / "forged.pth")
    with pytest.raises(CheckpointError, match=r"forged.pth: can't be resumed, .*runtime_info must be a dict"):
        run(tmp_path, [0.9], resume=tmp_path / "forged.pth", done=1)


def test_records_are_numbers_and_base_names():
    info = dict(best_score=np.float32(0.5), best_ckpt="/home/eve/w/best_a_epoch_1.pth", keep_ckpt_ids=[np.int64(3)])
    other = {
        "best_score_b": torch.tensor(0.25),
        "best_ckpt_b": "C:\\eve\\best_b_epoch_1.pth",
        "best_score_c": float("nan"),
    }
    more = dict(last_ckpt="/home/eve/w/epoch_3.pth", epoch=3, cfg="text")
    assert records({**info, **other, **more}) == dict(
        best_score=0.5,
        best_ckpt="best_a_epoch_1.pth",
        keep_ckpt_ids=[3],
        best_score_b=0.25,
        best_ckpt_b="best_b_epoch_1.pth",
    )


@given(st.text(max_size=20), st.integers(0, 10**9), st.sampled_from(["epoch_{}.pth", "iter_{:06d}.pth", "{}/of.pth"]))
def test_mmengines_names_and_no_others(indicator, number, template):
    name = f"best_{indicator}_{template.format(number)}".replace("/", "_")  # CheckpointHook._save_best_checkpoint
    assert is_best_name(name, indicator, template)
    assert is_best_name(name, "auto", template)
    for other in (name[1:], f"{name}x", f"../{name}", name.replace(".pth", ".txt"), "", "..", "best_"):
        assert not is_best_name(other, indicator, template)
