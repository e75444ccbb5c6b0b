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
    assert took, "onnxruntime without a switch sent nothing: the watch sees nothing, or there is nothing to see any more"
    assert any(".onnxruntime/deviceid" in name for name in files)
    return 2 * took


@pytest.mark.parametrize(
    "control",
    ["import openvino", pytest.param("import hipdet.mmcv_lite as lite; lite.install(); import mmdet.datasets", marks=pytest.mark.ci)],
    ids=["openvino", "albumentations"],
)  # fmt: skip
def test_what_is_sent_without_the_switch(control, stand_in, tmp_path):
    if not can_be_alone():
        pytest.skip("no network namespace (unshare --net): it would really be sent")
    path = f"{REPOSITORY}:{stand_in}"
    assert Watched(tmp_path, "-c", f"{control}, time; time.sleep(90)", PYTHONPATH=path).until_it_sends()


def arguments(way, data, out, seconds):
    """What Python runs: `way` on the films and annotations in `data`, from its start until `seconds` after its work."""
    films = data / "gis/images"
    lasting = ["-c", LASTING, seconds]
    small = [*RECIPES[1].small, "train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
    config = REPOSITORY / RECIPES[1].config
    mmdets = Path(mmdet.__file__).parent / ".mim/tools/train.py"
    if mmcv_is_lite():
        (out / "lasting.py").write_text(LASTING)
        own = ["-m", "hipdet.mmcv_lite", out / "lasting.py", seconds, mmdets]
    else:
        own = [*lasting, mmdets]
    (out / "library.py").write_text(
        "from hipdet import HipDetector\n"
        f"for runtime in ('onnxruntime', 'openvino'): assert not next(HipDetector(runtime=runtime)({str(films)!r})).error"
    )
    return {
        "predict": [*lasting, COMMAND, "predict", films, "--out", out / "p"],
        "predict, OpenVINO": [*lasting, COMMAND, "predict", films, "--out", out / "p", "--runtime", "openvino"],
        "library": [*lasting, out / "library.py"],
        "annotate": ["-c", VISIT, films, "--out", out / "labels", seconds],
        "train": [
            *lasting, REPOSITORY / "tools/train.py", config, "--data-root", data, "--work-dir", out / "w", "--cfg-options", *small,
        ],
        "mmdet's train": [*own, config, "--work-dir", out / "w", "--cfg-options", *small],
    }[way]  # fmt: skip


@pytest.mark.parametrize(
    "way",
    [
        "predict",
        *(pytest.param(way, marks=pytest.mark.ci) for way in ("predict, OpenVINO", "library", "annotate", "train", "mmdet's train")),
    ],
)  # fmt: skip
def test_nothing_is_sent(way, phantoms, stand_in, patience, tmp_path):
    films = tmp_path / "data"
    films.symlink_to(phantoms)
    path = f"{REPOSITORY}:{stand_in}"
    watched = Watched(
        tmp_path, *arguments(way, films, tmp_path, patience), PYTHONPATH=path, HIPDET_DATA=films
    )
    code, said = watched.finish(900)
    assert code == 0, said
    assert watched.sent() == []
    caches = (".cache/matplotlib/", ".cache/YAPF/")  # of fonts and of a grammar
    assert [name for name in watched.files() if not name.startswith(caches)] == []
