"""Checkpoints whose config would run code: each would leave a canary, and none does."""

import http.server
import os
import sys
import threading

import pytest
import torch
from mmdet.apis import DetInferencer, init_detector
from mmengine.config import Config
from mmengine.runner import load_checkpoint

from hipdet.core.errors import CheckpointError
from hipdet.engine.checkpoint import safetensors_bytes
from hipdet.export.publish import get_weights, publish
from hipdet.export.torch_model import TorchModel
from tool_runs import RECIPES, run_tool

CANARY = "canary"  # in the working directory
MAKE = dict(type="os.mkdir", path=CANARY)
# a string until mmengine substitutes a variable's default, which removes a backslash: the quote then ends the string
PASTED = """{{$NOT_SET:.*|\\'+str(__import__("os").mkdir("canary"))#}}"""


def replaced(*path, value):
    """A change of one setting."""

    def change(settings):
        *parents, last = path
        for key in parents:
            settings = settings[key]
        settings[last] = value

    return change


SETTINGS = {
    "model": replaced("model", value=MAKE),
    "nested": replaced("model", "backbone", value=MAKE),
    "anchors": replaced("model", "bbox_head", "anchor_generator", value=MAKE),
    "list": replaced("test_dataloader", "dataset", "pipeline", 1, value=MAKE),
    "visualizer": replaced("visualizer", "type", value="evil.Visualizer"),
    "module": replaced("model", "type", value="evil"),
    "attribute": replaced("model", "type", value="evil.Detector"),
    "imports": replaced("custom_imports", "imports", value=["hipdet.plugin", "evil"]),
    "imports-text": replaced("custom_imports", value=dict(imports="evil")),
    "default-scope": replaced("default_scope", value="evil_package"),
    "scope": replaced("model", "_scope_", value="evil_package"),
    "collate": replaced("test_dataloader", "collate_fn", value="evil.collate"),
    "base": replaced("_base_", value="evil_config.py"),
    "pasted": replaced("note", value=PASTED),
}
TEXTS = {
    "call": "note = __import__('os').mkdir('canary')\n",
    "lambda": "note = (lambda: open('canary', 'w'))()\n",
    "f-string": 'note = f\'{open("canary", "w")}\'\n',
    "statement": "import os; os.mkdir('canary')\n",
    "comprehension": "note = [open(name, 'w') for name in ['canary']]\n",
    "class": "note = dict(type=open('canary', 'w').__class__)\n",
}
HOSTILE = [*SETTINGS, *TEXTS]


