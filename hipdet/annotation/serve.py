"""The server of the page: this machine only, a thread per request."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from hipdet.annotation.app import App
from hipdet.annotation.guard import Guard
from hipdet.annotation.session import Session
from hipdet.errors import HipdetError

HOST = "127.0.0.1"
LAST_PORT = 65535


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Names of films stay out of logs."""


def bind(session: Session, port: int) -> tuple[BaseWSGIServer, str]:
    """A server on `port`, 0 for any free one, and the address that opens its page.

    Raises:
        HipdetError: the port is taken, or none.
    """
    if not 0 <= port <= LAST_PORT:
        raise HipdetError(f"--port {port}: expected 1 to {LAST_PORT}, or 0 for a free one")
    guard = Guard()
    try:
        server = make_server(HOST, port, App(session, guard), threaded=True, request_handler=_Quiet)
    except (SystemExit, OSError) as error:  # werkzeug prints that the port is in use and exits
        raise HipdetError(f"--port {port}: can't be used: choose another, or 0 for a free one") from error
    return server, f"http://{HOST}:{server.server_port}/?key={guard.key}"


def serve(server: BaseWSGIServer, ready: Callable[[], None]) -> None:
    """Call `ready`, then serve until the process is interrupted or terminated."""

    def stop(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()  # it waits for the loop, which runs here

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ready()
        server.serve_forever(poll_interval=0.1)
    finally:
        server.server_close()
        for number, handler in previous.items():
            signal.signal(number, handler)
