"""hipdet gallery, browse and plot as users run them: tests, predictions with and without labels, sheets and pages."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from hipdet.core.files import write_json
from page_films import page_films
from tool_runs import run_python, run_tool_here

CORNERS = ("x0", "y0", "x1", "y1")


def run(cwd, *arguments):
    return run_tool_here("gallery", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def results(phantoms, tmp_path_factory):
    """Predictions on phantom films: labels moved by a tenth of their side, the first by half of it, the last one missing."""
    folder = tmp_path_factory.mktemp("results")
    for source in ("cgoa", "oaih"):
        coco = json.loads((phantoms / f"annotations/{source}.json").read_text())
        names = {image["id"]: image["file_name"] for image in coco["images"]}
        predictions = []
        for number, annotation in enumerate(coco["annotations"][:-1]):
            x, y, w, h = annotation["bbox"]
            predictions.append(
                dict(image_id=annotation["image_id"], category_id=1, bbox=[x + w * (0.5 if number < 1 else 0.1), y, w, h],
                     score=0.9, file_name=names[annotation["image_id"]], flags=["odd"] if number == 4 else [])
            )  # fmt: skip
        write_json(folder / f"{source}.json", predictions)
        table = [
            dict(image_id=p["image_id"], file_name=p["file_name"], source=source, iou=0.9, confidence=0.9, annotation_id=n,
                 **{prefix + c: float(n) for prefix in ("", "found_") for c in CORNERS})
            for n, p in enumerate(predictions)
        ]  # fmt: skip
        write_json(folder / f"{source}.roi.json", dict(rois=table, extras=[]))
    return folder


def test_predictions_beside_labels(results, phantoms, tmp_path):
    ann = phantoms / "annotations/cgoa.json"
    done = run(tmp_path, results / "cgoa.json", "--ann", ann, "--data-root", phantoms, "--html", "--out", "page.html")
    assert done.returncode == 0, done.stderr
    assert "page.html: cgoa.json: 12 films, the worst first" in done.stdout
    films = page_films(tmp_path / "page.html")
    # of the last film one hip wasn't found; a box moved by half its side overlaps by a third, by a tenth .9 / 1.1
    ious = [film["iou"] for film in films]
    assert ious[0] == 0
    assert ious[1:] == pytest.approx([1 / 3] + 10 * [9 / 11], abs=1e-4)
    assert films[0]["flags"] == ["missed"]
    assert [film["flags"] for film in films if "odd" in film["flags"]] == [["odd"]]


def test_unfinished_and_excluded_labels_are_not_compared_with(results, phantoms, tmp_path):
    """A file of hipdet annotate, such as alice.json, contains unfinished films."""
    coco = json.loads((phantoms / "annotations/cgoa.json").read_text())
    for image, status in zip(coco["images"], ("incomplete", "unchecked", "unchecked", "done")):
        image["status"] = status
    last = coco["images"][-1]
    last.update(exclude="blurred", status="excluded")
    coco["annotations"] = [each for each in coco["annotations"] if each["image_id"] != last["id"]]
    write_json(tmp_path / "alice.json", coco)
    arguments = ["--ann", "alice.json", "--data-root", phantoms, "--html", "--out", "page.html"]
    done = run(tmp_path, results / "cgoa.json", *arguments)
    assert done.returncode == 0, done.stderr
    said = "alice.json: 4 films are drawn without their labels: 2 unchecked, 1 incomplete, 1 excluded by the annotator"
    assert said in done.stdout.splitlines()
    films = page_films(tmp_path / "page.html")
    assert len(films) == 12
    alone = [film for film in films if film["iou"] is None]
    assert sorted(film["flags"][-1] for film in alone) == [
        "excluded by the annotator",
        "incomplete",
        "unchecked",
        "unchecked",
    ]
    assert "its labels aren't shown: excluded by the annotator: blurred" in str(alone)


def test_below(results, phantoms, tmp_path):
    arguments = [results / "cgoa.json", "--ann", phantoms / "annotations/cgoa.json", "--data-root", phantoms]
    done = run(tmp_path, *arguments, "--below", 0.5, "--side", 100, "--out", "low.png")
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "low.png").width == 2 * 104
    (tmp_path / "low.png").unlink()
    # no IoU is below 0, not even that of a hip that wasn't found
    good = run(tmp_path, *arguments, "--below", 0, "--out", "low.png")
    assert (good.returncode, "no film of 12 has an ROI with IoU below 0.0" in good.stdout) == (0, True)
    assert not (tmp_path / "low.png").exists()


def test_predictions_alone(results, phantoms, tmp_path):
    done = run(tmp_path, results / "cgoa.json", "--data-root", phantoms, "--films", 3, "--side", 100, "--out", "p.png")
    assert done.returncode == 0, done.stderr
    sheet = np.asarray(Image.open(tmp_path / "p.png").convert("RGB"))
    assert sheet.shape[1] == 3 * 104
    assert (sheet == (255, 32, 32)).all(axis=2).any()
    assert not (sheet == (255, 212, 0)).all(axis=2).any()


LIGHT = """
import sys
class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "scipy", "matplotlib", "pycocotools", "cv2", "mmengine", "mmcv", "mmdet"):
            raise ModuleNotFoundError(f"no {name} here")