@pytest.fixture
def hostile(untrained, tmp_path, monkeypatch):
    """Writes a checkpoint with an evil config, beside modules that leave a canary."""
    (tmp_path / "evil_package").mkdir()
    for name in ("evil.py", "evil_package/registry.py"):
        (tmp_path / name).write_text("import os\nos.makedirs('canary', exist_ok=True)\ndef collate(*_):\n    pass\n")
    (tmp_path / "evil_package/__init__.py").touch()
    (tmp_path / "evil_config.py").write_text("note = __import__('os').mkdir('canary')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("evil", "evil_package", "evil_package.registry"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def write(name, suffix):
        settings = Config.fromfile(untrained.config).to_dict()
        SETTINGS.get(name, lambda _: None)(settings)
        if name == "base":
            settings["_base_"] = str(tmp_path / "evil_config.py")
        text = "".join(f"{key} = {value!r}\n" for key, value in settings.items()) + TEXTS.get(name, "")
        content = torch.load(untrained.weights, weights_only=True)
        content["meta"]["cfg"] = text
        path = tmp_path / f"hostile{suffix}"
        if suffix == ".pth":
            torch.save(content, path)
        else:
            path.write_bytes(safetensors_bytes(get_weights(content), content["meta"]))
        return path

    return write


@pytest.fixture(autouse=True)
def no_canary(tmp_path):
    yield
    assert not (tmp_path / CANARY).exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", HOSTILE)
def test_inferencer_without_a_config_of_its_own(hostile, name, suffix):
    path = hostile(name, suffix)
    with pytest.raises(
        CheckpointError, match=rf"hostile\{suffix}: its config isn't used: .* Give a config of your own"
    ):
        DetInferencer(weights=str(path), device="cpu", show_progress=False)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_inferencer_of_a_good_one(hostile, suffix):
    inferencer = DetInferencer(weights=str(hostile("good", suffix)), device="cpu", show_progress=False)
    assert inferencer.model.dataset_meta["classes"] == ("hip",)


@pytest.mark.parametrize(("name", "suffix"), [*((name, ".pth") for name in HOSTILE), ("model", ".safetensors")])
def test_publish(hostile, tmp_path, name, suffix):
    with pytest.raises(CheckpointError, match=rf"hostile\{suffix}: .*publish a checkpoint that hipdet train wrote"):
        publish(hostile(name, suffix), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_publish_writes_no_key_that_ends_its_quotes(untrained, tmp_path, monkeypatch):
    """mmengine doesn't escape keys: what was read as a string would run when the published config is read."""
    monkeypatch.chdir(tmp_path)
    content = torch.load(untrained.weights, weights_only=True)
    key = "a': __import__('os').mkdir('canary'), 'b"
    content["meta"]["cfg"] = f"model = dict(type='ResNet')\nnote = {{{key!r}: 1}}\n"
    torch.save(content, "hostile.pth")
    with pytest.raises(CheckpointError, match=r"hostile\.pth: note\..* a key must not have quotes"):
        publish(tmp_path / "hostile.pth", tmp_path / "out")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", ["model", "imports", "call"])
def test_weights_with_a_config_of_ones_own(hostile, untrained, name, suffix):
    """hipdet's `predict --config --weights`, and mmdet's init_detector: the config in the file isn't used."""
    path = hostile(name, suffix)
    assert TorchModel(untrained.config, path).card.classes == ("hip",)
    assert init_detector(str(untrained.config), str(path), device="cpu").dataset_meta["classes"] == ("hip",)


def test_the_config_of_the_message_hub(untrained, tmp_path, monkeypatch):
    """mmengine looks there first."""
    monkeypatch.chdir(tmp_path)
    content = torch.load(untrained.weights, weights_only=True)
    content["meta"]["cfg"] = Config.fromfile(untrained.config).pretty_text
    content["message_hub"] = dict(runtime_info=dict(cfg=TEXTS["call"]), log_scalars={}, resumed_keys={})
    torch.save(content, "hub.pth")
    assert DetInferencer(weights="hub.pth", device="cpu", show_progress=False).model.backbone.depth == 18


class Payload:
    """Leaves the canary when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (CANARY,)


@pytest.fixture
def address(tmp_path, monkeypatch):
    """URL of the folder ``served`` in the working directory."""
    (tmp_path / "served").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "served"))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_pickles_from_a_url(address, tmp_path):
    """`load_from` and pretrained weights are downloaded this way: torch's hub unpickles them."""
    torch.save(Payload(), tmp_path / "served/hostile.pth")
    with pytest.raises(CheckpointError, match=r"hostile\.pth: refused, as it holds something other than weights"):
        load_checkpoint(torch.nn.Linear(1, 1), f"{address}/hostile.pth")
    torch.save(dict(weight=torch.tensor([[2.0]]), bias=torch.tensor([3.0])), tmp_path / "served/good.pth")
    model = torch.nn.Linear(1, 1)
    for _ in range(2):  # the second time from the hub's folder
        load_checkpoint(model, f"{address}/good.pth", map_location="cpu", strict=True)
        assert (model.weight.item(), model.bias.item()) == (2, 3)
        (tmp_path / "served/good.pth").unlink(missing_ok=True)


def test_pickles_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(Payload(), "hostile.pth")
    with pytest.raises(CheckpointError, match=r"hostile\.pth: refused, as it holds something other than weights"):
        load_checkpoint(torch.nn.Linear(1, 1), "hostile.pth")
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        load_checkpoint(torch.nn.Linear(1, 1), "none.pth")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES[:1], indirect=True)
def test_resume_and_test(trained, recipe, phantoms, tmp_path):
    content = torch.load(trained[0] / "epoch_3.pth", weights_only=True)
    content["meta"].update(cfg=TEXTS["call"], config=TEXTS["call"])  # mmengine runs `config` when it resumes
    content["message_hub"]["runtime_info"] = dict(cfg=TEXTS["call"])
    torch.save(content, tmp_path / "hostile.pth")
    place = ["--data-root", phantoms, "--work-dir", tmp_path / "run"]
    options = ["--cfg-options", *recipe.small, "train_cfg.max_epochs=4", "train_cfg.val_interval=4"]
    done = run_tool("train", recipe.config, *place, "--resume", tmp_path / "hostile.pth", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_tool("test", recipe.config, tmp_path / "hostile.pth", *place, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
