"""Configs read as text, and made fit for other machines."""

import pytest
from mmengine.config import Config

from hipdet.config_text import portable, read_settings
from hipdet.errors import ConfigError
from tool_runs import REPOSITORY


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.py")), ids=lambda path: path.stem)
def test_every_dumped_config_is_read_as_mmengine_reads_it(path):
    cfg = Config.fromfile(path)
    assert read_settings(cfg.pretty_text) == cfg.to_dict()


def test_literals():
    assert read_settings("a = dict(b=[1, (2, -3.5)], c={'d e': None})\nf = 'x'") == dict(
        a=dict(b=[1, (2, -3.5)], c={"d e": None}), f="x"
    )


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "a = __import__('os').system('true')",
        "a = open('x')",
        "a = dict(open('x'))",
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
    )
    assert portable(settings) == dict(
        data_root="data",
        load_from=None,
        resume=False,
        train_dataloader=dict(dataset=dict(dataset, data_root="data")),
        test_evaluator=[dict(type="RoiMetric", ann_file="data/annotations/gis.json", outfile_prefix="test")],
        model=dict(backbone=dict(depth=18, init_cfg=None)),
        other=["a.txt", "b.txt", "https://example.org/a", "relative/c", ("filmstar",)],
    )
