"""hipdet test --tta with the bundled model, on phantoms taller than wide: their padding is at the right."""

import json

import pytest
from PIL import Image

from distributed_runs import run_distributed
from places import REPOSITORY
from tool_runs import run_tool

pytestmark = pytest.mark.slow
MODEL = "configs/hips.py", REPOSITORY / "hipdet/weights/hips.safetensors"


@pytest.fixture(scope="module")
def tall(phantoms, tmp_path_factory):
    """Every phantom, extended by black rows at the bottom to 1.4 times its width."""
    pytest.importorskip("safetensors")
    root = tmp_path_factory.mktemp("tall")
    films = dict(images=[], annotations=[])
    for source in ("cgoa", "oaih", "gis"):
        coco = json.loads((phantoms / f"annotations/{source}.json").read_text())
        moved = {image["id"]: image["id"] + len(films["images"]) for image in coco["images"]}
        for image in coco["images"]:
            film = Image.open(phantoms / image["file_name"]).convert("L")
            image.update(id=moved[image["id"]], height=max(film.height, round(1.4 * film.width)))
            image.update(file_name=f"{image['id']}.png")
            taller = Image.new("L", (image["width"], image["height"]))
            taller.paste(film)
            taller.save(root / image["file_name"])
        for annotation in coco["annotations"]:
            annotation.update(id=len(films["annotations"]) + 1, image_id=moved[annotation["image_id"]])
            films["annotations"].append(annotation)
        films["images"] += coco["images"]
    (root / "tall.json").write_text(json.dumps(dict(films, categories=coco["categories"])))
    return root


def metrics(folder):
    return json.loads((folder / "test_report.json").read_text())["figures"]


@pytest.fixture(scope="module")
def plain_and_averaged(tall, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, options in (("plain", []), ("averaged", ["--tta", "--show-dir", "painted"])):
        arguments = [*MODEL, "--data-root", tall, "--test-ann", "tall.json", "--work-dir", name, *options]
        done = run_tool("test", *arguments, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(folder.rglob("painted/*.png"))) == 26
    return metrics(folder / "plain"), metrics(folder / "averaged")


def test_averaging_is_no_worse_than_one_pass(plain_and_averaged):
    plain, averaged = plain_and_averaged
    assert plain["roi/num_rois"] == averaged["roi/num_rois"] == 52
    assert averaged["roi/avg_iou"] > plain["roi/avg_iou"] - 0.005
    assert averaged["roi/acc50"] >= plain["roi/acc50"] - 1 / 52
    assert averaged["roi/avg_iou"] != plain["roi/avg_iou"]


@pytest.mark.ci
def test_two_ranks_average_as_one_does(tall, plain_and_averaged, tmp_path):
    arguments = [*MODEL, 2, "--data-root", tall, "--test-ann", "tall.json", "--work-dir", "two", "--tta"]
    done = run_distributed("dist_test.sh", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert metrics(tmp_path / "two") == pytest.approx(plain_and_averaged[1], abs=1e-4)
