"""Running the tools as users do, at a size that a test can afford."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

# the recipe of experiment 3 with its three stages, on a small backbone
SMALL = [
    "model.backbone.depth=18",
    "model.backbone.base_channels=8",
    "model.backbone.init_cfg=None",
    "model.bbox_head.in_channels=64",
    "model.bbox_head.feat_channels=16",
    "train_dataloader.batch_size=4",
]


def run_tool(name, *arguments, cwd, timeout=600, **environment):
    """Run a tool from another working directory."""
    command = [sys.executable, str(REPOSITORY / "tools" / name), *map(str, arguments)]
    # one thread: results don't depend on the machine, and tests may run side by side
    env = {**os.environ, "OMP_NUM_THREADS": "1", **{key: str(value) for key, value in environment.items()}}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)
