"""Settings that come with weights or data: what the model zoo registers is allowed, and nothing else."""

import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from hipdet.core.configs import portable, read_settings
from hipdet.core.errors import ConfigError
from hipdet.engine.safe_settings import REFUSED, registered_names, require_safe, require_writable, rewritten, safe_text
from places import REPOSITORY

DANGEROUS = re.compile(r"rmtree|file_format='pkl'|allow_pickle=True|pickle\.load\(|= eval\(")
CONFIGS = sorted((REPOSITORY / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_passes_unchanged(path):
    settings = Config.fromfile(path).to_dict()
    require_safe(settings)
    require_safe(portable(settings))
    text = rewritten("".join(f"{key} = {value!r}\n" for key, value in settings.items()))
    assert read_settings(text) == settings
    assert Config.fromstring(text, ".py").to_dict() == settings  # as mmengine reads it


def test_the_published_text_is_mmengines():
    settings = portable(Config.fromfile(REPOSITORY / "configs/hip_roi_small.py").to_dict())
    assert safe_text(settings) == Config(settings).pretty_text


@pytest.mark.parametrize("name", ["RefiningDetector", "SSDHead", "mmdet.ResNet", "ReLU", "AdamW", "nms", "collate_fn"])
def test_registered_names(name):
    expected = name != "collate_fn"
    settings = dict(model=dict(parts=[dict(type=name)]))
    if expected:
        require_safe(settings)
    else:
        with pytest.raises(ConfigError, match=r"model\.parts\[0\]\.type is 'collate_fn'"):
            require_safe(settings)


def test_imports_and_scopes():
    for imports in ("hipdet", ["hipdet.plugin"], ("hipdet", "mmdet"), []):
        require_safe(dict(custom_imports=dict(imports=imports, allow_failed_imports=False)))
    require_safe(dict(custom_imports=None, default_scope="mmdet", model=dict(_scope_="mmdet", type="ResNet")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(model=dict(type="subprocess.check_output")), r"model\.type is 'subprocess\.check_output'.*never a module path"),
        (dict(model=dict(type="torch.nn.Conv2d")), r"model\.type .*never a module path"),
        (dict(model=dict(type="hipdet.models.backbones.GreyResNet")), r"model\.type .*never a module path"),
        (dict(model=dict(type="os.ResNet")), r"model\.type .*never a module path"),
        (dict(model=dict(type="antigravity")), r"model\.type .*register"),
        (dict(model=dict(type="")), r"model\.type .*register"),
        (dict(model=dict(type=None)), r"model\.type .*as strings"),
        (dict(model=dict(type=["ResNet"])), r"model\.type .*as strings"),
        (dict(model=dict(type=("os", "mkdir"))), r"model\.type .*as strings"),
        (dict(model=dict(type=dict(type="ResNet"))), r"model\.type .*as strings"),
        (dict(a=[(dict(b=[dict(type="os.mkdir")]),)]), r"a\[0\]\[0\]\.b\[0\]\.type is 'os\.mkdir'"),
        (dict(model=dict(test_cfg=dict(nms=dict(type="exit()")))), r"model\.test_cfg\.nms\.type is 'exit\(\)'"),
        (dict(hook=dict(ema_type="os.mkdir")), r"hook\.ema_type .*never a module path"),
        (dict(optim_wrapper=dict(constructor="os.mkdir")), r"optim_wrapper\.constructor .*never a module path"),
        (dict(loader=dict(collate_fn="os.mkdir")), r"loader\.collate_fn .*never a module path"),
        (dict(runner_type="os.mkdir"), r"runner_type .*never a module path"),
        (dict(conv=dict(padding_mode="os.mkdir")), r"conv\.padding_mode .*module path can be a call"),
        (dict(fsdp=dict(policy=["os.mkdir"])), r"fsdp\.policy\[0\] .*module path can be a call"),
        (dict(default_scope="evil"), r"default_scope is 'evil'.*a scope must be one of mmdet"),
        (dict(model=dict(_scope_="evil", type="ResNet")), r"model\._scope_ is 'evil'"),
        (dict(custom_imports=dict(imports=["os"])), r"custom_imports is .*may only name hipdet, hipdet\.plugin, mmdet"),
        (dict(custom_imports=dict(imports="os")), "custom_imports is .*may only name"),
        (dict(custom_imports=dict(imports=["hipdet", "hipdet.cli.predict"])), "custom_imports is .*may only name"),
        (dict(custom_imports=dict(imports=[["os"]])), "custom_imports is .*may only name"),
        (dict(custom_imports=["os"]), "custom_imports is .*may only name"),
        (dict(custom_imports="os"), "custom_imports is .*may only name"),
        (dict(_base_="/evil.py"), "_base_ is '_base_'.*another config isn't read"),
        (dict(model=dict(teacher_config="https://example.org/a.py")), "model.teacher_config is .*another config"),
        (dict(loader=dict(ann_file="https://example.org/a.PKL")), "loader.ann_file is .*can run code when they are read"),
        (dict(loader=dict(ann_file="films/a.yaml?x=1")), "loader.ann_file is .*can run code when they are read"),
        (dict(a="{{$HOME:x}}"), "a is '{{.HOME:x}}'.*substitutes variables"),
        (dict(a={"it's": 1}), "quotes"),
        (dict(a={"x\ny": 1}), "line breaks"),
        (dict(a={(1, 2): 1}), "a key must be a string or a number"),
        (dict(loader=dict(dataset=dict(type="RefCocoDataset"))), r"dataset\.type is 'RefCocoDataset'.*other files"),
        (dict(val_evaluator=dict(type="mmdet.CityScapesMetric")), r"val_evaluator\.type .*empties folders"),
        (dict(val_evaluator=[dict(type="MOTChallengeMetric")]), r"val_evaluator\[0\]\.type .*empties folders"),
        (dict(val_evaluator=dict(type="DumpDetResults", collect_dir="/home")), "collect_dir.* remove it"),
        (dict(visualizer=dict(vis_backends=[dict(type="MLflowVisBackend")])), r"vis_backends\[0\]\.type is .*server"),
    ],
)  # fmt: skip
def test_what_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        require_safe(settings)


def test_a_module_with_the_name_of_a_class(tmp_path, monkeypatch):
    """mmengine looks into one registry, and imports the name of another one."""
    require_safe(dict(model=dict(type="AdamW")))
    (tmp_path / "AdamW.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"model\.type is 'AdamW'.*a module of this name"):
        require_safe(dict(model=dict(type="AdamW")))


def test_a_class_that_another_package_registered(monkeypatch):
    from mmdet.registry import MODELS

    class Foreign:
        __module__ = "elsewhere.models"

    monkeypatch.setitem(MODELS.module_dict, "Foreign", Foreign)
    registered_names.cache_clear()
    assert "Foreign" not in registered_names()


def test_names_that_are_refused_are_registered():
    """This reveals a spelling mistake or a new name."""
    assert registered_names() >= REFUSED


def test_whatever_empties_folders_or_unpickles_files_is_refused():
    """According to the sources of the installed packages, so a new class is noticed."""
    import mmdet.registry
    import mmengine.registry

    names = registered_names()
    nodes = [node for module in (mmengine.registry, mmdet.registry) for node in vars(module).values()]
    found = set()
    for registry in (node for node in nodes if isinstance(node, mmengine.registry.Registry)):
        for name, registered in registry.module_dict.items():
            parts = registered.__mro__ if inspect.isclass(registered) else [registered]
            parts = [each for each in parts if each.__module__.partition(".")[0] in ("mmdet", "mmcv", "mmengine")]
            if name in names and any(map(DANGEROUS.search, map(inspect.getsource, parts))):
                found.add(name)
    # that hook removes the checkpoints that it wrote
    assert found - REFUSED == {"CheckpointHook"}
    assert found >= {"RefCocoDataset", "CityScapesMetric", "MOTChallengeMetric", "OpenImagesDataset"}


@pytest.mark.parametrize("text", ["import os", "model = (lambda: 1)()", "model = __import__('os')", "a = dict(**b)", 7])
def test_text_that_is_not_settings(text):
    with pytest.raises(ConfigError, match="isn't one that mmengine dumped"):
        rewritten(text)


names = st.text(st.characters(codec="utf-8"), max_size=30)
values = st.recursive(
    names | st.integers() | st.none() | st.booleans(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(names, each, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,9}_x", fullmatch=True), values, max_size=3))
def test_what_may_be_written_reads_the_same(settings):
    try:
        require_writable(settings)
    except ConfigError:
        return
    text = "".join(f"{key} = {value!a}\n" for key, value in settings.items())
    assert read_settings(text) == settings
    assert "{{" not in text
