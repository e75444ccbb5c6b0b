"""Tools on two gloo ranks on the CPU of this machine."""

import os
import socket
import subprocess
import sys

from places import REPOSITORY


def free_port():
    """A port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def run_distributed(script, *arguments, cwd):
    """Run dist_train.sh or dist_test.sh."""
    return subprocess.run(
        ["bash", str(REPOSITORY / "tools" / script), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PORT": free_port(), "OMP_NUM_THREADS": "1", "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=600,
    )
