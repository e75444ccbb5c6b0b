"""Bad input to the tools: exit code 2, one clear message, no partial files.  Details are tested with each part."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from tool_runs import RECIPES, of_checkout, run_python, run_tool

pytestmark = pytest.mark.slow


@pytest.fixture
def data(phantoms, tmp_path):
    """A copy of the phantoms to damage."""
    return shutil.copytree(phantoms, tmp_path / "data")


def edit(path, change):
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))


def no_images(data):
    edit(data / "annotations/cgoa_oaih_train.json", lambda coco: coco.update(images=[], annotations=[]))


def no_boxes(data):
    edit(data / "annotations/cgoa_oaih_train.json", lambda coco: coco.update(annotations=[]))


def other_class(data):
    edit(data / "annotations/cgoa_oaih_train.json", lambda coco: coco["categories"][0].update(name="hip "))


def no_annotations(data):
    (data / "annotations/cgoa_oaih_train.json").unlink()


def a_film(data):
    return data / json.loads((data / "annotations/cgoa_oaih_train.json").read_text())["images"][3]["file_name"]


def missing_film(data):
    a_film(data).unlink()


def truncated_film(data):
    a_film(data).write_bytes(a_film(data).read_bytes()[:2000])


def garbled_film(data):
    """A file with a valid header and end, but no valid pixels: it is found when it is read."""
    content = a_film(data).read_bytes()
    a_film(data).write_bytes(content[:700] + b"\xff\xc4" * 400 + content[-2:])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_images, ["cgoa_oaih_train.json", "empty"]),
        (no_boxes, ["cgoa_oaih_train.json", "no ground truth"]),
        (other_class, ["cgoa_oaih_train.json", "hip "]),
        (no_annotations, ["cgoa_oaih_train.json"]),
        (missing_film, [".jpg"]),
        (truncated_film, [".jpg"]),
        (garbled_film, [".jpg"]),
    ],
)
def test_data(data, recipe, tmp_path, damage, words):
    film = a_film(data).name
    damage(data)
    options = ["--cfg-options", *recipe.small, "train_cfg.max_epochs=3"]
    done = run_tool("train", recipe.config, "--data-root", data, "--work-dir", tmp_path / "w", *options, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    message = done.stderr[done.stderr.rindex("error: ") :]
    assert all(word in message for word in words), message
    assert film in message or words[0] != ".jpg"
    assert "Traceback" not in message
    assert not list((tmp_path / "w").glob("*.pth"))


def bad_checkpoint(kind, checkpoint, folder):
    target = folder / f"{kind}.pth"
    if kind == "truncated":
        target.write_bytes(checkpoint.read_bytes()[:100_000])
    elif kind == "malicious":

        class Evil:
            def __reduce__(self):
                return open, (str(folder / "evil.txt"), "w")

        torch.save(dict(state_dict=Evil()), target)
    elif kind == "other":
        content = torch.load(checkpoint, weights_only=True)
        weights = content["state_dict"]
        weights["bbox_head.conv_cls.0.weight"] = weights["bbox_head.conv_cls.0.weight"][:3]
        torch.save(content, target)
    return target


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "no such checkpoint"),
        ("truncated", "damaged"),
        ("malicious", "refused"),
        ("other", "conv_cls.0.weight"),
    ],
)
@pytest.mark.parametrize("tool", ["test", "train"])
def test_checkpoints(trained, recipe, phantoms, tmp_path, kind, words, tool):
    path = bad_checkpoint(kind, trained[0] / "epoch_4.pth", tmp_path)
    named = [recipe.config, path] if tool == "test" else [recipe.config, "--resume", path]
    options = [
        "--data-root",
        phantoms,
        "--work-dir",
        tmp_path / "w",
        "--cfg-options",
        *recipe.small,
        "train_cfg.max_epochs=4",
    ]
    done = run_tool(tool, *named, *options, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    message = done.stderr[done.stderr.rindex("error: ") :]
    assert f"{kind}.pth" in message
    assert words in message
    assert not (tmp_path / "evil.txt").exists()
    assert not list((tmp_path / "w").glob("*report.json"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "configs/none.py"], "no such config"),
        (["train", "configs/hip_ssd_exp3.py", "--amp"], "--amp needs a CUDA GPU"),
        (["test", "configs/hip_ssd_exp3.py", "x.pth", "--out", "x.json"], ".pkl"),
        (["gallery", "none.json"], "none.json"),
    ],
)
def test_arguments(tmp_path, arguments, words):
    if "--amp" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU: --amp works")
    done = run_tool(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr


def test_weights_that_can_not_be_downloaded(phantoms, tmp_path):
    missing = "model.backbone.init_cfg.checkpoint=http://127.0.0.1:9/resnet101.pth"
    done = run_tool(
        "train", "configs/hip_ssd_exp3.py", "--data-root", phantoms, "--work-dir", tmp_path, "--cfg-options", missing,
        cwd=tmp_path, TORCH_HOME=tmp_path / "cache",
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    for words in ("can't get the pretrained weights", "init_cfg.checkpoint=FILE", "init_cfg=None"):
        assert words in done.stderr


FILL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from hipdet.cli.main import main
main(sys.argv[2:])
"""
ALONE = [
    f"{part}_dataloader.{key}"
    for part in ("train", "val", "test")
    for key in ("num_workers=0", "persistent_workers=False")
]


