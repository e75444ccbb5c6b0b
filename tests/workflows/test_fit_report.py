"""The report of hipdet fit, of a run whose trainings are on disk: what it says, that it stands alone, and its links."""

import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from browser import complaints_of, requests_of, start_browser
from film_sources import film, table, write
from hipdet.cli.annotate import _parse_arguments, open_session
from hipdet.core.files import write_json
from hipdet.core.records import read_json
from hipdet.core.resumable import RunFolder
from hipdet.data.coco_file import subset
from hipdet.visualization.film_pictures import compared_table
from hipdet.workflows.budget import Budget, Speed
from hipdet.workflows.fit import Fit, FitOptions
from hipdet.workflows.fit_data import DataOptions, TrainingFiles
from hipdet.workflows.fit_report import PICTURED, annotate_command, write_report
from hipdet.workflows.fit_results import FinalModel

COUNT = 30
ODD = "<b>0</b> & 'x'.png"  # the first film
HIP = "hip & <thigh>"
VERSIONS = dict(hipdet="0.1.0", torch="2.1", mmdet="3.3.0")
FIGURES = {"coco/bbox_mAP": 0.5}


def name(number):
    return f"f{number:02}.png" if number else ODD


def labels():
    """A knee on each film but the last three, a hip on every second one."""
    rows = [[name(n), 10, 10, 40, "knee", "child" if n < 9 else "adult"] for n in range(COUNT - 3)]
    return [*rows, *[[name(n), 70, 80, 40, HIP, ""] for n in range(0, COUNT - 3, 2)]]


def detection(image, label, box, score):
    x, y = box
    return dict(image_id=image, category_id=label, bbox=[x, y, 40, 40], score=score)


def found_on(image, annotations, ids):
    """What the fold's model finds: each label 2 px beside it, IoU 38/42; but see the exceptions by film."""
    number, found = image["id"] - 1, []
    for each in annotations if number != 5 else ():  # nothing is found there
        x, y, *_ = each["bbox"]
        away = 20 if number == 3 else 2  # IoU 20/60
        found.append(detection(image["id"], each["category_id"], (x + away, y), 0.9))
    if number == 7:
        found.append(detection(image["id"], ids[HIP], (70, 80), 0.95))  # it lacks one
    if number == 8:
        found.append(detection(image["id"], ids["knee"], (10, 100), 0.93))  # beside the knee
    return found


def write_training(folder, coco=None, epochs=4):
    """A finished training, with the table of its test on `coco`."""
    rows = [f'{{"lr": {0.001 / n}, "loss": {5 / n}, "epoch": {n}, "iter": 1, "step": {n}}}' for n in range(1, epochs)]
    write(folder / "20260101/vis_data/scalars.json", "\n".join(rows))
    if coco is not None:
        ids = {each["name"]: each["id"] for each in coco["categories"]}
        own = {
            image["id"]: [each for each in coco["annotations"] if each["image_id"] == image["id"]]
            for image in coco["images"]
        }
        found = {image["id"]: found_on(image, own[image["id"]], ids) for image in coco["images"]}
        write_json(folder / "test/test.roi.json", compared_table(coco, found))
    RunFolder(folder).claim(dict(config="c", films=[]))
    RunFolder(folder).finish(dict(seconds=60, parameters=1234567, versions=VERSIONS, figures=FIGURES))


def finished(place, **options):
    """A run whose trainings are finished, all but its results."""
    for n in range(COUNT):
        write(place / "films" / name(n), film(120, 150, "PNG", seed=n))
    write(place / "a.csv", table("image,x,y,side,label,kind", *labels()))
    given = DataOptions(place / "films", {"A": place / "a.csv"}, folds=3, **options)
    fit = Fit(FitOptions(given, place / "out", steps=700))
    files = TrainingFiles.write(fit.data, place / "out/data", fit.plan.side)
    for number, ids in enumerate(fit.data.folds(3)):
        write_training(place / f"out/trainings/fold{number}", subset(files.coco, ids))
    write_training(place / "out/trainings/half", subset(files.coco, fit.data.halves()[1]), epochs=6)
    write_training(place / "out/trainings/all")
    write_json(place / "out/budget.json", Budget(3, True, 700, 29.0, Speed(1.0, 20.0), 2, ("a note",)).to_json())
    return fit


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """The results of a run: everything is real but trainings and export."""
    place = tmp_path_factory.mktemp("fit")
    fit = finished(place)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            FinalModel, "write", lambda *_: dict(file="model.onnx", bytes=4500000, differs_from_torch_px=1e-4)
        )
        patched.setattr("hipdet.workflows.fit.Fit._claim", lambda self: None)
        return fit.execute()


