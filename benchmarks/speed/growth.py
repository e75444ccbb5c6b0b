"""Many films: seconds and memory of hipdet predict, and two ranks against one in training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speed.films import jpeg
from speed.models import ROOT, model
from speed.results import Table

KINDS = 16  # phantoms; the films are hard links to them
RUN = """
import runpy, sys
tool = sys.argv.pop(1)
try:
    runpy.run_path(tool, run_name="__main__")
finally:
    print("peak", open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""


def growth(work: Path, data: Path, counts: Sequence[int]) -> list[Table]:
    """The section."""
    return [_prediction(work, counts), _ranks(work, data)]


def _prediction(work: Path, counts: Sequence[int]) -> Table:
    small = model("hip_roi_small", work)
    kinds = [jpeg(work, 454, number) for number in range(KINDS)]
    rows, before = [], (0, 0.0)
    for count in sorted(counts):
        folder = work / f"many_{count}"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            link = folder / f"{number:05}.jpg"
            if not link.exists():
                os.link(kinds[number % KINDS], link)
        seconds, megabytes = _predict(small.onnx, folder, work / f"predictions_{count}")
        further = 1e3 * (seconds - before[1]) / (count - before[0])
        rows.append([str(count), f"{seconds:.1f}", f"{further:.1f}" if before[0] else "", str(megabytes)])
        before = count, seconds
    note = (
        "hipdet predict with the small model over phantom JPEGs of 454 px, whole process from its start: reading, network, "
        "journal and all outputs; one look at each (--as-stored). Milliseconds per further film are against the row above."
    )
    return Table("Many films", note, ["films", "s", "ms per further film", "peak MB"], rows)


def _predict(onnx: Path, folder: Path, out: Path) -> tuple[float, int]:
    command = [sys.executable, "-c", RUN, str(ROOT / "hipdet predict"), str(folder), "--model", str(onnx)]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--out", str(out), "--overwrite", "--as-stored"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return time.perf_counter() - start, int(done.stdout.split()[-1]) // 1024


def _ranks(work: Path, data: Path) -> Table:
    """Films per second of one rank with one thread, and of two."""
    pace = {ranks: _pace(ranks, work / f"ranks_{ranks}", data) for ranks in (1, 2)}
    rows = [[str(ranks), f"{found:.1f}", f"{found / ranks / pace[1]:.2f}"] for ranks, found in pace.items()]
    note = "configs/hip_ssd_r18_demo.py, 16 films per rank and iteration, one thread per rank, gloo; without the first epoch."
    return Table("Two ranks", note, ["ranks", "films/s", "efficiency"], rows)


def _pace(ranks: int, out: Path, data: Path) -> float:
    config = ROOT / "configs/hip_ssd_r18_demo.py"
    tool = [sys.executable, "-m", "hipdet", "train", str(config)]
    if ranks > 1:
        tool = ["bash", str(ROOT / "tools/dist_train.sh"), str(config), str(ranks)]
    options = ["train_cfg.max_epochs=3", "train_cfg.val_interval=9", "default_hooks.logger.interval=1"]
    subprocess.run(
        [*tool, "--data-root", str(data), "--work-dir", str(out), "--cfg-options", *options],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    log = max(out.glob("*/vis_data/scalars.json"))
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return 16 * ranks / float(np.median([line["time"] for line in lines if line.get("epoch", 0) > 1]))
