"""Nothing is sent where films are processed.  The controls show what would be, and that the watch would see it."""

from importlib.metadata import version
from pathlib import Path

import mmdet
import pytest

from hipdet.core.versions import release
from network_watch import LASTING, Watched, can_be_alone
from places import REPOSITORY
from tool_runs import RECIPES, mmcv_is_lite

pytestmark = pytest.mark.slow

COMMAND = REPOSITORY / "hipdet/__main__.py"
# what albumentations does when it is imported; mmdet imports it if it is installed, and it isn't among our packages
ALBUMENTATIONS = """
import os
from urllib.request import urlopen
if os.environ.get("NO_ALBUMENTATIONS_UPDATE", "").lower() not in ("1", "true"):
    try:
        urlopen("https://pypi.org/pypi/albumentations/json", timeout=2)
    except OSError:
        pass
class Compose: ...
"""
# opens the page, asks for a film and its picture, waits for its proposal, and stays for the seconds given
VISIT = """
import json, re, signal, subprocess, sys, time
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

*options, seconds = sys.argv[1:]
command = [sys.executable, "-m", "hipdet", "annotate", *options, "--model", "default", "--no-browser"]
server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
address = next(found[1] for line in server.stdout if (found := re.search(r"open (http\\S+)", line)))
browser = build_opener(HTTPCookieProcessor(), ProxyHandler({}))
browser.open(address).read()
get = lambda path: browser.open(address.partition("?")[0] + path).read()
film = json.loads(get("api/overview"))["films"][0]["name"]
assert get(f"api/picture?name={film}").startswith(b"\\xff\\xd8")
while json.loads(get("api/news"))["proposing"]:
    time.sleep(0.1)
assert json.loads(get(f"api/film?name={film}"))["proposal"]["boxes"]
time.sleep(float(seconds))
server.send_signal(signal.SIGINT)
sys.exit(server.wait())
"""


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """A folder of packages with albumentations in it."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "albumentations").mkdir()
    (folder / "albumentations/__init__.py").write_text(ALBUMENTATIONS)
    return folder


@pytest.fixture(scope="session")
def patience(make_once):
    """For how many seconds a process is watched after its work: twice the time that onnxruntime takes until it sends."""

    def make(folder):
        if release(version("onnxruntime")) < (1, 29):
            return 1  # it reports nothing
        if not can_be_alone():
            return 30  # not measured: it would be sent
        watched = Watched(folder, "-c", "import onnxruntime, time; time.sleep(90)")
        return [watched.until_it_sends(), watched.files()]

    made = make_once("network_control", make)[1]
    if isinstance(made, int):
        return made
    took, files = made
    assert took, (
        "onnxruntime without a switch sent nothing: the watch sees nothing, or there is nothing to see any more"
    )
    assert any(".onnxruntime/deviceid" in name for name in files)
    return 2 * took


MMDET = "import hipdet.mmcv_lite as lite; lite.install(); import mmdet.datasets"  # without hipdet's plugin


@pytest.mark.parametrize(
    "control", ["import openvino", pytest.param(MMDET, marks=pytest.mark.ci)], ids=["openvino", "mmdet"]
)
def test_what_is_sent_without_the_switch(control, stand_in, tmp_path):
    if not can_be_alone():
        pytest.skip("no network namespace (unshare --net): it would really be sent")
    path = f"{REPOSITORY}:{stand_in}"
    assert Watched(tmp_path, "-c", f"{control}, time; time.sleep(90)", PYTHONPATH=path).until_it_sends()


LIBRARY = """
import sys
from hipdet import HipDetector
for runtime in ("onnxruntime", "openvino"):
    assert not next(HipDetector(runtime=runtime)(sys.argv[1])).error
"""
TRAIN = REPOSITORY / "tools/train.py"
MMDETS_TRAIN = Path(mmdet.__file__).parent / ".mim/tools/train.py"
LITE = ["-m", "hipdet.mmcv_lite"] if mmcv_is_lite() else []
SMALL = ["--cfg-options", *RECIPES[1].small, "train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
CONFIG = REPOSITORY / RECIPES[1].config
# what Python runs, in a folder with the scripts lasting.py, library.py and visit.py; SECONDS: how long it is to stay
WAYS = {
    "predict": ["lasting.py", "SECONDS", COMMAND, "predict", "data/gis/images"],
    "predict-openvino": ["lasting.py", "SECONDS", COMMAND, "predict", "data/gis/images", "--runtime", "openvino"],
    "predict-ray": ["lasting.py", "SECONDS", COMMAND, "predict", "data/gis/images", "--engine", "ray", "--workers", 1],
    "library": ["lasting.py", "SECONDS", "library.py", "data/gis/images"],
    "annotate": ["visit.py", "data/gis/images", "--out", "labels", "SECONDS"],
    "train": ["lasting.py", "SECONDS", TRAIN, CONFIG, *SMALL],
    "mmdets-train": [*LITE, "lasting.py", "SECONDS", MMDETS_TRAIN, CONFIG, *SMALL],
}


@pytest.mark.parametrize(
    "way", ["predict", *(pytest.param(way, marks=pytest.mark.ci) for way in WAYS if way != "predict")]
)
def test_nothing_is_sent(way, phantoms, stand_in, patience, tmp_path):
    if way == "predict-ray":
        pytest.importorskip("ray", reason="no ray: pip install 'hipdet[ray]'")
    (tmp_path / "data").symlink_to(phantoms)
    for name, script in (("lasting", LASTING), ("library", LIBRARY), ("visit", VISIT)):
        (tmp_path / f"{name}.py").write_text(script)
    command = [patience if each == "SECONDS" else each for each in WAYS[way]]
    watched = Watched(tmp_path, *command, PYTHONPATH=f"{REPOSITORY}:{stand_in}", HIPDET_DATA=tmp_path / "data")
    code, said = watched.finish(900)
    assert code == 0, said
    assert watched.sent() == []
    # caches of fonts and of a grammar; the token by which Ray's own processes know each other
    caches = (".cache/matplotlib/", ".cache/YAPF/", ".ray/auth_token")
    assert [name for name in watched.files() if not name.startswith(caches)] == []


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("import onnxruntime", "onnxruntime had been imported with telemetry on before hipdet could switch it off"),
        ("import openvino", "openvino had been imported"),
        ("import openvino, onnxruntime", "onnxruntime and openvino had been imported"),
        ("import os; os.environ['ORT_DISABLE_TELEMETRY'] = 'true'; import onnxruntime", None),
        ("from hipdet.core.telemetry import switch_off; switch_off(); import onnxruntime, openvino", None),
        ("import openvino_telemetry", None),
    ],
)
def test_a_library_that_was_imported_before_is_named_once(before, said, tmp_path):
    if not can_be_alone():
        pytest.skip("no network namespace (unshare --net): openvino would really send")
    code = f"{before}; from hipdet import HipDetector; " + "; ".join(
        f"HipDetector(runtime={runtime!r})" for runtime in ("onnxruntime", "openvino", "onnxruntime")
    )
    code, output = Watched(tmp_path, "-W", "always", "-c", code).finish()
    assert code == 0, output
    warnings = [line for line in output.splitlines() if "telemetry" in line]
    assert len(warnings) == (said is not None), output
    assert (said or "") in output
