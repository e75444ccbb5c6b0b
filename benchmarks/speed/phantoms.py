"""A data root of phantoms to train on, made by hipdet itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FILMS = ("cgoa=120", "oaih=80", "gis=20")
SIDE = 512


def phantoms(work: Path) -> Path:
    """The data root, made unless it is there."""
    data = work / "phantoms"
    if not (data / "annotations/cgoa_oaih_train.json").is_file():
        commands = [
            ["phantoms", str(data), "--films", *FILMS, "--max-side", str(SIDE)],
            ["convert", "phantom", str(data)],
        ]
        for command, *arguments in commands:
            subprocess.run([sys.executable, "-m", "hipdet", command, *arguments], check=True, stdout=subprocess.DEVNULL)
    return data
