"""Folders of films whose names would run as code, or have a meaning, in the source of a config."""

import json
import shutil
import types
from pathlib import Path

import pytest
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from hipdet.cli.train import load_config
from hipdet.core.configs import read_config
from hipdet.core.errors import ConfigError
from places import REPOSITORY
from tool_runs import RECIPES, run_tool

CANARY = "canary"
NAMES = [
    "it's",
    'say "hips"',
    "my films",
    "back\\slash",
    "back\\",
    "tab\tand\nline",
    "$HOME $(touch canary) `touch canary`",
    "{one} %s %(x)s {HIPDET_DATA}",
    "Röntgen 股骨",
    "#, ]) \N{RIGHT-TO-LEFT OVERRIDE}",
    "x'+str(__import__('os').mkdir('canary'))+'",
    "x'; __import__('os').mkdir('canary') #",
    '"""+str(__import__("os").mkdir("canary"))+"""',
]
PASTED = ["{{$X:y}}", "{{ fileDirname }}", """{{$X:.*|\\'+str(__import__("os").mkdir("canary"))#}}"""]


@pytest.fixture(autouse=True)
def no_canary(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HIPDET_DATA", raising=False)
    yield
    assert not (tmp_path / CANARY).exists()


def arguments(**given):
    nothing = dict(local_rank=0, data_root=None, cfg_options=None, launcher="none", work_dir="run")
    return types.SimpleNamespace(**{**nothing, "config": str(REPOSITORY / "configs/hip_roi_small.py"), **given})


def roots(cfg):
    return {cfg[f"{part}_dataloader"].dataset.data_root for part in ("train", "val", "test")} | {
        each.ann_file.partition("/annotations/")[0] for part in ("val", "test") for each in cfg[f"{part}_evaluator"]
    }


@pytest.mark.parametrize(("name", "flag"), [(name, bool(place % 2)) for place, name in enumerate(NAMES)])
def test_the_commands(name, flag, tmp_path, monkeypatch):
    """As training does: the config is saved as mmengine saves it, and read again, in the same place and in another."""
    root = str(tmp_path / name)
    if not flag:
        monkeypatch.setenv("HIPDET_DATA", root)
    cfg = load_config(arguments(data_root=root if flag else None))
    assert roots(cfg) == {root}
    Runner.dump_config(types.SimpleNamespace(cfg=cfg, work_dir=str(tmp_path), _train_loop=None))
    (saved,) = tmp_path.glob("*.py")
    assert roots(load_config(arguments(config=str(saved)))) == {root}
    assert roots(load_config(arguments(config=str(saved), data_root="elsewhere"))) == {str(tmp_path / "elsewhere")}


@pytest.mark.parametrize("name", PASTED)
def test_what_a_saved_config_cannot_hold(name, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"data_root is .*substitutes variables.*choose another name"):
        load_config(arguments(data_root=str(tmp_path / name)))
    monkeypatch.setenv("HIPDET_DATA", name)
    with pytest.raises(ConfigError, match="choose another name"):
        load_config(arguments())
    with pytest.raises(ConfigError, match="choose another name"):
        load_config(arguments(data_root="films", train_ann=f"annotations/{name}.json"))


@pytest.mark.parametrize("name", [*NAMES, *PASTED])
def test_data_sets_and_metrics_of_mmdets_own_tools(name, phantoms, tmp_path, monkeypatch):
    """They read the config without hipdet's commands, and build what it names."""
    monkeypatch.setenv("HIPDET_DATA", name)
    Path(name, "annotations").mkdir(parents=True)
    films = json.loads((phantoms / "annotations/gis.json").read_text())
    Path(name, "annotations/gis.json").write_text(json.dumps(films))
    Path(name, "gis").symlink_to(phantoms / "gis")
    init_default_scope("mmdet")
    cfg = Config.fromfile(REPOSITORY / "configs/hip_roi_small.py")
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    assert dataset.metainfo["classes"] == ("hip",)
    assert len(dataset) == len(films["images"])
    for evaluator in cfg.test_evaluator:
        metric = METRICS.build(evaluator)
        found = metric.coco["images"] if hasattr(metric, "coco") else metric._coco_api.dataset["images"]
        assert len(found) == len(films["images"])


@pytest.mark.parametrize("name", [*NAMES, *PASTED])
def test_configs_that_still_have_the_placeholder(name, tmp_path, monkeypatch):
    """As hipdet anchors once wrote them."""
    monkeypatch.setenv("HIPDET_DATA", name)
    Path("old.py").write_text("data_root = '{{$HIPDET_DATA:data/knees}}'\nfile = f'{data_root}/a.json'\n")
    assert read_config("old.py").file == "data/a.json"  # for a tool that fills in the value
    monkeypatch.delenv("HIPDET_DATA")
    assert read_config("old.py").file == "data/knees/a.json"


def test_only_what_begins_with_the_data_root_is_moved(monkeypatch):
    """Names below the data root may begin with `data`, too."""
    Path("own.py").write_text(
        f"_base_ = [{str(REPOSITORY / 'configs/hip_roi_small.py')!r}]\n"
        "films = dict(ann_file='data/a.json', data_prefix=dict(img='data/films'))\n"
        "train_dataloader = dict(dataset=dict(data_root='mine', **films))\n"
        "val_dataloader = dict(dataset=films)\n"
    )
    monkeypatch.setenv("HIPDET_DATA", "there")
    for given, expected in ((None, ["mine", str(Path("there").resolve())]), ("now", [str(Path("now").resolve())] * 2)):
        cfg = load_config(arguments(config="own.py", data_root=given))
        found = [cfg[f"{part}_dataloader"].dataset for part in ("train", "val")]
        assert [each.data_root for each in found] == expected
        assert {(each.ann_file, each.data_prefix.img) for each in found} == {("data/a.json", "data/films")}


@pytest.mark.parametrize("name", ["data", "data/films", "./data", "data/data/"])
def test_a_root_below_data_is_put_in_place_once(name, phantoms, tmp_path, monkeypatch):
    """By the command, by data sets and metrics, and again from the config that the command saved."""
    monkeypatch.setenv("HIPDET_DATA", name)
    Path(name).parent.mkdir(exist_ok=True, parents=True)
    Path(name.rstrip("/")).symlink_to(phantoms)
    expected = str(tmp_path / name)
    init_default_scope("mmdet")
    cfg = load_config(arguments())
    assert roots(cfg) == {expected}
    cfg.dump("saved.py")
    for each in (cfg, load_config(arguments(config="saved.py"))):
        dataset = DATASETS.build(each.test_dataloader.dataset)
        assert (dataset.data_root, len(dataset)) == (expected, 6)
        assert {
            METRICS.build(evaluator).ann_file for evaluator in each.test_evaluator if evaluator.type == "RoiMetric"
        } == {f"{expected}/annotations/gis.json"}


@pytest.mark.slow
@pytest.mark.parametrize("flag", [True, pytest.param(False, marks=pytest.mark.ci)], ids=["flag", "environment"])
def test_training_testing_and_the_saved_configs(phantoms, tmp_path, flag):
    root = tmp_path / "it's \"my\"\nback\\slash $HOME '+str(__import__('os').mkdir('canary'))+' Röntgen"
    shutil.copytree(phantoms, root)
    recipe = RECIPES[1]
    small = ["--cfg-options", *recipe.small, "train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
    place, environment = (["--data-root", root], {}) if flag else ([], dict(HIPDET_DATA=root))
    done = run_tool("train", recipe.config, *place, "--work-dir", "run", *small, cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    (dumped,) = (tmp_path / "run").glob("*/vis_data/config.py")
    for saved in (tmp_path / "run" / f"{recipe.name}.py", dumped):
        done = run_tool("test", saved, "run/epoch_1.pth", "--work-dir", "test", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "6 films, 12 ROIs" in done.stdout + done.stderr
    done = run_tool("publish", "run/epoch_1.pth", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (card,) = (tmp_path / "published").glob("*.json")
    assert "canary" not in card.read_text()
