"""``hipdet COMMAND``: the table of commands, the extras that each needs, and the message if one is missing."""

import errno
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest

from hipdet.cli.main import COMMANDS, EXTRAS, main, overview, reports_errors
from hipdet.core.errors import DatasetError, StorageError
from hipdet.version import __version__
from roi_tables import row, write_films
from tool_runs import REPOSITORY, of_checkout, run_python, run_tool_here

# what pip installs for each module that shows whether an extra is there
PACKAGES = {"cv2": "opencv-python", "mmcv": "mmcv-lite"}
WITHOUT = """
import importlib.util, sys
class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {"torch", "torchvision", "scipy", "matplotlib", "pycocotools", "cv2", "mmengine",
                                      "mmcv", "mmdet", "yaml", "werkzeug", "onnx", "onnxscript", "safetensors", "pydicom",
                                      "highdicom", "pynetdicom", "shapely"}:
            raise ModuleNotFoundError("no " + name, name=name)
sys.meta_path.insert(0, Missing())
found = importlib.util.find_spec
def find_spec(name):
    try:
        return found(name)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_spec
from hipdet.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_has_examples_of_the_command(tmp_path, command):
    done = run_tool_here(command.name, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert re.match(rf"usage: hipdet {command.name} ", done.stdout)
    assert re.search(rf"^examples:\n  (\w+=\S+ )*hipdet {command.name} ", done.stdout, re.MULTILINE)


def test_overview_lists_the_commands_in_order():
    listed = re.findall(r"^  ([a-z-]+) {2,}", overview(), re.MULTILINE)
    assert listed == ["command", *(command.name for command in COMMANDS)]
    assert len(listed) == 23


def test_every_module_of_the_command_line_is_a_command_or_shared():
    modules = {path.stem for path in (REPOSITORY / "hipdet/cli").glob("*.py")}
    shared = {"__init__", "main"}
    assert {command.name.replace("-", "_") for command in COMMANDS} == modules - shared


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"], []])
def test_help(capsys, arguments):
    main(arguments)
    assert capsys.readouterr().out == overview() + "\n"


def test_version(capsys):
    main(["--version"])
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"hipdet {__version__}"
    versions = dict(line.split(" ", 1) for line in lines)
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == metadata.version("numpy")
    assert versions["system"] == platform.platform()


def test_the_version_is_printed_where_nothing_else_is_installed(monkeypatch, capsys):
    monkeypatch.setattr("hipdet.core.versions.installed", lambda names: None)
    main(["--version"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["hipdet", "python", "system"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trian", "no command 'trian', did you mean 'train'?"),
        ("../../x", "no command '../../x' (hipdet --help lists them)"),
    ],
)
def test_unknown_command(capsys, name, words):
    with pytest.raises(SystemExit) as ended:
        main([name])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


LOADED = """
import runpy, sys
before = {name.split(".")[0] for name in sys.modules}
sys.argv[1:] = ["--help"]
try:
    runpy.run_module("hipdet", run_name="__main__", alter_sys=True)
except SystemExit:
    pass
