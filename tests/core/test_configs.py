"""Configs: parsed from text, freed of this machine's paths, and written as source."""

import keyword
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from hipdet.core.configs import WIDTH, Name, annotation_files, as_source, portable, read_settings
from hipdet.core.errors import ConfigError
from places import REPOSITORY
from tool_runs import run_python


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.py")), ids=lambda path: path.stem)
def test_every_dumped_config_is_read_as_mmengine_reads_it(path):
    cfg = Config.fromfile(path)
    assert read_settings(cfg.pretty_text) == cfg.to_dict()


def test_literals():
    assert read_settings("a = dict(b=[1, (2, -3.5)], c={'d e': None})\nf = 'x'") == dict(
        a=dict(b=[1, (2, -3.5)], c={"d e": None}), f="x"
    )
    # as mmengine writes keys that are no names, such as those of numbers of ROIs
    assert read_settings("a = dict(b=dict({'left lung': 1}))") == dict(a=dict(b={"left lung": 1}))


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "a = __import__('os').system('true')",
        "a = open('x')",
        "a = dict(open('x'))",
        "a = dict({1: open('x')})",
        "a = dict(**dict(b=1))",
        "a = {**dict(b=1)}",
        7,
        "a = [x for x in ()]",
        "a = b",
        "a.b = 1",
        "a = 1 +",
        "del a",
        "a = " + "(" * 1000 + ")" * 1000,
    ],
)
def test_nothing_is_run(text):
    with pytest.raises(ConfigError, match="isn't one that mmengine dumped"):
        read_settings(text)


def test_no_path_of_the_machine_stays():
    dataset = dict(data_root="/home/eve/films", ann_file="annotations/gis.json")
    settings = dict(
        data_root="/home/eve/films",
        work_dir="/home/eve/work",
        load_from="/home/eve/start.pth",
        resume=True,
        train_dataloader=dict(dataset=dataset),
        test_evaluator=[
            dict(type="RoiMetric", ann_file="/home/eve/films/annotations/gis.json", outfile_prefix="/tmp/test")
        ],
        model=dict(backbone=dict(depth=18, init_cfg=dict(checkpoint="/home/eve/resnet.pth"))),
        other=["C:\\eve\\a.txt", "~/b.txt", "https://example.org/a", "relative/c", ("/home/eve/filmstar",)],
        backend=dict(path_mapping={"/home/eve/films/": "s3://bucket/", "file:///home/eve/x": "s3://b:/home/eve/y"}),
        command="run --log=/home/eve/log.txt ~/eve/a C:\\eve\\b and/or 1 / 2 https://example.org/eve",
    )
    assert portable(settings) == dict(
        data_root="data",
        load_from=None,
        resume=False,
        train_dataloader=dict(dataset=dict(dataset, data_root="data")),
        test_evaluator=[dict(type="RoiMetric", ann_file="data/annotations/gis.json", outfile_prefix="test")],
        model=dict(backbone=dict(depth=18, init_cfg=None)),
        other=["a.txt", "b.txt", "https://example.org/a", "relative/c", ("filmstar",)],
        backend=dict(path_mapping={"data/": "s3://bucket/", "x": "s3://b:y"}),
        command="run --log=log.txt a b and/or 1 / 2 https://example.org/eve",
    )


def test_no_part_of_a_model_starts_from_other_weights():
    def model(init_cfg):
        parts = dict(backbone=dict(depth=18, init_cfg=init_cfg), necks=[dict(init_cfg=init_cfg), dict(init_cfg=other)])
        refiner = dict(type="RoiRefiner", backbone=dict(init_cfg=init_cfg), init_cfg=other)
        return dict(type="DetTTAModel", module=dict(parts, refiner=refiner), init_cfg=init_cfg)

    other = dict(type="Normal", layer="Conv2d", std=0.01)
    loads = dict(type="PretrainedWeights", checkpoint="https://example.org/resnet18.pth")
    for init_cfg in (loads, [other, loads]):
        assert portable(dict(model=model(init_cfg))) == dict(model=model(None), load_from=None, resume=False)


def test_published_imagenet_config_starts_from_nothing():
    settings = portable(Config.fromfile(REPOSITORY / "configs/hip_roi_imagenet.py").to_dict())
    assert settings["model"]["backbone"]["init_cfg"] is None
    assert settings["model"]["refiner"]["backbone"]["init_cfg"] is None


def test_annotation_files_at_any_depth():
    datasets = [dict(ann_file="/home/eve/a.json"), dict(dataset=dict(ann_file="annotations/b.json"))]
    assert annotation_files(dict(dataset=dict(type="ConcatDataset", datasets=datasets))) == ["a.json", "b.json"]
    assert annotation_files(None) == annotation_files(dict(dataset="x")) == []


keys = st.from_regex(r"[a-z_]{1,30}", fullmatch=True).filter(lambda key: not keyword.iskeyword(key))
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=40)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.lists(inner, max_size=3).map(tuple), st.dictionaries(keys, inner, max_size=5)
    ),
    max_leaves=30,
)


@given(values)
def test_source_evaluates_to_the_value(value):
    assert eval(as_source(value)) == value


def test_long_values_are_broken_into_lines():
    settings = dict(
        model=dict(name="x" * 60, scales=[1.0, 2.0]), loader=dict(classes=("a",), empty={}, more=["y" * 70])
    )
    text = as_source(settings)
    assert text.splitlines()[0] == "dict("
    assert f"    model=dict(name={'x' * 60!r}, scales=[1.0, 2.0])," in text.splitlines()
    assert max(map(len, text.splitlines())) <= WIDTH
    assert eval(text) == settings


def test_names_are_source():
    films = dict(root="data")
    assert as_source({"**": Name("films"), "file": Name("root + '/a.json'")}) == "dict(**films, file=root + '/a.json')"
    assert eval(as_source({"**": Name("films"), "file": "a"}), dict(films=films)) == dict(root="data", file="a")


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, "StorageError: No usable temporary directory found in .*: free some space"),
        (1, "OSError: .*File too large: '/"),
    ],
)
def test_where_mmengine_can_not_write_its_copy(tmp_path, size, message):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "
        "from hipdet.core.configs import read_config; read_config('configs/hip_ssd_exp3.py', components=False)"
    )
    done = run_python("-c", code, size, cwd=tmp_path)
    assert re.search(message, done.stderr.splitlines()[-1])