sys.meta_path.insert(0, Missing())
from hipdet.cli.main import main
main(sys.argv[1:])
"""


def test_predictions_need_numpy_and_pillow_only(results, phantoms, tmp_path):
    """Also, films without detections are known from the films.json beside the predictions."""
    shutil.copy(results / "cgoa.json", tmp_path / "predictions.json")
    coco = json.loads((phantoms / "annotations/cgoa.json").read_text())
    extra = dict(coco["images"][0], id=99, file_name=json.loads((results / "oaih.json").read_text())[0]["file_name"])
    films = dict(coco, images=[*coco["images"], extra], annotations=[])
    (tmp_path / "films.json").write_text(json.dumps(films))
    arguments = ["gallery", "predictions.json", "--html", "--data-root", phantoms]
    done = run_python("-c", LIGHT, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = page_films(tmp_path / "gallery.html")
    assert len(found) == 13
    assert found[0]["flags"] == ["nothing found"]


def test_several_tables_by_data_set(results, phantoms, tmp_path):
    tables = [results / f"{source}.roi.json" for source in ("cgoa", "oaih")]
    done = run(tmp_path, *tables, "--data-root", phantoms, "--by-source", "--films", 2, "--side", 100, "--out", "g.png")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g_cgoa.png", "g_oaih.png"]
    assert Image.open(tmp_path / "g_oaih.png").width == 2 * 104


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "page.jpg"], "--out page.jpg: expected a name that ends in .png"),
        (["--html", "--out", "page.png"], "expected a name that ends in .html"),
        (["--names", "nobody"], "--names nobody: none of"),
        (["--films", "some"], "expected a number of films"),
        (["--side", "9"], "expected pixels from 64 to 4096"),
        (["--columns", "0"], "expected a number from 1 up"),
        (["--below", "0.5"], "needs labels to compare with"),
        (["--ann", "none.json"], "none.json"),
        (["--data-root", "nowhere"], "nowhere: no such folder of films: say where they are with --data-root"),
    ],
)
def test_bad_gallery_arguments(results, phantoms, tmp_path, arguments, words):
    done = run(tmp_path, results / "cgoa.json", "--data-root", phantoms, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert not list(tmp_path.iterdir())


def run_browse(cwd, *arguments):
    return run_tool_here("browse", *arguments, cwd=cwd)


def test_labels_of_phantoms(phantoms, tmp_path):
    done = run_browse(
        tmp_path, phantoms / "annotations/gis.json", "--data-root", phantoms, "--side", 100, "--columns", 3
    )
    assert done.returncode == 0, done.stderr
    assert "gis.json: 6 films, 0 errors, 0 warnings" in done.stdout
    sheet = np.asarray(Image.open(tmp_path / "gis.png").convert("RGB"))
    assert sheet.shape[1] == 3 * 104
    assert (sheet == (255, 212, 0)).all(axis=2).sum() > 6 * 2 * 20
    assert not (sheet == (255, 32, 32)).all(axis=2).any()


def test_real_films(shared, tmp_path):
    films = shared / "data/fracatlas_hips"
    assert run_tool_here("convert", "fracatlas", films, "--out", "ann", cwd=tmp_path).returncode == 0
    done = run_browse(tmp_path, "ann/hips.json", "--data-root", films, "--films", 2, "--html")
    assert done.returncode == 0, done.stderr
    found = page_films(tmp_path / "hips.html")
    assert len(found) == 2
    assert {mark["text"] for film in found for mark in film["marks"]} == {"left", "right"}


def test_faults_first_and_films_that_are_not_there(phantoms, tmp_path):
    coco = json.loads((phantoms / "annotations/gis.json").read_text())
    coco["images"][3]["file_name"] = "gis/gone.jpg"
    coco["images"][4]["file_name"] = "../away.jpg"
    coco["annotations"].pop()
    (tmp_path / "odd.json").write_text(json.dumps(coco))
    done = run_browse(tmp_path, "odd.json", "--data-root", phantoms, "--faults", "--html")
    assert done.returncode == 0, done.stderr
    films = page_films(tmp_path / "odd.html")
    assert [film["name"] for film in films[:2]] == ["gis/gone.jpg", "../away.jpg"]
    assert films[0]["flags"] == ["film-missing", "can't be read"]
    assert films[1]["flags"] == ["name-invalid", "can't be read"]
    assert films[2]["flags"] == ["too-few-rois"]
    assert [film["flags"] for film in films[3:]] == [[]] * 3
    assert str(phantoms) not in (tmp_path / "odd.html").read_text()


def test_augmented(phantoms, tmp_path):
    arguments = [phantoms / "annotations/gis.json", "--data-root", phantoms, "--side", 100, "--films", 2, "--draws", 3]
    for name in "ab":
        config = "configs/hip_roi_medium.py"
        done = run_browse(tmp_path, *arguments, "--augmented", config, "--out", f"{name}.png")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").width == 4 * 104


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.json"], "none.json: no such file"),
        (["list.json"], "list.json: no film to draw; the first fault"),
        (["list.json", "--augmented", "c.py", "--html"], "--augmented draws sheets: leave out --html"),
        (["list.json", "--augmented", "c.py", "--draws", 0], "expected at least 1 draw"),
        (["list.json", "--augmented", "c.py"], "c.py: no such config"),
    ],
)
def test_bad_browse_arguments(tmp_path, arguments, words):
    (tmp_path / "list.json").write_text("[]")
    done = run_browse(tmp_path, *arguments, "--data-root", ".")
    assert done.returncode == 2
    assert words in done.stderr


LABEL = dict(x0=10, y0=10, x1=50, y1=50)


def run_plot(cwd, *arguments):
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
    done = run_plot(folder, kind, "cv/base", "other=cv/small", *more)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"written: {kind}.png\n"
    assert Image.open(folder / f"{kind}.png").size == (width, 500)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["iou", "cv/none"], "cv/none: no such file or folder"),
        (["iou", "a=cv/base", "a=cv/small"], "are both called a: name them, as in a=cv/base b=cv/small"),
        (["iou", "cv/base/fold0/20260101"], "no test.roi.json in this folder or below"),
        (["ratio", "cv/base"], "ratio needs the sizes of the films: give their COCO files with --ann"),
        (["iou", "hips.json"], "give test.roi.json as hipdet test writes it"),
        (["learning", "cv"], "expected the work dir"),
        (["iou", "cv/base", "--out", "x.pdf"], "--out x.pdf: expected a name that ends in .png"),
    ],
)
def test_bad_plot_arguments(folder, arguments, words):
    done = run_plot(folder, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert not list(folder.glob("*.png"))
