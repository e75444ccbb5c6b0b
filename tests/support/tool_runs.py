"""Run the commands as users do, at a size for tests."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from hipdet.cli.main import main
from places import REPOSITORY
from warm_start import run_warm

# experiment 3 with its three stages, on a small backbone
SMALL = [
    "model.backbone.depth=18",
    "model.backbone.base_channels=8",
    "model.backbone.init_cfg=None",
    "model.bbox_head.in_channels=64",
    "model.bbox_head.feat_channels=16",
    "train_dataloader.batch_size=4",
]

SMALL_ROI = [
    "model.backbone.base_channels=16",
    "model.bbox_head.in_channels=64",
    "model.bbox_head.feat_channels=16",
    "model.refiner.backbone.base_channels=16",
    "model.refiner.in_channels=32",
    "model.refiner.feat_channels=16",
    "train_dataloader.batch_size=4",
    "default_hooks.checkpoint.interval=1",
    "default_hooks.checkpoint.max_keep_ckpts=3",
]


class Recipe(NamedTuple):
    """A config, and options that make it small."""

    config: str
    small: list[str]

    @property
    def name(self):
        return Path(self.config).stem


RECIPES = [Recipe("configs/hip_ssd_exp3.py", SMALL), Recipe("configs/hip_roi_medium.py", SMALL_ROI)]
# for the `recipe` fixture of a test whose way hardly depends on it
SECOND_IN_CI = [RECIPES[0], pytest.param(RECIPES[1], marks=pytest.mark.ci)]


def run_tool(name, *arguments, cwd, timeout=600, **environment):
    """Run ``hipdet NAME`` of this checkout from another working directory, in a process of its own."""
    return run_warm([name, *map(str, arguments)], cwd, of_checkout(**environment), timeout)


def start_tool(name, *arguments, cwd, **options):
    """Start ``hipdet NAME`` of this checkout; an interrupt reaches it even where the process that tests ignores them."""
    heed_interrupts = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, "-m", "hipdet", name, *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, env=of_checkout(), preexec_fn=heed_interrupts, **options)


def run_python(*arguments, cwd, timeout=600, **environment):
    """Run Python with the hipdet of this checkout."""
    command, env = [sys.executable, *map(str, arguments)], of_checkout(**environment)
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)


def of_checkout(**environment):
    """Environment variables with which Python finds the hipdet of this checkout.

    One thread: results don't depend on the machine, and tests can run in parallel.
    """
    checkout = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return {**os.environ, **checkout, **{key: str(value) for key, value in environment.items()}}


def run_tool_here(name, *arguments, cwd):
    """As run_tool, but in this process: many times faster, for tests that don't need a process."""
    out, err, before, code = io.StringIO(), io.StringIO(), Path.cwd(), 0
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main([name, *map(str, arguments)])
    except SystemExit as exit:
        code = exit.code or 0
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess([name, *arguments], code, out.getvalue(), err.getvalue())


def mmcv_is_lite():
    """Whether this environment's mmcv lacks its compiled extension."""
    import mmcv._ext

    return type(mmcv._ext).__name__ == "ExtensionModule"