@pytest.mark.parametrize("recipe", RECIPES[:1], indirect=True)
def test_a_disk_that_fills_up_while_training(recipe, phantoms, tmp_path):
    """No file can become larger than a checkpoint of the second epoch is: that of the first stays, and is resumed from."""
    arguments = ["train", recipe.config, "--data-root", phantoms, "--work-dir", "w"]
    options = ["--cfg-options", *recipe.small, *ALONE, "train_cfg.max_epochs=3", "train_cfg.val_interval=4"]
    done = run_python("-c", FILL, 1_200_000, *arguments, *options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (3, "error: w: File too large\n")
    assert (tmp_path / "w/last_checkpoint").read_text().endswith("w/epoch_1.pth")
    done = run_tool(*arguments, "--resume", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "w/epoch_3.pth").is_file()
    done = run_python(
        "-c", FILL, 12_000, "test", recipe.config, "w/epoch_3.pth", *arguments[2:], *options, cwd=tmp_path
    )
    assert (done.returncode, done.stderr.count("\n"), "/w/" in done.stderr) == (3, 1, True), done.stderr


@pytest.mark.parametrize("recipe", RECIPES[:1], indirect=True)
def test_logs_that_fill_up(recipe, phantoms, tmp_path):
    arguments = ["train", recipe.config, "--data-root", phantoms, "--cfg-options", *recipe.small, *ALONE]
    done = run_python("-c", FILL, 2000, *arguments, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1), done.stderr
    assert "File too large" in done.stderr
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "hipdet", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, env=of_checkout(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (3, "error: standard output: No space left on device\n")
    done = run_tool(*arguments[:4], "--work-dir", "/sys/w", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (3, "error: /sys/w: Operation not permitted\n")


@pytest.mark.parametrize(("tool", "part"), [("train", "cgoa_oaih_train"), ("train", "cgoa_oaih_val"), ("test", "gis")])
def test_a_missing_annotation_file_is_all_that_is_said(data, recipe, trained, tmp_path, tool, part):
    (data / f"annotations/{part}.json").unlink()
    checkpoint = [trained[0] / "epoch_4.pth"] if tool == "test" else []
    done = run_tool(tool, recipe.config, *checkpoint, "--data-root", data, "--work-dir", tmp_path / "w", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{part}.json: no such file, expected the films for " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("tool", ["test", "publish", "export", "resume"])
@pytest.mark.parametrize("recipe", RECIPES[:1], indirect=True)
def test_weights_that_are_no_numbers(trained, recipe, phantoms, tmp_path, tool):
    content = torch.load(trained[0] / "epoch_4.pth", weights_only=True)
    content["state_dict"]["bbox_head.conv_cls.0.weight"][0] = float("inf")
    path = tmp_path / "nan.pth"
    torch.save(content, path)
    place = ["--data-root", phantoms, "--work-dir", tmp_path / "w"]
    arguments = {
        "test": ["test", recipe.config, path, *place],
        "publish": ["publish", path, "--out", tmp_path / "w"],
        "export": ["export", recipe.config, path, "--out", tmp_path / "w/a.onnx"],
        "resume": ["train", recipe.config, *place, "--resume", path],
    }
    done = run_tool(*arguments[tool], cwd=tmp_path)
    line = f"error: {path}: refused, as numbers of bbox_head.conv_cls.0.weight are NaN or infinite"
    assert (done.returncode, done.stderr.count("\n"), done.stderr.startswith(line)) == (2, 1, True), done.stderr
    assert not (tmp_path / "w").exists()