loaded = {name.split(".")[0] for name in sys.modules} - before - sys.stdlib_module_names
print(*sorted(name for name in loaded if getattr(sys.modules.get(name), "__spec__", None)))
"""


def test_help_is_quick(tmp_path):
    """Nothing but numpy is loaded for it: torch or mmdet would take seconds."""
    assert set(run_python("-c", LOADED, cwd=tmp_path).stdout.splitlines()[-1].split()) == {"hipdet", "numpy"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_without_its_extra_a_command_says_which_line_installs_it(tmp_path, command):
    done = run_python("-c", WITHOUT, command.name, "--help", cwd=tmp_path)
    if not command.extras:
        assert (done.returncode, "examples:" in done.stdout) == (0, True), done.stderr
        return
    missing = ", ".join(module for extra in command.extras for module in EXTRAS[extra])
    extra = f"[{','.join(command.extras)}]"
    line = f"error: hipdet {command.name} needs {missing}: pip install 'hipdet{extra}', or '.{extra}' in a clone\n"
    assert (done.returncode, done.stderr) == (2, line)


def test_what_one_option_needs(tmp_path):
    """A command that runs without an extra names it if one of its options needs it."""
    code = (
        "import hipdet.cli.main as main; main.find_spec = lambda name: None; main.require(['mm'], 'browse --augmented')"
    )
    done = run_python("-c", code, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: hipdet browse --augmented needs torch, mmengine")
    assert done.stderr.endswith("pip install 'hipdet[mm]', or '.[mm]' in a clone\n")


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_bring_what_commands_look_for(extra):
    listed = re.search(rf'"{extra}": \[(.*?)\]', (REPOSITORY / "setup.py").read_text(), re.DOTALL)[1]
    for module in EXTRAS[extra]:
        package = PACKAGES.get(module, module)
        brought = package in listed or (extra == "mm" and module == "cv2")  # mmcv-lite brings it
        assert brought, f"{extra} lacks {package}"


@pytest.mark.parametrize("name", ["predict", "crop"])
def test_old_names_remain_for_one_version(tmp_path, name):
    code = f"import sys; sys.argv = ['hipdet-{name}', '--help']; from hipdet.cli.main import hipdet_{name}; hipdet_{name}()"
    done = run_python("-c", code, cwd=tmp_path)
    assert done.returncode == 0
    assert f"usage: hipdet {name}" in done.stdout
    assert done.stderr == f"hipdet-{name} will be removed in the next version: use hipdet {name}\n"
    assert f"hipdet-{name}=hipdet.cli.main:hipdet_{name}" in (REPOSITORY / "setup.py").read_text()


@pytest.mark.parametrize("name", ["train", "test"])
def test_scripts_for_users_of_mmdet(tmp_path, name):
    done = run_python(REPOSITORY / f"tools/{name}.py", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"usage: hipdet {name}" in done.stdout
    assert sorted(path.name for path in (REPOSITORY / "tools").glob("*.py")) == ["test.py", "train.py"]


SRUN = """#!/usr/bin/env bash
printf '%s\\n' "$@" > srun.txt
"""


SLURM = [
    ("train", ["c.py", "w", "--amp"], ["c.py", "--work-dir", "w", "--launcher", "slurm", "--amp"]),
    ("test", ["c.py", "e.pth", "--tta"], ["c.py", "e.pth", "--launcher", "slurm", "--tta"]),
]


@pytest.mark.parametrize(("name", "arguments", "started"), SLURM)
def test_slurm_scripts(tmp_path, name, arguments, started):
    """With an srun that records its arguments, as there is no Slurm here."""
    script = f"slurm_{name}.sh"
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GPUS": "4", "SRUN_ARGS": "--time 60"}
    subprocess.run(
        ["bash", REPOSITORY / "tools" / script, "gpu", "hips", *arguments], cwd=tmp_path, env=env, check=True
    )
    given = (tmp_path / "srun.txt").read_text().splitlines()
    assert given[:3] == ["-p", "gpu", "--job-name=hips"]
    assert {"--gres=gpu:4", "--ntasks=4", "--ntasks-per-node=4", "--time", "60"} <= set(given)
    program = given[given.index("python") :]
    assert [program[0], program[1], program[2].rsplit("/", 1)[1], *program[3:]] == [
        "python",
        "-u",
        f"{name}.py",
        *started,
    ]
    usage = subprocess.run(["bash", REPOSITORY / "tools" / script], cwd=tmp_path, capture_output=True, text=True)
    assert (usage.returncode, script in usage.stderr) == (2, True)


FAULTS = {
    FileNotFoundError(2, "No such file or directory", "a.json"): (2, "a.json: No such file or directory"),
    FileExistsError(17, "File exists", "a"): (2, "a: File exists"),
    NotADirectoryError(20, "Not a directory", "a/b"): (2, "a/b: Not a directory"),
    IsADirectoryError(21, "Is a directory", "a"): (2, "a: Is a directory"),
    PermissionError(13, "Permission denied", "a"): (3, "a: Permission denied"),
    OSError(errno.ENOSPC, "No space left on device", "a"): (3, "a: No space left on device"),
    OSError(errno.ENOSPC, "No space left on device"): (3, "standard output: No space left on device"),
    OSError(errno.EROFS, "Read-only file system", "a"): (3, "a: Read-only file system"),
    OSError(errno.EDQUOT, "Disk quota exceeded", "a"): (3, "a: Disk quota exceeded"),
    OSError(errno.EMFILE, "Too many open files", "a"): (3, "a: Too many open files"),
    OSError(errno.ELOOP, "Too many levels of symbolic links", "a"): (3, "a: Too many levels of symbolic links"),
    OSError("without a number"): (3, "without a number"),
    MemoryError(): (3, "too little memory: close other programs, or give smaller films"),
    StorageError("a: not stored"): (3, "a: not stored"),
    DatasetError("a: is\x1b[31m odd"): (2, "a: is\\x1b[31m odd"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_errors_are_a_line_and_a_status(capfd, fault):
    @reports_errors
    def failing():
        raise fault

    status, line = FAULTS[fault]
    with pytest.raises(SystemExit) as ended:
        failing()
    assert (ended.value.code, capfd.readouterr().err) == (status, f"error: {line}\n")


def test_a_bug_keeps_its_traceback():
    @reports_errors
    def failing():
        raise KeyError("odd")

    with pytest.raises(KeyError):
        failing()


@pytest.mark.parametrize("name", ["train", "predict", "convert"])
def test_help_where_standard_output_is_full(tmp_path, name):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "hipdet", name, "--help"]
        done = subprocess.run(
            command, cwd=tmp_path, env=of_checkout(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (3, "error: standard output: No space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("arguments", "status"), [(["crop", "p.json", "--data-root", "."], 0), (["nothing"], 2)])
def test_standard_streams_that_are_closed(tmp_path, closed, arguments, status):
    """What is printed goes nowhere, and least of all into the files that are written."""
    (tmp_path / "p.json").write_text("[]")
    command = f"{sys.executable} -m hipdet {' '.join(arguments)} {closed}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=of_checkout(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (status, False)
    manifest = tmp_path / "crops/manifest.csv"
    assert not manifest.exists() or len(manifest.read_text().splitlines()) == 1


def test_a_reader_that_has_seen_enough(tmp_path):
    command = f"{sys.executable} -m hipdet --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=of_checkout(), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


FILL = """
import resource, signal, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from hipdet.cli.main import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("size", "arguments", "named"),
    [
        (100, ["convert", "folder", "films", "--labels", "labels.csv", "--out", "out"], "out"),
        (100, ["split", "hips.json", "--out", "out"], "out"),
        (1000, ["phantoms", "out", "--films", "gis=1", "--max-side", "512", "--workers", "1"], "out"),
        (1000, ["gallery", "t.roi.json", "--data-root", "films", "--out", "out/g.png"], "out"),
        (1000, ["browse", "hips.json", "--data-root", "films", "--html", "--out", "out/b.html"], "out"),
        (1000, ["plot", "iou", "t.roi.json", "--out", "out/p.png"], "out"),
        (100, ["anchors", "hips.json", "--data-root", "films", "--out", "out"], tempfile.gettempdir()),  # of mmengine
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_full_disk(tmp_path, size, arguments, named):
    """A file can't become larger than `size` bytes; a line tells it, and no half of a file is left."""
    films = write_films(tmp_path, 3) and tmp_path / "films"
    films.mkdir()
    for number in (1, 2, 3):
        (tmp_path / f"{number}.png").rename(films / f"{number}.png")
    boxes = [dict(id=n, image_id=n, category_id=1, bbox=[10, 10, 20, 20], area=400, iscrowd=0) for n in (1, 2, 3)]
    images = [dict(id=n, file_name=f"{n}.png", width=100, height=50, patient=f"p{n}") for n in (1, 2, 3)]
    coco = dict(images=images, annotations=boxes, categories=[dict(id=1, name="hip")])
    (tmp_path / "hips.json").write_text(json.dumps(coco))
    (tmp_path / "t.roi.json").write_text(json.dumps(dict(rois=[row(1, 0.4), row(2, 0.9)])))
    (tmp_path / "labels.csv").write_text("image,label,x0,y0,x1,y1\n1.png,hip,10,10,30,30\n")
    done = run_python("-c", FILL, size, *arguments, cwd=tmp_path, MPLCONFIGDIR=tmp_path / "mpl")
    assert done.returncode == 3, done.stderr
    *_, line = done.stderr.strip().splitlines()
    assert re.match(rf"error: .*{named}.*: .*File too large", line), done.stderr
    assert "standard output" not in line
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file() and path.stat().st_size == size] == []