class Page(HTMLParser):
    """Tags with their attributes, and the text by the section that it is in."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.text, self.section = [], [], {}, ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("section", "h2") and dict(attributes).get("id"):
            self.section = dict(attributes)["id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text[self.section] = " ".join(f"{self.text.get(self.section, '')} {data}".split())

    def all(self, tag, key):
        return [attributes[key] for own, attributes in self.tags if own == tag and key in attributes]


@pytest.fixture(scope="module")
def page(result):
    return Page(result.out / "report.html")


def test_the_page_stands_alone(page):
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert all(each.startswith("data:image/") for each in page.all("img", "src"))
    assert not [each for each in page.all("a", "href") if not each.startswith(("#", "http://127.0.0.1:8765/#"))]
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert {each[1:] for each in page.all("a", "href") if each[0] == "#"} <= ids


def test_names_are_text(result, page):
    content = (result.out / "report.html").read_text()
    assert "&lt;b&gt;0&lt;/b&gt; &amp;" in content
    assert "<b>0</b>" not in content
    assert "<thigh>" not in content
    assert HIP in page.text["metrics"]


def test_the_first_page_says_what_limits_the_numbers(page):
    first = page.text["summary"]
    assert "patients unknown" in page.text[""]
    assert "Patients unknown: only near duplicates are kept together" in first
    assert f"13 films of 27 without '{HIP}': they count as films that lack it" in first
    assert "3 films left out, listed under Data." in first
    assert "A note." in first
    assert "f27.png, f28.png, f29.png" in page.text["data"]


def test_numbers_with_intervals(result, page):
    """38/42 of 38 labels; of the others one has an IoU of 20/60, and one wasn't found."""
    found = result.metrics["out_of_fold"]
    assert found["num_rois"] == 41
    assert found["avg_iou"] == pytest.approx((39 * 38 / 42 + 20 / 60) / 41, abs=1e-6)
    assert found["acc75"] == found["recall"] == pytest.approx(39 / 41)
    assert found["false_per_film"] == pytest.approx(3 / 27)
    for key in ("avg_iou", "acc50", "acc75", "recall", "label_iou", "false_per_film"):
        low, high = found[f"{key}_interval"]
        assert low < found[key] < high
        digits = (
            "{:.2f} to {:.2f}"
            if key == "false_per_film"
            else "{:.3f} to {:.3f}"
            if "iou" in key
            else "{:.1%} to {:.1%}"
        )
        assert digits.format(low, high) in page.text["metrics"]
    assert "kind: child" in page.text["metrics"]
    assert "kind: adult" in page.text["metrics"]


def test_doubted_labels(result, page):
    found = [(each["film"], each["kind"], round(each["doubt"], 3)) for each in result.metrics["doubted"]]
    assert found == [("f07.png", "lacking", 0.95), ("f08.png", "unlabelled", 0.93), ("f03.png", "misplaced", 0.567)]
    assert read_json(result.out / "metrics.json", "metrics")["doubted"] == result.metrics["doubted"]
    assert "3 doubts about 41 labels" in page.text["doubted"]
    linked = [unquote(each.partition("#")[2]) for each in page.all("a", "href") if "8765" in each]
    assert linked[PICTURED:] == ["f07.png", "f08.png", "f03.png"] * 2  # below their pictures, and in the table
    assert linked[:2] == ["f05.png", "f03.png"]  # the worst


def test_the_command_opens_the_films_with_their_labels(result):
    command = shlex.split(annotate_command(result))
    assert command[:2] == ["hipdet", "annotate"]
    session = open_session(_parse_arguments([*command[2:], "--no-browser"]))
    try:
        assert len(session.films.candidates) == COUNT
        assert {film["name"]: film["status"] for film in session.overview()["films"]}[ODD] == "unchecked"
        assert [roi.label for roi in session.store.entry(ODD).state.rois] == ["knee", HIP]
    finally:
        session.close()


def test_wide_boxes_need_free_shapes(result):
    wide = [dict(each, bbox=[10, 10, 40, 20]) for each in result.coco["annotations"]]
    assert "--free-shape" in annotate_command(replace(result, coco=dict(result.coco, annotations=wide)))
    assert "--free-shape" not in annotate_command(result)


def test_groups_of_films_and_films_left_out(result, tmp_path):
    """Groups that may be of one patient are a guess; films left out are listed by their reason; views have their row."""
    excluded = [["f27.png", "implant"], ["f28.png", "not labelled"], ["f29.png", "implant"]]
    data = dict(result.metrics["data"], patients_said="guessed", excluded=excluded, unlabelled=["f28.png"])
    found = dict(result.metrics["out_of_fold"], views={"turned": result.metrics["out_of_fold"]["kinds"]["child"]})
    write_report(replace(result, metrics=dict(result.metrics, data=data, out_of_fold=found)), tmp_path / "groups.html")
    text = Page(tmp_path / "groups.html").text
    assert "patients guessed" in text[""]
    assert "groups of films that may be of one patient are kept together" in text["summary"]
    assert "3 films left out, listed under Data." in text["summary"]
    assert "2: implant f27.png, f29.png 1: not labelled f28.png" in text["data"]
    assert "groups of films that may be of one patient were in the same fold" in text["methods"]
    assert "view: turned" in text["metrics"]


