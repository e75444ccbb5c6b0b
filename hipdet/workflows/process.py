"""Training and testing in processes of their own, with a progress bar that follows their log."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import site
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

import hipdet
from hipdet.core.errors import HipdetError

TRAIN, TEST = ("-m", "hipdet", "train"), ("-m", "hipdet", "test")
STEP = re.compile(r"Epoch\((?:train|test)\)\s+(?:\[\s*(\d+)\])?\[\s*(\d+)/(\d+)\]")
LOSS = re.compile(r" loss: ([\d.]+)")
SHOWN_LINES = 15
DIE_WITH_PARENT = 1  # Linux: PR_SET_PDEATHSIG
# glibc keeps freed memory instead of giving it back to the system in every step: a training on a CPU takes an eighth less
# time (docs/results/fit.md)
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**33), "MALLOC_TOP_PAD_": str(2**26)}

Follow = Callable[[str], None]  # takes each line of a program's output
_running: set[subprocess.Popen] = set()


class ProgramError(HipdetError):
    """A program ended with an error."""


def train(
    config: Path,
    title: str,
    epochs: int,
    processes: int = 1,
    flags: Sequence[str] = (),
    follow: Follow | None = None,
) -> Path:
    """Train in the folder of `config`, resuming an interrupted training.

    Args:
        config: Config of the training.
        title: Text of the progress bar.
        epochs: Epochs of the training.
        processes: Number of ranks.
        flags: Passed on to ``train``, such as ``--amp``.
        follow: See :func:`run_program`.

    Returns:
        The last checkpoint.

    Raises:
        ProgramError: training failed.
    """
    folder = config.parent
    checkpoint, note = folder / f"epoch_{epochs}.pth", folder / "last_checkpoint"
    # mmengine names a checkpoint in the note once it is written completely
    last = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
    if Path(last).name != checkpoint.name or not checkpoint.is_file():
        arguments = [config, "--work-dir", folder, "--resume", *flags]
        run_program(TRAIN, arguments, processes, folder / "train.log", title, epochs, follow)
    return checkpoint


def train_and_test(
    config: Path,
    test_config: Path,
    tested: Path,
    title: str,
    epochs: int,
    processes: int = 1,
    flags: Sequence[str] = (),
    follow: Follow | None = None,
) -> Path:
    """As :func:`train`, then test the last checkpoint.

    Args:
        config: Config of the training.
        test_config: Config of the test.
        tested: Folder for the results of the test.
        title: Text of the progress bars.
        epochs: Epochs of the training.
        processes: Number of ranks of both.
        flags: Passed on to ``train``, such as ``--amp``.
        follow: See :func:`run_program`.

    Returns:
        The last checkpoint.

    Raises:
        ProgramError: training or testing failed.
    """
    checkpoint = train(config, title, epochs, processes, flags, follow)
    arguments = [test_config, checkpoint, "--work-dir", tested]
    run_program(TEST, arguments, processes, config.parent / "test.log", f"{title}, test", follow=follow)
    return checkpoint


def run_program(
    program: Sequence[str],
    arguments: Sequence[object],
    processes: int,
    log: Path,
    title: str,
    epochs: int = 1,
    follow: Follow | None = None,
) -> None:
    """Run `program` with one process per rank and append its output to `log`.

    Args:
        program: The command line after ``python``: :data:`TRAIN` or :data:`TEST`.
        arguments: Its arguments.
        processes: Number of ranks; several are started by torchrun with ``--launcher pytorch``.
        log: File to append to.
        title: Text of the progress bar.
        epochs: Number of epochs that the program will log.
        follow: Takes each line of the output as soon as it is written; None for a progress bar.

    Raises:
        ProgramError: the program failed; the message holds its error or its last lines.
    """
    command = [*program, *map(str, arguments)]
    if processes > 1:
        ranks = ["--nproc_per_node", str(processes), "--master_port", str(_free_port())]
        command = ["-m", "torch.distributed.run", *ranks, *command, "--launcher", "pytorch"]
    log.parent.mkdir(parents=True, exist_ok=True)
    shown: Any = nullcontext() if follow else tqdm(desc=title, unit="it", dynamic_ncols=True)
    with log.open("a", encoding="utf-8") as file, shown as bar:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=partial(_bind_to, os.getpid()),
        )
        _running.add(process)
        lines: list[str] = []
        try:
            for line in process.stdout or ():
                file.write(line)
                file.flush()
                lines.append(line)
                follow(line) if follow else _advance(bar, line, epochs)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            _running.discard(process)
        if process.wait() != 0:
            raise ProgramError(
                f"{title} failed: {_cause(lines)}\nThe whole output is in {log}. Run the same command again to resume."
            )
        if bar is not None:
            bar.total = bar.n  # a resumed run may have nothing left to do


def run_jobs(tasks: Sequence[Callable[[], object]], jobs: int) -> None:
    """Run all `tasks`, which start programs, `jobs` of them at a time; each gets its share of the cores.

    If one fails, or the user interrupts, the programs of the others are ended, and later tasks aren't begun.
    """
    if jobs == 1:
        for task in tasks:
            task()
        return
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    stopped = threading.Event()

    def begin(task: Callable[[], object]) -> None:
        if not stopped.is_set():
            try:
                task()
            except BaseException:
                stopped.set()  # before this thread takes the next task
                raise

    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(begin, task) for task in tasks]
        try:
            for each in waiting:
                each.result()
        except BaseException:
            stopped.set()
            _end_programs()
            while wait(waiting, timeout=1).not_done:  # a program may just have been about to start
                _end_programs()
            raise


def _end_programs() -> None:
    for process in [*_running]:
        process.terminate()


def _advance(bar: tqdm, line: str, epochs: int) -> None:
    step = STEP.search(line)
    if step is None:
        return
    epoch, done, length = (int(value or 1) for value in step.groups())
    bar.total = epochs * length
    bar.n = (epoch - 1) * length + done
    loss = LOSS.search(line)
    bar.set_postfix_str(f"epoch {epoch}/{epochs}" + (f", loss {float(loss[1]):.3g}" if loss else ""))


def _cause(lines: Sequence[str]) -> str:
    """The error message of the program, or its last lines if there is none."""
    start = next((i for i in reversed(range(len(lines))) if lines[i].startswith("error: ")), None)
    return "".join(lines[start:] if start is not None else lines[-SHOWN_LINES:]).strip()


def _environment() -> dict[str, str]:
    """Environment in which ``python -m hipdet`` is this installation, even if the working directory has another one."""
    root = str(Path(hipdet.__file__).resolve().parents[1])
    installed = any(
        root == str(Path(place).resolve()) for place in [*site.getsitepackages(), site.getusersitepackages()]
    )
    paths = [*([] if installed else [root]), *filter(None, [os.environ.get("PYTHONPATH")])]
    # PYTHONSAFEPATH keeps the working directory out of sys.path; Python 3.10 ignores it
    return {
        **KEEP_MEMORY,
        **os.environ,
        "PYTHONSAFEPATH": "1",
        **({"PYTHONPATH": os.pathsep.join(paths)} if paths else {}),
    }


def _bind_to(parent: int) -> None:
    """On Linux, end when the parent dies, so that no training of a killed run is left when the run is started again."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGTERM)
        if os.getppid() != parent:  # the parent died before the call of prctl
            os._exit(1)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
