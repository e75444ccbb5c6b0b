"""Other programs: run offline on one thread, their CPU seconds measured, and epochs chosen for a number of these."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hipdet.core.errors import HipdetError
from hipdet.core.telemetry import SWITCHES

# Ultralytics reports each run, asks for newer versions and loads fonts; nothing listens at the proxy's address
NO_INTERNET = {
    "YOLO_OFFLINE": "true",
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9"),
}
ONE_CPU = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "CUDA_VISIBLE_DEVICES": "",
}
PROBES = (1, 4)  # epochs of the two trainings from which the cost of an epoch follows


@dataclass(frozen=True)
class Used:
    """What a program used: CPU seconds of it and of all processes that it started and waited for, and seconds."""

    cpu_seconds: float
    seconds: float


def run(command: Sequence[object], log: Path, environment: Mapping[str, str] | None = None) -> Used:
    """Run `command`; its output goes into the file `log`.

    Raises:
        HipdetError: it failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.time()
    with log.open("w", encoding="utf-8") as file:
        everything = {**os.environ, **SWITCHES, **NO_INTERNET, **ONE_CPU, **(environment or {})}
        process = subprocess.Popen(list(map(str, command)), stdout=file, stderr=subprocess.STDOUT, env=everything)
        try:
            _, status, usage = os.wait4(process.pid, 0)  # not process.wait, which doesn't tell the CPU seconds
        except BaseException:
            process.terminate()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise HipdetError(f"{Path(str(command[0])).name} failed: its whole output is in {log}")
    return Used(round(usage.ru_utime + usage.ru_stime, 1), round(time.time() - start, 1))


def choose_epochs(measured: Mapping[int, float], seconds: float) -> int:
    """The epochs that take about `seconds` of CPU time.

    Args:
        measured: CPU seconds of two trainings, by their epochs: their difference is that of epochs, the rest is the start.
        seconds: CPU seconds for everything.

    Raises:
        HipdetError: not even one epoch fits, or what was measured makes no sense.
    """
    (few, least), (many, most) = sorted(measured.items())
    epoch = (most - least) / (many - few)
    if epoch <= 0:
        raise HipdetError(
            f"{many} epochs took {most} s and {few} took {least} s, expected more for more: measure again"
        )
    around = max(least - few * epoch, 0.0)
    epochs = round((seconds - around) / epoch)
    if epochs < 1:
        raise HipdetError(
            f"--seconds {seconds:g}: the start takes {around:.0f} s and an epoch {epoch:.0f} s, "
            f"expected {around + epoch:.0f} or more"
        )
    return epochs
