"""Archives: shards and ray find what the ordinary engine finds, are killed and carried on, and are read as one."""

import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from dicom_bytes import film
from film_bytes import UPRIGHT
from hipdet.phantoms.write import make_film
from tool_runs import run_python, run_tool_here, start_tool

pytestmark = pytest.mark.slow
FILES = ("predictions.json", "predictions.csv", "review.csv", "films.json")
SHARDS = 3


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder of films, of which some can't be read, and the results of the ordinary engine."""
    root = tmp_path_factory.mktemp("archive")
    (root / "films").mkdir()
    for number in range(8):
        Image.fromarray(make_film("cgoa", number, seed=3, max_side=300).pixels).save(root / f"films/{number}.png")
    Image.fromarray(np.zeros((80, 100), np.uint8)).save(root / "films/=black%.png")
    (root / "films/text.jpg").write_bytes(b"no film")
    (root / "films/chest.dcm").write_bytes(film(UPRIGHT, BodyPartExamined="CHEST"))
    done = run_tool_here("predict", "films", "--threads", 1, "--out", "plain", cwd=root)
    assert done.returncode == 1, done.stderr
    for number in range(1, SHARDS + 1):
        done = run_tool_here("predict", "films", "--threads", 1, "--shard", f"{number}/{SHARDS}", cwd=root)
        assert done.returncode in (0, 1), done.stderr
    return root


def same_files(work, one, other):
    return [(work / one / name).read_bytes() == (work / other / name).read_bytes() for name in FILES] == [True] * 4


def test_shards_are_the_same_as_one_run(work):
    """Byte for byte, after they are merged."""
    done = run_tool_here("merge", "predictions", "--out", "merged", cwd=work)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.startswith("11 films, of which 2 can't be read: merged")
    assert same_files(work, "plain", "merged")


def test_crop_and_gallery_take_them_as_one(work):
    run_tool_here("crop", "plain/predictions.json", "--data-root", "films", "--out", "crops", cwd=work)
    shards = sorted(str(path) for path in (work / "predictions").iterdir())
    done = run_tool_here("crop", *shards, "--data-root", "films", "--out", "crops of shards", cwd=work)
    assert done.returncode == 0, done.stderr
    assert len(list(csv.DictReader((work / "crops/manifest.csv").open()))) >= 8
    assert (work / "crops/manifest.csv").read_bytes() == (work / "crops of shards/manifest.csv").read_bytes()
    for place in ("plain", "predictions"):
        done = run_tool_here("gallery", place, "--data-root", "films", "--out", f"{place}.png", "--films", 4, cwd=work)
        assert done.returncode == 0, done.stderr
    assert (work / "plain.png").stat().st_size > 1000
    few = run_tool_here("merge", *shards[1:], "--out", "few", cwd=work)
    assert few.stderr == "warning: no results of shards 1 of 3: their films are missing\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["predict", "films", "--shard", "4/3"], "--shard '4/3': expected K/N, from 1/N to N/N"),
        (["predict", "films", "--workers", 2], "--workers is of --engine ray"),
        (["predict", "films", "--engine", "ray", "--shard", "1/3"], "expected one of them"),
        (["predict", "films", "--view", "A;P"], "ViewPosition 'A;P': expected at most 16 letters"),
        (["merge", "plain"], "plain: no results of a shard, which could be merged"),
        (["merge", "plain", "predictions"], "plain: no results of a shard, unlike"),
        (["crop", "plain", "plain", "--data-root", "films"], "expected one predictions.json, or folders of shards"),
        (["gallery", "predictions", "--data-root", "films", "--ann", "a.json"], "hipdet merge makes one of shards"),
    ],
)
def test_bad_arguments(command, message, work):
    done = run_tool_here(*command, cwd=work)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_films_are_found_by_their_headers(work):
    pytest.importorskip("pydicom")
    done = run_tool_here("predict", "films", "--out", "hips", "--threads", 1, "--body-part", "HIP", cwd=work)
    assert "1 films left out by their DICOM headers (1: BodyPartExamined is CHEST): hips/headers.csv" in done.stderr
    assert "10 films kept, whose headers don't say what they are (10: no DICOM film)" in done.stderr
    assert done.stdout.startswith("9 of 10 films predicted")
    ids = {image["file_name"]: image["id"] for image in json.loads((work / "hips/films.json").read_text())["images"]}
    all_ids = {
        image["file_name"]: image["id"] for image in json.loads((work / "plain/films.json").read_text())["images"]
    }
    assert ids == {name: number for name, number in all_ids.items() if name != "chest.dcm"}
    shard = run_tool_here(
        "predict", "films", "--shard", "1/3", "--out", "only hips", "--threads", 1, "--body-part", "HIP", cwd=work
    )
    assert shard.returncode in (0, 1)
    mixed = run_tool_here("merge", "predictions/shard-2-of-3", "only hips", cwd=work)
    assert (mixed.returncode, "other models or settings" in mixed.stderr) == (2, True)


