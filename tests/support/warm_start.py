"""Commands in processes that start with torch and mmdet imported: the import is most of what a short command takes.

A server for each test process imports the libraries once and forks for every command.  What runs is a process of its
own, with its own working directory, environment, streams and end, as one that a user starts; only the import isn't repeated.
"""

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from places import REPOSITORY

# the plugin first: mmcv-lite; torch imports _dynamo with its first optimizer
PRELOADED = ("hipdet.plugin", "mmdet.apis", "pycocotools.cocoeval", "scipy.optimize", "torch._dynamo")
_server = None


def run_warm(arguments, cwd, env, timeout):
    """Run ``hipdet ARGUMENTS``; returns what subprocess.run returns.

    Args:
        arguments: The command and its arguments.
        cwd: Where it runs.
        env: All of its environment.  What libraries read while they are imported is the server's, that of the first call.
        timeout: Seconds until it is killed and TimeoutExpired is raised.
    """
    server = _running_server(env)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("out", "err")]
        request = dict(arguments=arguments, cwd=str(cwd), env=env, files=[str(file) for file in files], timeout=timeout)
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = json.loads(server.stdout.readline())
        said = [file.read_text(encoding="utf-8") if file.exists() else "" for file in files]
    done = subprocess.CompletedProcess(["hipdet", *arguments], code, *said)
    if code is None:
        raise subprocess.TimeoutExpired(done.args, timeout, *said)
    return done


def _running_server(env):
    global _server
    if _server is None:
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        _server = subprocess.Popen([sys.executable, __file__], env=env, cwd=REPOSITORY, **pipes)
        atexit.register(_server.stdin.close)  # it ends with its input
    return _server


def serve():
    """Fork for each line of standard input and answer with the exit status, null where the time was up.

    Returns:
        In the forked process: what it is to run.
    """
    for name in PRELOADED:
        import_module(name)
    gc.freeze()  # garbage collection leaves what is shared alone
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no reply
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(request)
            return request["arguments"]
        print(json.dumps(_wait(child, request["timeout"])), file=replies, flush=True)
    return None


def _wait(child, timeout):
    over = []
    signal.signal(signal.SIGALRM, lambda *_: (over.append(child), os.killpg(child, signal.SIGKILL)))
    signal.alarm(timeout)
    _, status = os.waitpid(child, 0)
    signal.alarm(0)
    return None if over else os.waitstatus_to_exitcode(status)


def _become(request):
    """Give this process the session, environment, working directory and streams of its own."""
    os.setsid()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    for number, (path, flags) in enumerate(
        [(os.devnull, os.O_RDONLY), *((path, os.O_WRONLY | os.O_CREAT) for path in request["files"])]
    ):
        os.dup2(os.open(path, flags, 0o600), number)
    sys.stdin = os.fdopen(0, closefd=False)  # what the server has read ahead stays its own
    sys.argv = [str(REPOSITORY / "hipdet/__main__.py"), *request["arguments"]]


if __name__ == "__main__":
    arguments = serve()
    if arguments is not None:
        from hipdet.cli.main import main

        main(arguments)