def test_what_only_some_runs_have(result, tmp_path):
    """The run before, films from elsewhere, and two readers; without any hit there is neither limit nor score."""
    before = dict(avg_iou=0.7, acc50=0.8, recall=0.75, false_per_film=None, films=20, common_films=20)
    before.update(common_avg_iou_before=0.7, common_avg_iou=0.85, common_gain=0.15, common_gain_interval=(0.05, 0.2))
    readers = dict(rois=40, alone=1, mean_iou=0.9, min_iou=0.5, classes={"knee": 0.91, HIP: 0.88})
    test = dict(
        result.metrics["out_of_fold"], films=27, unreadable=1, flagged=2, within_2mm=0.75, num_mm=4, num_mm_matched=3
    )
    test.update({"num_mm/plane=calibrated": 1, "num_mm/plane=unknown": 3})
    test.update(centre_mm=1.24, centre_mm_p95=2.5, size_mm=0.75, size_mm_p95=1.5)
    more = dict(result.metrics, before=before, readers=readers, test=test)
    write_report(replace(result, metrics=more), tmp_path / "more.html")
    text = Page(tmp_path / "more.html").text
    assert (
        "a gain of +0.150 a film (95% interval +0.050 to +0.200). The interval is above 0: it is better."
        in text["before"]
    )
    assert "27 films, 2 with flags for a review, 1 that can't be read" in text["test"]
    assert (
        "Of 4 ROIs on films that say their spacing (1 calibrated, 3 in an unknown plane), 75.0% have the centre within "
        "2 mm; in mm of 3 with a detection: centre 1.2 (2.5), size 0.8 (1.5)."
    ) in text["test"]
    assert "in sides of the ROI: centre 0." in text["metrics"]
    assert "spacing" not in text["metrics"]  # PNG films don't say it
    assert "0.910" in text["readers"]
    assert "On 27 radiographs from elsewhere, the final model reached a mean IoU of" in text["methods"]
    calibration = [dict(rois=41, lowest_confidence=0.0, avg_confidence=0.0, avg_iou=0.0, min_iou=0.0)]
    nothing = dict(
        result.metrics["out_of_fold"], calibration=calibration, false_per_film=None, false_per_film_interval=None
    )
    few = dict(
        more, out_of_fold=nothing, limits=None, half=None, doubted=[], test=dict(films=3, unreadable=0, flagged=3)
    )
    write_report(replace(result, metrics=few), tmp_path / "few.html")
    text = Page(tmp_path / "few.html").text
    assert "None: not one label was hit." in text["calibration"]
    assert "False ROIs can't be counted" in text["summary"]
    assert "no labels to compare with" in text["test"]
    assert "Not measured" in text["half"]


def test_pictures_are_few_however_many_films_there_are(result, tmp_path):
    """Of 2,000 doubts, those of 24 films are pictured, 200 listed and the others counted."""
    one = result.metrics["doubted"][0]
    doubts = [dict(one, film=name(number % (COUNT - 3))) for number in range(2000)]
    write_report(replace(result, metrics=dict(result.metrics, doubted=doubts)), tmp_path / "many.html")
    many = Page(tmp_path / "many.html")
    assert len([each for each in many.all("img", "src") if "jpeg" in each]) == 2 * PICTURED
    assert "... and 1800 more in metrics.json" in many.text["doubted"]
    assert (tmp_path / "many.html").stat().st_size < 5e6


def test_of_many_films_left_out_some_are_named(result, tmp_path):
    data = dict(result.metrics["data"], excluded=[[f"archive_{number}.png", "not labelled"] for number in range(5000)])
    write_report(replace(result, metrics=dict(result.metrics, data=data)), tmp_path / "many.html")
    said = Page(tmp_path / "many.html").text["data"]
    assert "5000: not labelled" in said
    assert "archive_199.png and 4800 more, in metrics.json" in said
    assert "archive_200.png" not in said


def test_methods_paragraph(page):
    said = page.text["methods"]
    for words in (
        "on 27 radiographs, whose patients were not known, with 41 labelled regions of interest "
        f"(14 of '{HIP}' and 27 of 'knee')",
        f"Of the radiographs, 13 lacked '{HIP}'.",
        "The network (hip_roi_resnet18, 1,234,567 parameters), which follows the framework of Liu et al. [1]",
        "for 700 steps of 8 radiographs with AdamW (a one-cycle learning rate of up to 0.002, weight decay 0.01)",
        "inverted (probability 0.1), mirrored (probability 0.5), turned by up to 12 degrees",
        "In a 3-fold cross-validation, near duplicates were in the same fold",
        "2000 bootstrap resamples of",
        "doi:10.3390/jpm11060522",
    ):
        assert words in said


@pytest.mark.slow
def test_in_a_browser(result):
    """Nothing is refused, nothing is requested, and every picture is shown."""
    browser = start_browser()
    try:
        requests_of(browser), complaints_of(browser)
        place = Path(result.out / "report.html").as_uri()
        browser.get(place)
        assert requests_of(browser) == [place]
        assert complaints_of(browser) == []
        sizes = browser.execute_script("return [...document.images].map((each) => each.naturalWidth)")
        assert len(sizes) == PICTURED + 3 + 2
        assert min(sizes) > 50
        wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0
    finally:
        browser.quit()
