"""``hipdet COMMAND``: the table of commands, the extras that each needs, and the message if one is missing."""

import os
import platform
import re
import subprocess
import sys
from importlib import metadata

import pytest

from hipdet.cli.main import COMMANDS, EXTRAS, main, overview
from hipdet.version import __version__
from tool_runs import REPOSITORY, run_python, run_tool_here

# what pip installs for each module that shows whether an extra is there
PACKAGES = {"cv2": "opencv-python", "mmcv": "mmcv-lite"}
WITHOUT = """
import importlib.util, sys
class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {"torch", "torchvision", "scipy", "matplotlib", "pycocotools", "cv2", "mmengine",
                                      "mmcv", "mmdet", "yaml", "werkzeug", "onnx", "onnxscript", "safetensors", "pydicom",
                                      "shapely"}:
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
    assert len(listed) == 20


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


def test_help_is_quick():
    """In CPU seconds, which other work on the machine doesn't change; the quickest of five."""

    def seconds():
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", "hipdet", "--help"], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL
        )
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(5)) < 0.3


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
