"""hipdet plot as users run it."""

import json

import pytest
from PIL import Image

from tool_runs import run_tool_here

LABEL = dict(x0=10, y0=10, x1=50, y1=50)


def run(cwd, *arguments):
    return run_tool_here("plot", *arguments, cwd=cwd)


@pytest.fixture
def folder(tmp_path):
    """A cross-validation of two variants and one fold, with a log."""
    for variant, iou in (("base", 0.9), ("small", 0.4)):
        place = tmp_path / f"cv/{variant}/fold0"
        (place / "test").mkdir(parents=True)
        rows = [
            dict(file_name=f"{n}.png", annotation_id=n, iou=iou - n / 10, confidence=0.5 + n / 10, **LABEL)
            for n in range(3)
        ]
        (place / "test/test.roi.json").write_text(json.dumps(dict(rois=rows)))
        (place / "20260101/vis_data").mkdir(parents=True)
        (place / "20260101/vis_data/scalars.json").write_text(
            '{"loss": 1.0, "lr": 0.1, "epoch": 1, "iter": 1, "step": 1}\n'
        )
    images = [dict(id=n + 1, file_name=f"{n}.png", width=200, height=100, patient=f"p{n}") for n in range(3)]
    box = dict(bbox=[10, 10, 40, 40], area=1600, iscrowd=0, category_id=1)
    annotations = [dict(id=n + 1, image_id=n + 1, **box) for n in range(3)]
    coco = dict(images=images, annotations=annotations, categories=[dict(id=1, name="hip")])
    (tmp_path / "hips.json").write_text(json.dumps(coco))
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "more", "width"),
    [("iou", [], 1000), ("ratio", ["--ann", "hips.json"], 1000), ("calibration", [], 600), ("learning", [], 1000)],
)
def test_two_inputs(folder, kind, more, width):
    done = run(folder, kind, "cv/base", "other=cv/small", *more)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"written: {kind}.png\n"
    assert Image.open(folder / f"{kind}.png").size == (width, 500)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["iou", "cv/none"], "cv/none: no such file or folder"),
        (["iou", "a=cv/base", "a=cv/small"], "are both called a: name them, as in a=cv/base b=cv/small"),
        (["iou", "cv/base/fold0/20260101"], "no test.roi.json in it or below"),
        (["ratio", "cv/base"], "ratio needs the sizes of the films: give their COCO files with --ann"),
        (["iou", "hips.json"], "expected test.roi.json"),
        (["learning", "cv"], "expected the work dir"),
        (["iou", "cv/base", "--out", "x.pdf"], "--out x.pdf: expected a name that ends in .png"),
    ],
)
def test_what_can_not_be_drawn(folder, arguments, words):
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert not list(folder.glob("*.png"))
