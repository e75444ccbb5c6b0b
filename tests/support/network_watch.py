"""What processes send, from their system calls: libraries in native code pass Python's sockets by."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from ipaddress import ip_address

import pytest

from places import REPOSITORY

CALLS = "connect,sendto,sendmsg,sendmmsg"
CALL = re.compile(r"^\d+ +(?:connect|send\w+)\(.*?sa_family=(AF_\w+)(.*)", re.MULTILINE)
ADDRESS = re.compile(r'inet_addr\("([^"]+)"|inet_pton\(AF_INET6, "([^"]+)"')
INSIDE = ("AF_UNIX", "AF_NETLINK", "AF_UNSPEC")  # this machine: its sockets and its kernel
# a network with nothing but its own loopback, so that what is sent gets nowhere, and no file with names of machines, as in
# the least of containers, so that whatever asks for a name has to send
ALONE = ["unshare", "--net", "--mount", "--map-root-user"]
LONELY = """
import fcntl, os, socket, struct, subprocess, sys
subprocess.run(["mount", "--bind", "/dev/null", "/etc/hosts"], check=True)
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
os.execvp(sys.argv[1], sys.argv[1:])
"""
# runs a script as `python SCRIPT` does, and stays for as long as what it left in the background may take to send
LASTING = """
import runpy, sys, time
seconds, *sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    time.sleep(float(seconds))
"""


class Watched:
    """Python with `arguments` in `folder`, watched.

    Its home is new, and its environment has no more than a plain shell's: no CI, and none of hipdet's switches.
    """

    def __init__(self, folder, *arguments, **environment):
        if not shutil.which("strace"):
            pytest.skip("no strace on PATH, which shows the system calls: apt-get install strace")
        self.home, self._trace = folder / "home", folder / "calls.txt"
        self.home.mkdir()
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.home), "OMP_NUM_THREADS": "1"}
        env |= {"PYTHONPATH": str(REPOSITORY), **{key: str(value) for key, value in environment.items()}}
        strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(self._trace)]
        command = [*strace, sys.executable, *map(str, arguments)]
        if can_be_alone():
            command = [*ALONE, sys.executable, "-c", LONELY, *command]
        self._said = (folder / "said.txt").open("w+")
        self.process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=self._said, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def sent(self):
        """The calls so far that are addressed to anything but this machine."""
        calls = CALL.finditer(self._trace.read_text() if self._trace.exists() else "")
        return [call[0] for call in calls if not inside(call[1], call[2])]

    def files(self):
        """The files in its home."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file())

    def finish(self, seconds=300):
        """Wait for its end; returns its exit status and what it said."""
        try:
            code = self.process.wait(seconds)
        finally:
            self.end()
        self._said.seek(0)
        return code, self._said.read()

    def end(self):
        """Kill it and what it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def until_it_sends(self, seconds=90):
        """Wait until it sends something, then end it; returns how many seconds it took, None if it never did."""
        start = time.monotonic()
        while not self.sent() and time.monotonic() < start + seconds:
            if self.process.poll() is not None and not self.sent():
                return None
            time.sleep(0.1)
        took = time.monotonic() - start
        self.end()
        return took if self.sent() else None


def inside(family, rest):
    """Whether a call's address, as strace prints it, is on this machine."""
    if family in INSIDE:
        return True
    address = ADDRESS.search(rest)
    if not address:
        return False
    parsed = ip_address(address[1] or address[2])
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


@cache
def can_be_alone():
    """Whether a process may have a network of its own, without a way out."""
    return bool(shutil.which("unshare")) and _runs([*ALONE, sys.executable, "-c", LONELY, "true"])


def _runs(command):
    return subprocess.run(command, capture_output=True).returncode == 0
