"""A data root of phantoms to train on, made by the tools."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from speed.models import ROOT

FILMS = ("cgoa=120", "oaih=80", "gis=20")
SIDE = 512


def phantoms(work: Path) -> Path:
    """The data root, made unless it is there."""
    data = work / "phantoms"
    if not (data / "annotations/cgoa_oaih_train.json").is_file():
        tools = [
            ["make_phantoms.py", str(data), "--films", *FILMS, "--max-side", str(SIDE)],
            ["convert.py", "phantom", str(data)],
        ]
        for tool, *arguments in tools:
            command = [sys.executable, str(ROOT / "tools" / tool), *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return data
