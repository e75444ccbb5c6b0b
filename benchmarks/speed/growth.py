"""Many films: seconds and memory of hipdet predict, and two ranks compared with one in training."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speed.films import jpeg, training_films
from speed.models import ROOT, model
from speed.peak_memory import peak_memory
from speed.results import Table, say

KINDS = 16  # phantoms; the films are hard links to them


def section(work: Path, args: argparse.Namespace) -> list[Table]:
    """The tables of this section."""
    return [_prediction(work, args.films), _ranks(work, training_films(work))]


def _prediction(work: Path, counts: Sequence[int]) -> Table:
    bundled = model("hips", work)
    kinds = [jpeg(work, 454, number) for number in range(KINDS)]
    rows, before = [], (0, 0.0)
    for count in sorted(counts):
        folder = work / f"many_{count}"
        folder.mkdir(exist_ok=True)
        say(f"hipdet predict on {count} films")
        for number in range(count):
            link = folder / f"{number:05}.jpg"
            if not link.exists():
                os.link(kinds[number % KINDS], link)
        options = ["--out", work / f"predictions_{count}", "--overwrite", "--as-stored"]
        start = time.perf_counter()
        megabytes = peak_memory("predict", folder, "--model", bundled.onnx, *options)
        seconds = time.perf_counter() - start
        further = 1e3 * (seconds - before[1]) / (count - before[0])
        rows.append([str(count), f"{seconds:.1f}", f"{further:.1f}" if before[0] else "", str(megabytes)])
        before = count, seconds
    note = (
        "hipdet predict with the bundled model over phantom JPEGs of 454 px, whole process from its start: reading, network, "
        "journal and all outputs; one forward pass each (--as-stored). A further film is one more than in the row above."
    )
    return Table("Many films", note, ["films", "s", "ms per further film", "peak MB"], rows)


def _ranks(work: Path, data: Path) -> Table:
    """Films per second of one and of two ranks, each with one thread."""
    pace = {ranks: _pace(ranks, work / f"ranks_{ranks}", data) for ranks in (1, 2)}
    rows = [[str(ranks), f"{found:.1f}", f"{found / ranks / pace[1]:.2f}"] for ranks, found in pace.items()]
    note = "configs/hip_ssd_r18_demo.py, 16 films per rank and iteration, one thread per rank, gloo; without the first epoch."
    return Table("Two ranks", note, ["ranks", "films/s", "efficiency"], rows)


def _pace(ranks: int, out: Path, data: Path) -> float:
    say(f"training on {ranks} ranks")
    config = str(ROOT / "configs/hip_ssd_r18_demo.py")
    command = [sys.executable, "-m", "hipdet", "train", config]
    if ranks > 1:
        command = ["bash", str(ROOT / "tools/dist_train.sh"), config, str(ranks)]
    command += ["--data-root", str(data), "--work-dir", str(out), "--cfg-options"]
    command += ["train_cfg.max_epochs=3", "train_cfg.val_interval=9", "default_hooks.logger.interval=1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable}
    subprocess.run(command, env=environment, capture_output=True, check=True)
    log = max(out.glob("*/vis_data/scalars.json"))
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return 16 * ranks / float(np.median([line["time"] for line in lines if line.get("epoch", 0) > 1]))