def killed(work, out, *arguments, enough):
    """Start a command on many films, and kill it when `enough` says that it has done some."""
    with start_tool("predict", "many", "--out", out, *arguments, cwd=work, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 600
        while not enough() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def many(work):
    (work / "many").mkdir()
    for number in range(40):
        Image.fromarray(make_film("gis", number, seed=5, max_side=200).pixels).save(work / f"many/{number}.png")
    assert run_tool_here("predict", "many", "--threads", 1, "--out", "many plain", cwd=work).returncode == 0
    return work


def test_a_killed_shard_carries_on(many):
    journal = many / "killed/shard-1-of-1/journal.jsonl"
    killed(many, "killed", "--shard", "1/1", "--threads", 1, enough=lambda: journal.exists() and journal.stat().st_size)
    done = journal.read_bytes()
    assert 0 < done.count(b"\n") < 40
    assert (
        run_tool_here("predict", "many", "--threads", 1, "--shard", "1/1", "--out", "killed", cwd=many).returncode == 0
    )
    assert journal.read_bytes().startswith(done[: done.rindex(b"\n")])
    assert run_tool_here("merge", "killed", "--out", "killed merged", cwd=many).returncode == 0
    assert same_files(many, "many plain", "killed merged")


RAY = ["--engine", "ray", "--workers", 2]


@pytest.mark.ci
def test_ray_finds_the_same_and_carries_on_when_killed(many):
    pytest.importorskip("ray", reason="no ray: pip install 'hipdet[ray]'")
    out = many / "by ray"
    killed(many, "by ray", *RAY, enough=lambda: len(list(out.glob("shard-*/run.json"))) >= 2)
    finished = {run.with_name("journal.jsonl"): run.parent for run in out.glob("shard-*/run.json")}
    assert 2 <= len(finished) < 16
    before = {path: path.read_bytes() for path in finished}
    done = run_python("-m", "hipdet", "predict", "many", "--out", "by ray", *RAY, cwd=many)
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in finished} == before  # no film was predicted again
    assert len([*out.glob("shard-*-of-16/predictions.parquet")]) == 16
    assert (out / "failures.csv").read_text() == "film,error\n"
    assert run_tool_here("merge", "by ray", "--out", "ray merged", cwd=many).returncode == 0
    assert same_files(many, "many plain", "ray merged")
    shard = run_tool_here("predict", "many", "--out", "by shard", "--shard", "3/16", "--threads", 1, cwd=many)
    assert shard.returncode == 0, shard.stderr
    for path in (many / "by shard/shard-03-of-16").iterdir():
        same = (out / "shard-03-of-16" / path.name).read_bytes() == path.read_bytes()
        assert same or path.name == "journal.jsonl"
    for place in ("many plain", "by ray"):
        cropped = run_tool_here("crop", place, "--data-root", "many", "--out", f"{place} crops", cwd=many)
        assert cropped.returncode == 0, cropped.stderr
    manifests = [(many / f"{place} crops/manifest.csv").read_bytes() for place in ("many plain", "by ray")]
    assert manifests[0] == manifests[1]
    drawn = run_tool_here("gallery", "by ray", "--data-root", "many", "--out", "ray.png", "--films", 4, cwd=many)
    assert (drawn.returncode, (many / "ray.png").exists()) == (0, True), drawn.stderr


@pytest.mark.ci
def test_ray_lists_failures_and_what_headers_leave_out(work):
    pytest.importorskip("ray", reason="no ray: pip install 'hipdet[ray]'")
    pytest.importorskip("pydicom")
    done = run_python("-m", "hipdet", "predict", "films", "--out", "rays", *RAY, "--body-part", "HIP", cwd=work)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("9 of 10 films predicted: rays; films to review: rays/failures.csv")
    assert [row["film"] for row in csv.DictReader((work / "rays/failures.csv").open())] == ["text.jpg"]
    headers = list(csv.DictReader((work / "rays/headers.csv").open()))
    assert [row["film"] for row in headers if row["left_out"] == "1"] == ["chest.dcm"]
    assert {row["film"] for row in headers} == {f"{n}.png" for n in range(8)} | {
        "'=black%.png",
        "text.jpg",
        "chest.dcm",
    }
    assert "1 films left out by their DICOM headers (1: BodyPartExamined is CHEST): rays/headers.csv" in done.stderr


def test_nothing_else_imports_ray_or_pyarrow(work):
    code = (
        "import sys; from hipdet.cli.main import main\n"
        "try: main(['predict', 'films', '--shard', '1/3', '--threads', '1', '--out', 'light'])\n"
        "except SystemExit: pass\n"
        "print({'ray', 'pyarrow'} & set(sys.modules))"
    )
    assert run_python("-c", code, cwd=work).stdout.endswith("set()\n")


def test_ray_says_where_it_is_missing(work, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run_tool_here("predict", "films", "--engine", "ray", cwd=work)
    assert (done.returncode, "pip install 'hipdet[ray]'" in done.stderr) == (2, True)