def test_a_folder_where_nothing_can_be_written(tmp_path):
    write_films(tmp_path)
    (tmp_path / "t.roi.json").write_text(json.dumps(dict(rois=[row(1, 0.4)])))
    done = run_tool_here("gallery", "t.roi.json", "--data-root", ".", "--out", "/proc/self/attr/g.png", cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) in {(3, 1), (2, 1)}, done.stderr


def wait_until_it_used(process, seconds):
    """Wait until `process` has used so much processor time; if it does nothing, for three seconds more."""
    end = time.monotonic() + seconds + 3
    while process.poll() is None and time.monotonic() < end:
        used = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        if sum(map(int, used)) >= seconds * os.sysconf("SC_CLK_TCK"):
            return
        time.sleep(0.005)


@pytest.mark.parametrize("program", [["-m", "hipdet"], ["-c", "from hipdet.__main__ import main; main()"]])
def test_an_interrupt_at_any_time_leaves_no_traceback(tmp_path, program):
    """While Python starts, which it reports itself, nothing can be done about it: from 0.1 s of CPU time on."""
    seen = set()
    for delay in (0.1, 0.2, 0.3, 0.4, 0.5, 0.8, 1.2, 2.0):
        process = subprocess.Popen(
            [sys.executable, *program, "annotate", ".", "--no-browser", "--port", "0"], cwd=tmp_path, env=of_checkout(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        wait_until_it_used(process, delay)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert "Traceback" not in said, (delay, said)
        seen.add(process.returncode)
    assert seen <= {-signal.SIGINT, 130, 0, 2}, seen
    assert seen & {-signal.SIGINT, 130}, seen
