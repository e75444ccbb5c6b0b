"""hipdet accept from the command line: with and without labels, confirmed boxes, moved limits, and what is refused."""

import json
import signal
import sys
from urllib.parse import parse_qs, urlsplit
from urllib.request import HTTPCookieProcessor, Request, build_opener

import numpy as np
import pytest
from fixed_model import write_model
from PIL import Image

import dicom_bytes
from annotation_parts import HIPS, film, films_in, start_tool, state
from browser import complaints_of, requests_of, start_browser
from film_sources import table, write
from hipdet.core.boxes import iou_matrix
from hipdet.inference.onnx_model import OnnxModel
from hipdet.inference.review import ReviewLimits
from tool_runs import run_tool, run_tool_here

pytestmark = pytest.mark.slow
HEAD = "image,x,y,side,label,patient"
# films are 200 x 120 px, of which the model sees 96 x 58: boxes 2 px to the right of HIPS
BESIDE = np.array([[2.0, 0, 2, 0]])
FOUND = (np.array(HIPS) + BESIDE) * np.tile([96 / 200, 58 / 120], 2)
WIDE = dict(
    score=(0.5, None), ratio=(0.5, 0.9), x=(0.0, 0.5), y=(0.0, 1.0), distance=(0.5, 9.0), tilt=(None, 90.0), size=(None, 2.0),
)  # fmt: skip


def model(path, **changes):
    limits = ReviewLimits(50, 0.002, 0.4, WIDE).to_json()
    options = dict(
        classes=("hip",), labels=[0, 0], scores=[0.9, 0.8], boxes=FOUND, limits=limits, about={"data": "none"}
    )
    return write_model(path, "2", **{**options, **changes})


def rows(count, away=0):
    """Labels; those of the first film are `away` px beside."""
    return [
        [f"{n}.png", int(x) - away * (n == 1), int(y), 40, "hip", f"P{n}"]
        for n in range(1, count + 1)
        for x, y, *_ in HIPS
    ]


@pytest.fixture
def place(tmp_path):
    films_in(tmp_path / "films", 44)
    model(tmp_path / "m.onnx")
    return tmp_path


def accept(place, *arguments, status=0):
    done = run_tool_here("accept", "films", "--model", "m.onnx", "--out", "out", *arguments, cwd=place)
    assert done.returncode == status, done.stdout + done.stderr
    path = place / "out/accept.json"
    return done, json.loads(path.read_text()) if path.exists() else None


def test_without_labels(place):
    (place / "films/cut.png").write_bytes(film()[:200])
    done, found = accept(place)
    assert "44 films, 44 flagged; 1 can't be read" in done.stdout
    assert found["flags"] == {"odd_ratio": 44}
    assert [name for name, _ in found["unreadable"]] == ["cut.png"]
    assert found["beyond"]["ratio"] == 1
    assert found["beyond"]["score"] == 0
    assert {name: len(each) for name, each in found["values"].items()} == {
        **dict.fromkeys(("score", "ratio", "x", "y"), 88), **dict.fromkeys(("distance", "tilt", "size", "contrast"), 44),
    }  # fmt: skip
    assert found["labelled"] is found["moved"] is None
    journal = (place / "out/journal.jsonl").read_bytes()
    model(place / "m.onnx")  # the same again
    assert accept(place)[1]["values"] == found["values"]
    # carried on: only the film that can't be read is tried again
    assert len((place / "out/journal.jsonl").read_bytes().splitlines()) == len(journal.splitlines()) + 1


