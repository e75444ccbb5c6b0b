"""model-index.yml and the metafiles, as mim reads them."""

import math

import pytest
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from hipdet.paper.facts import EXPERIMENTS
from places import REPOSITORY

INDEX = yaml.safe_load((REPOSITORY / "model-index.yml").read_text())["Import"]
CONTENTS = [yaml.safe_load((REPOSITORY / name).read_text()) for name in INDEX]
MODELS_BY_NAME = {model["Name"]: model for content in CONTENTS for model in content.get("Models", [])}
COLLECTIONS = {collection["Name"] for content in CONTENTS for collection in content.get("Collections", [])}
CONFIGS = sorted(path.stem for path in (REPOSITORY / "configs").glob("*.py"))


def test_one_metafile_per_config_and_none_besides():
    assert sorted(MODELS_BY_NAME) == CONFIGS
    files = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "configs/metafiles").iterdir()}
    assert sorted(INDEX) == sorted(files)
    assert {model["In Collection"] for model in MODELS_BY_NAME.values()} == COLLECTIONS == {"hipdet"}


def test_paper_and_code_of_the_collection():
    (collection,) = CONTENTS[0]["Collections"]
    assert collection["Paper"]["URL"] == "https://doi.org/10.3390/jpm11060522"
    assert "class HipSSDHead" in (REPOSITORY / collection["Code"]).read_text()
    assert (REPOSITORY / collection["README"]).is_file()


def test_no_weights_are_promised():
    assert not [name for name, model in MODELS_BY_NAME.items() if "Weights" in model]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_metafile_tells_the_facts(name):
    model, metadata = MODELS_BY_NAME[name], MODELS_BY_NAME[name]["Metadata"]
    cfg = Config.fromfile(REPOSITORY / model["Config"])
    assert model["Config"] == f"configs/{name}.py"
    init_default_scope("mmdet")
    cfg.model.backbone.init_cfg = None
    built = MODELS.build(cfg.model)
    assert metadata["Parameters"] == sum(p.numel() for p in built.parameters())
    assert metadata["Epochs"] == cfg.train_cfg.max_epochs
    assert metadata["Batch Size"] == cfg.train_dataloader.batch_size
    generator = built.bbox_head.prior_generator
    (side, _), *_ = [step.scale for step in cfg.train_dataloader.dataset.pipeline if step.type == "Resize"]
    cells = [math.ceil(side / stride[0]) ** 2 for stride in generator.strides]
    anchors = sum(count * each for count, each in zip(cells, generator.num_base_priors))
    assert metadata["Anchors per Image"] == anchors
    if "exp" in name:
        number = int(name.rpartition("exp")[2])
        assert anchors == EXPERIMENTS[number].anchors.per_image
        assert metadata["Training Data"] == "+".join(EXPERIMENTS[number].trained_on).upper()


def test_architectures_are_those_of_the_configs():
    for model in MODELS_BY_NAME.values():
        cfg = Config.fromfile(REPOSITORY / model["Config"]).model
        more = [cfg[name].type for name in ("orientation_head", "refiner") if name in cfg]
        parts = [cfg.backbone.type, cfg.bbox_head.type, *more]
        assert model["Metadata"]["Architecture"] == parts


def test_results_are_those_of_the_docs():
    docs = "".join(path.read_text() for path in [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
    for model in MODELS_BY_NAME.values():
        for result in model.get("Results", []):
            assert f"{result['Metrics']['average IoU']}" in docs
            assert f"{result['Metrics']['acc50']}" in docs


def test_a_result_says_after_how_many_epochs_where_they_are_not_those_of_the_config():
    (result,) = MODELS_BY_NAME["hip_roi_small"]["Results"]
    table = (REPOSITORY / "docs/results/detectors.md").read_text()
    (row,) = [line for line in table.splitlines() if line.startswith("| `hip_roi_small`, three readings")]
    assert f"**{result['Metrics']['average IoU']}**" in row
    assert "then 100 epochs |" in row
    assert result["Dataset"].endswith("then 100 epochs")


def test_results_of_the_demo_are_those_of_its_table():
    page = (REPOSITORY / "docs/results/demo.md").read_text()
    (result,) = MODELS_BY_NAME["hip_ssd_r18_demo"]["Results"]
    metrics = result["Metrics"]
    for label, value in [
        ("average IoU", metrics["average IoU"]),
        ('ROIs with IoU >= 0.5 (the paper\'s "AP50")', metrics["acc50"]),
        ("COCO mAP", metrics["box AP"] / 100),
    ]:
        assert f"\n{label:<46}  {value:.4f}\n" in page
