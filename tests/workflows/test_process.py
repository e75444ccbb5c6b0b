"""Tools in processes of their own."""

import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from hipdet.workflows.process import ProgramError, run_program, train
from places import REPOSITORY


def script(folder, text):
    path = folder / "tool.py"
    path.write_text(text)
    return str(path)


def test_progress_and_log(tmp_path, capfd):
    lines = [
        "Epoch(train)  [1][ 2/4]  lr: 1  loss: 3.2104",
        "Epoch(train) [2][4/4]  loss: 1.5000",
        "Epoch(val) [2][9/9]",
    ]
    tool = script(tmp_path, f"import sys\nprint(sys.argv[1:])\n[print(line) for line in {lines!r}]")
    run_program([tool], ["a", 1], 1, tmp_path / "log", "experiment 3", epochs=2)
    assert (tmp_path / "log").read_text().splitlines() == ["['a', '1']", *lines]
    shown = capfd.readouterr().err
    assert "experiment 3: 100%" in shown
    assert "8/8" in shown
    assert "epoch 2/2, loss 1.5" in shown


def test_a_failing_tool_tells_why(tmp_path):
    tool = script(
        tmp_path, "import sys\nprint('Epoch')\nprint('error: a.json: no such file', file=sys.stderr)\nsys.exit(2)"
    )
    with pytest.raises(ProgramError, match=r"experiment 3 failed: error: a\.json: no such file\n.*log") as error:
        run_program([tool], [], 1, tmp_path / "log", "experiment 3")
    assert "to resume" in str(error.value)
    tool = script(tmp_path, "raise ValueError('odd')")
    with pytest.raises(ProgramError, match="ValueError: odd"):
        run_program([tool], [], 1, tmp_path / "log", "experiment 3")


def test_a_checkpoint_that_was_being_written_is_no_finished_training(tmp_path):
    """The first checkpoint is also the last, and the process was killed before the note that names it."""
    (tmp_path / "epoch_8.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(ProgramError, match="no such config"):  # it trains
        train(tmp_path / "config.py", "fold 0", epochs=8)
    (tmp_path / "last_checkpoint").write_text(f"{tmp_path}/epoch_8.pth")
    assert train(tmp_path / "config.py", "fold 0", epochs=8) == tmp_path / "epoch_8.pth"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can bind a process to its parent")
def test_a_killed_run_leaves_no_training_behind(tmp_path):
    tool = script(tmp_path, "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)")
    code = (
        "from pathlib import Path; from hipdet.workflows.process import run_program; "
        f"run_program([{str(tool)!r}], [], 1, Path({str(tmp_path / 'log')!r}), 'x')"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    log, deadline = tmp_path / "log", time.time() + 60
    while not (log.exists() and log.read_text().strip()):
        assert time.time() < deadline
        time.sleep(0.05)
    child = int(log.read_text())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    while is_running(child):
        assert time.time() < deadline
        time.sleep(0.05)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


FREED = """
import resource
import torch

def faults():
    films = torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

before = [faults() for _ in range(20)][-1]
after = [faults() for _ in range(10)][-1]
print("faults", after - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other allocators")
def test_memory_of_a_step_is_kept_for_the_next(tmp_path):
    """64 MB, ten times: where they are given back each time and asked for again, these are 160,000 pages of 4 KiB."""
    run_program([script(tmp_path, FREED)], [], 1, tmp_path / "log", "steps", epochs=1)
    assert int((tmp_path / "log").read_text().split("faults")[1]) < 20_000


def test_the_users_allocator_settings_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "7")
    run_program([script(tmp_path, "import os\nprint(os.environ['MALLOC_MMAP_MAX_'])")], [], 1, tmp_path / "log", "x", 1)
    assert (tmp_path / "log").read_text().strip() == "7"
