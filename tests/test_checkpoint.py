import pytest
import torch

from hipdet.core.errors import CheckpointError
from hipdet.engine.checkpoint import read_checkpoint, state_dict_faults


class Evil:
    def __reduce__(self):
        return print, ("this must never be printed",)


def test_reads_what_is_safe(tmp_path):
    torch.save(dict(state_dict=dict(a=torch.ones(2)), meta=dict(epoch=3)), tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth")["meta"] == dict(epoch=3)
    torch.save(dict(a=torch.ones(2)), tmp_path / "bare.pth")
    assert read_checkpoint(tmp_path / "bare.pth")["a"].tolist() == [1, 1]


def bad_files(folder):
    torch.save(dict(state_dict=dict(a=torch.ones(1000))), folder / "whole.pth")
    whole = (folder / "whole.pth").read_bytes()
    (folder / "truncated.pth").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.pth").write_text("not a checkpoint")
    torch.save(dict(state_dict=dict(a=Evil())), folder / "malicious.pth")
    torch.save([1, 2], folder / "list.pth")
    torch.save(dict(state_dict=dict()), folder / "hollow.pth")
    torch.save(dict(state_dict=dict(a=1.0)), folder / "numbers.pth")
    torch.save(dict(state_dict=[1]), folder / "listed.pth")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.pth", "no such checkpoint"),
        ("truncated.pth", "damaged"),
        ("empty.pth", "damaged"),
        ("text.pth", "damaged"),
        ("malicious.pth", "refused"),
        ("list.pth", "no weights"),
        ("hollow.pth", "no weights"),
        ("numbers.pth", "no weights"),
        ("listed.pth", "no weights"),
    ],
)
def test_bad_checkpoints_are_named(tmp_path, capsys, name, message):
    bad_files(tmp_path)
    with pytest.raises(CheckpointError, match=f"{name}.*{message}"):
        read_checkpoint(tmp_path / name)
    assert "never" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "expected", "words"),
    [
        (dict(a=1), dict(a=1), []),
        ({"module.a": 1}, dict(a=1), []),  # saved from a data-parallel wrapper
        (dict(a=1), dict(a=1, b=2), ["1 missing, such as b"]),
        (dict(a=1, c=2), dict(a=1), ["1 unknown, such as c"]),
        (dict(a=2), dict(a=1), ["1 of another shape", r"a is (2,) and the model's (1,)"]),
    ],
)
def test_faults_of_weights(found, expected, words):
    faults = state_dict_faults(
        {name: torch.ones(size) for name, size in found.items()},
        {name: torch.ones(size) for name, size in expected.items()},
    )
    assert bool(faults) == bool(words)
    assert all(word in faults for word in words)
