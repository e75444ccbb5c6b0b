"""A fold takes configs of hipdet anchors without validation, and its folder may be moved; jobs end together."""

import shutil
import subprocess
import sys
import time
from functools import partial

import pytest
from mmengine.config import Config

from hipdet.core.errors import ConfigError
from hipdet.core.files import write_json
from hipdet.core.records import read_json
from hipdet.workflows.cross_validation import CrossValidation, Fold, Variant
from hipdet.workflows.fit_plan import plan_fit
from hipdet.workflows.process import ProgramError, run_jobs, run_program
from roi_sets import build_label_coco, squares

ROIS = squares([0.2] * 40)


def fold(place, test=True):
    for name in ("train", "test"):
        write_json(place / f"data/{name}.json", build_label_coco(ROIS))
    tested = place / "data/test.json" if test else None
    return Fold(Variant("a"), 0, 0, place / "fold0", place / "data", place / "data/train.json", tested)


def test_a_config_without_validation(tmp_path):
    base = plan_fit(ROIS).config(tmp_path / "data", "train.json")
    assert base.val_dataloader is None
    cfg = fold(tmp_path).config(base)
    assert cfg.val_dataloader is None
    assert cfg.test_dataloader.dataset.ann_file == str(tmp_path / "data/test.json")
    assert [each.ann_file for each in cfg.test_evaluator] == [str(tmp_path / "data/test.json")] * 2
    assert fold(tmp_path, test=False).config(base).test_dataloader.dataset.ann_file == ""


def test_given_folds(tmp_path):
    """Folds of a table, of which two occur; it has films of other data sets."""
    coco = build_label_coco(ROIS)
    write_json(tmp_path / "all.json", coco)
    names = [image["file_name"] for image in coco["images"]]
    rows = [f"{name},{3 if number % 4 else 1}" for number, name in enumerate(names)]
    (tmp_path / "folds.csv").write_text("\n".join(["image,fold", *rows, "other.jpg,2"]))
    run = CrossValidation(tmp_path / "all.json", tmp_path, tmp_path / "out", [Variant("a")], tmp_path / "folds.csv")
    folds = run.trainings()
    assert [(each.number, each.test.name) for each in folds] == [(0, "all_fold0_test.json"), (1, "all_fold1_test.json")]
    tested = read_json(folds[0].test, "COCO")["images"]
    assert [image["file_name"] for image in tested] == names[::4]


def test_a_moved_folder_is_that_of_the_same_training(tmp_path):
    """Also where other lengths of its path break the lines of the config elsewhere."""
    plan = plan_fit(ROIS)
    for place in (tmp_path / "a", tmp_path / "é moved" / "to a folder with a longer name", tmp_path / "b"):
        if place.name != "a":
            shutil.copytree(tmp_path / "a/fold0", place / "fold0")
        each = fold(place)
        each._claim(each.config(plan.config(place / "data", "train.json")))
        assert str(place) in str(Config.fromfile(place / "fold0/config.py").data_root)
    other = plan.config(tmp_path / "b/data", "train.json", {"model.passes": (1,)})
    with pytest.raises(ConfigError, match="other settings"):
        fold(tmp_path / "b")._claim(fold(tmp_path / "b").config(other))


def test_if_one_of_two_jobs_fails_the_other_ends(tmp_path):
    tools = {
        "fails": "import time\ntime.sleep(1)\nraise SystemExit('error: no')",
        "waits": "import time\ntime.sleep(600)",
    }
    for name, text in tools.items():
        (tmp_path / name).write_text(text)
    tasks = [partial(run_program, [str(tmp_path / name)], [], 1, tmp_path / f"{name}.log", name) for name in tools]
    begun = time.monotonic()
    with pytest.raises(ProgramError, match="fails failed"):
        run_jobs([*tasks, partial((tmp_path / "begun").touch)], 2)
    assert time.monotonic() - begun < 120
    assert not (tmp_path / "begun").exists()


def test_jobs_of_an_interrupted_run_end(tmp_path):
    """Also if only the parent gets the interrupt."""
    (tmp_path / "waits").write_text("import time\nprint('ready', flush=True)\ntime.sleep(600)")
    code = f"""
from functools import partial
from pathlib import Path
from hipdet.workflows.process import run_jobs, run_program
logs = [Path({str(tmp_path)!r}, name) for name in ("a.log", "b.log")]
run_jobs([partial(run_program, [{str(tmp_path / "waits")!r}], [], 1, log, "x") for log in logs], 2)
"""
    from tool_runs import of_checkout

    # a shell's background jobs ignore interrupts
    code = f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{code}"
    parent = subprocess.Popen([sys.executable, "-c", code], env=of_checkout(), stderr=subprocess.DEVNULL)
    deadline = time.time() + 120
    while not all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in ("a.log", "b.log")):
        assert time.time() < deadline
        time.sleep(0.1)
    parent.send_signal(2)
    assert parent.wait(60) != 0