def test_with_labels(place):
    write(place / "labels.csv", table(HEAD, *rows(42, away=20)))
    done, found = accept(place, "--labels", "labels.csv")
    hips = np.array(HIPS)
    near = iou_matrix(hips, hips + BESIDE).diagonal()  # 38/42
    far = iou_matrix(hips - 10 * BESIDE, hips + BESIDE).diagonal()  # 18/62
    np.testing.assert_allclose(near, 38 / 42)
    np.testing.assert_allclose(found["labelled"]["avg_iou"], (41 * 38 / 42 + 18 / 62) / 42, atol=1e-4)
    np.testing.assert_allclose(far, 18 / 62)
    assert (found["labelled"]["below50"], found["labelled"]["films"], found["labelled"]["units"]) == (2, 42, 42)
    assert found["labelled"]["resampled"] == "patients"
    assert found["labelled"]["counts"] == {"all": [42, 42], "right": [41, 41], "wrong": [1, 1]}
    assert found["labelled"]["wrong"] == [["1.png", ["odd_ratio"]]]
    assert "flagged: 1 of 1 wrong films, 41 of 41 right ones" in done.stdout


def test_a_labelled_film_that_cannot_be_read_is_no_miss(place):
    content = bytearray((place / "films/7.png").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = b"\xff" * 50  # of the pixels: header and end marker are sound
    (place / "films/7.png").write_bytes(content)
    write(place / "labels.csv", table(HEAD, *rows(42)))
    _, found = accept(place, "--labels", "labels.csv")
    assert [name for name, _ in found["unreadable"]] == ["7.png"]
    assert (found["labelled"]["films"], found["labelled"]["units"], found["labelled"]["num_rois"]) == (41, 41, 82)
    assert (found["labelled"]["below50"], found["labelled"]["counts"]["all"]) == (0, [41, 41])


def test_millimetres_of_dicom_films(place):
    """A film without PixelSpacing says that of the detector: .5 mm, by which 2 px are 1 mm."""
    pixels = np.array(Image.open(place / "films/1.png").convert("L"))
    write(place / "films/1.dcm", dicom_bytes.film(pixels, ImagerPixelSpacing="0.5\\0.5"))
    (place / "films/1.png").unlink()
    write(place / "labels.csv", table(HEAD, *[["1.dcm", *row[1:]] for row in rows(1)], *rows(42)[2:]))
    _, found = accept(place, "--labels", "labels.csv")
    keys = ("num_rois", "num_mm", "num_mm/plane=detector", "within_2mm", "centre_mm", "size_mm", "centre_error")
    expected = (84, 2, 2, 1, 1, 0, 2 / 40)
    assert [found["labelled"][key] for key in keys] == pytest.approx(expected, abs=0.01)
    page = (place / "out/accept.html").read_text()
    assert (
        "Of 2 ROIs on films that say their spacing (2 at the detector, where everything is larger than in the" in page
    )
    assert not any(secret in page for secret in (dicom_bytes.PATIENT, dicom_bytes.NUMBER))


def test_labels_are_passed_on_to_fit(place):
    """With what follows --fit; unnamed boxes get the model's class."""
    plain = [[name, x, y, side, patient] for name, x, y, side, _, patient in rows(42)]
    write(place / "labels.csv", table("image,x,y,side,who", *plain))
    options = ["--labels", "labels.csv", "--patients", "who", "--fit", "--plan-only", "--folds", "3"]
    done, _ = accept(place, *options)
    assert "planned: out/fit" in done.stdout
    plan = json.loads((place / "out/fit/plan.json").read_text())
    assert (plan["data"]["films"], plan["data"]["patients"], plan["data"]["classes"]) == (42, 42, ["hip"])


def test_a_candidate_alone_is_a_miss(place):
    model(place / "m.onnx", scores=[0.9, 0.3])  # an ROI from .4
    write(place / "labels.csv", table(HEAD, *rows(42)))
    done, found = accept(place, "--labels", "labels.csv")
    assert "42 with labels: average IoU 0.905 [0.905, 0.905], recall 0.500" in done.stdout
    assert found["labelled"]["counts"]["wrong"] == [42, 42]
    page = (place / "out/accept.html").read_text()
    assert '<span>Missed: no ROI, or IoU below 0.5</span><b>42</b><span class="interval">of 84 labels</span>' in page


def test_limits_move_in_a_copy_whose_card_says_so(place):
    write(place / "labels.csv", table(HEAD, *rows(42)))
    before = (place / "m.onnx").read_bytes()
    done, found = accept(place, "--labels", "labels.csv", "--share", ".05", "--by", "alice")
    assert found["moved"]["counts"] == {"all": [0, 42], "right": [0, 42], "wrong": [0, 0]}
    assert (place / "m.onnx").read_bytes() == before
    old, new = (OnnxModel(place / name).card for name in ("m.onnx", "out/accepted.onnx"))
    assert "by alice, from 42 confirmed films, for a share of 0.05 with a flag" in new.about["accepted"]
    assert new.about["data"] == "none"
    assert new.limits.ranges["ratio"] == pytest.approx((0.2, 0.2), abs=0.0011)  # 40 of 200 px on every film
    assert {name for name in WIDE if old.limits.ranges[name] != new.limits.ranges[name]} == {
        "ratio",
        "x",
        "y",
        "distance",
        "tilt",
    }
    done = run_tool_here("predict", "films", "--model", "out/accepted.onnx", "--out", "p", cwd=place)
    assert (done.returncode, len((place / "p/review.csv").read_text().splitlines())) == (0, 1)


def test_fewer_than_forty_move_nothing(place):
    write(place / "labels.csv", table(HEAD, *rows(39)))
    done, found = accept(place, "--labels", "labels.csv", "--share", ".05")
    assert "39 confirmed films, 39 of them right, of 39 patients: expected 40, 20 and 5 or more" in done.stdout
    assert "no limit is moved" in found["moved"]["said"]
    assert not (place / "out/accepted.onnx").exists()


def test_the_page_stands_alone(place):
    (place / "films/1.png").rename(place / "films/<b>1 & 'x'.png")
    write(place / "labels.csv", table(HEAD, ["<b>1 & 'x'.png", 100, 40, 40, "hip", "P1"], *rows(42)[2:]))
    accept(place, "--labels", "labels.csv", "--share", ".1")
    browser = start_browser()
    try:
        browser.get((place / "out/accept.html").as_uri())
        assert complaints_of(browser) == []
        assert requests_of(browser) == [(place / "out/accept.html").as_uri()]
        text = browser.find_element("tag name", "body").text
    finally:
        browser.quit()
    assert "<b>1 & 'x'.png (odd_ratio)" in text
    assert "It holds no contrast, so what is usual there is unknown" in text
    assert "contrast 44 " in text
    assert "unknown" in next(line for line in text.splitlines() if line.startswith("contrast 44"))
    assert "0.500 to 0.900" in text  # the usual ratio
    assert "with moved limits, films that didn't set them" in text
    assert "Its card says of its films: none." in text
    assert "100.0%" in text
    assert (
        "100.0% to" not in text.partition("Do flags")[0]
    )  # all are hits: what a bootstrap says of them is no interval


def test_too_few_patients_say_nothing_about_more_labels(place):
    write(place / "labels.csv", table(HEAD, *rows(4, away=20)))
    _, found = accept(place, "--labels", "labels.csv")
    assert found["labelled"]["units"] == 4
    page = (place / "out/accept.html").read_text()
    assert "4 patients with labels are too few to say: label films of 5 or more." in page
    assert "0.010 from" not in page


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C of a process is POSIX")
def test_confirmed_boxes_are_labels(place):
    process, address = start_tool(
        place / "films",
        "--model",
        place / "m.onnx",
        "--out",
        place / "out",
        "--confirm",
        "--by",
        "alice",
        name="accept",
    )
    page = build_opener(HTTPCookieProcessor())
    page.open(address)
    base = f"http://{urlsplit(address).netloc}"
    assert parse_qs(urlsplit(address).query)["key"]
    proposed = {}
    for name in ("1.png", "2.png", "3.png"):
        while not (shown := json.load(page.open(f"{base}/api/film?name={name}")))["proposal"]:
            pass
        proposed[name] = shown["proposal"]
        boxes = HIPS if name == "3.png" else proposed[name]["boxes"]  # one is corrected
        body = json.dumps(state([list(box) for box in boxes])).encode()
        sent = Request(f"{base}/api/film?name={name}", body, {"Origin": base, "Content-Type": "application/json"})
        assert json.load(page.open(sent))["status"] == "done"
    process.send_signal(signal.SIGINT)
    said, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    np.testing.assert_allclose(proposed["1.png"]["boxes"], np.array(HIPS) + BESIDE, atol=0.02)
    assert "3 with labels: average IoU 0.968" in said  # 1, 1 and 38/42
    # a file like any other
    _, found = accept(place, "--labels", "out/labels/alice.json")
    np.testing.assert_allclose(found["labelled"]["avg_iou"], (2 + 38 / 42) / 3, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none"], "none: no such film or folder: check the path"),
        (["films", "--labels", "none.csv"], "none.csv: no such file or folder: check the path"),
        (["films", "--model", "none.onnx"], "none.onnx: no such model"),
        (["films", "--share", "0"], "--share 0.0: expected a share of films above 0 and below 1, such as .05"),
        (["films", "--share", "nan", "--labels", "l.csv"], "--share nan: expected"),
        (["films", "--share", ".1"], "--share and --fit need labels: add --labels, or confirm boxes with --confirm"),
        (["films", "--fit"], "--share and --fit need labels"),
        (["films", "--labels", "l.csv", "--share", ".1", "--model", "m.onnx", "--out", "."], "l.csv: "),
        (["films", "--labels", "l.csv", "--patients", "nobody"], "--patients nobody: neither a file, nor a column"),
        (
            ["films", "--labels", "other.csv"],
            "expected at least one: 2 x not labelled; 1 x labelled but without a film",
        ),
    ],
)
def test_bad_arguments(tmp_path, arguments, words):
    films_in(tmp_path / "films", 2)
    write(tmp_path / "l.csv", "image,x\n1.png,3\n" if "nobody" not in arguments else table(HEAD, *rows(2)))
    write(tmp_path / "other.csv", table(HEAD, ["9.png", 1, 1, 40, "hip", "P"]))
    model(tmp_path / "m.onnx")
    given = [] if "--model" in arguments else ["--model", "m.onnx"]
    done = run_tool_here("accept", *arguments, *given, cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert words in done.stderr
    assert not (tmp_path / "accept/accept.html").exists()


def test_a_model_without_limits(place):
    model(place / "m.onnx", limits=None)
    write(place / "labels.csv", table(HEAD, *rows(42)))
    _, found = accept(place, "--labels", "labels.csv")
    assert (found["usual"], found["flags"]) == ({}, {})
    done, found = accept(place, "--labels", "labels.csv", "--share", ".1")
    assert "has no review limits that could move: hipdet export --calibrate sets them" in done.stdout
    assert "no review limits" in found["moved"]["said"]
    assert not (place / "out/accepted.onnx").exists()


def test_its_own_model_is_not_replaced(place):
    write(place / "labels.csv", table(HEAD, *rows(42)))
    (place / "out").mkdir()
    content = model(place / "out/accepted.onnx").read_bytes()
    options = ["--model", "out/accepted.onnx", "--labels", "labels.csv", "--share", ".1", "--out", "out"]
    done = run_tool_here("accept", "films", *options, cwd=place)
    assert (done.returncode, "would be replaced: choose another --out" in done.stderr) == (2, True)
    assert (place / "out/accepted.onnx").read_bytes() == content


def test_the_bundled_model_on_phantoms(phantoms, tmp_path):
    options = ["--labels", phantoms / "cgoa/hips.csv", "--out", "out", "--patients", "film"]
    done = run_tool("accept", phantoms / "cgoa/images", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out/accept.json").read_text())
    assert (found["films"], found["labelled"]["films"]) == (12, 12)
    assert found["labelled"]["avg_iou"] > 0.7  # it was trained on phantoms first, then on real films
    assert found["usual"]["ratio"][0] < found["usual"]["ratio"][1]
