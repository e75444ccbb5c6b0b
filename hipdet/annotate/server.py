"""The page and its data over HTTP, as a WSGI application that answers only the browser that was given its address.

The server listens on this machine only, but every program and every web page that is open on it can reach the server.  So
the printed address contains a secret, which becomes a cookie; the Host header must name this machine (otherwise a foreign
name could resolve to it); changes must come from the page itself and be JSON, which other sites can't send.
"""

from __future__ import annotations

import json
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from importlib.resources import files
from types import FrameType
from typing import Any

from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound, UnsupportedMediaType
from werkzeug.routing import Map, Rule
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from hipdet.annotate.labels import StaleRevision
from hipdet.annotate.session import Session
from hipdet.core.errors import DatasetError, HipdetError, RadiographError, StorageError
from hipdet.core.records import parse_json

HOSTS = ("127.0.0.1", "localhost")
OPEN_AGAIN = "Open the address that hipdet annotate shows on its terminal; it contains the key to this page."

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",  # films are patient data
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """The secret of one session, and the checks of requests against it."""

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(24)

    def check(self, request: Request) -> None:
        """Raise Forbidden or UnsupportedMediaType for a request that isn't the page's."""
        self.check_host(request)
        if not secrets.compare_digest(request.cookies.get(self._cookie(request), "").encode(), self.key.encode()):
            raise Forbidden(OPEN_AGAIN)
        if request.method not in ("GET", "HEAD"):
            if request.headers.get("Origin") != f"http://{request.host}":
                raise Forbidden("changes are accepted from this page only")
            if request.mimetype != "application/json":
                raise UnsupportedMediaType("expected application/json")

    @staticmethod
    def check_host(request: Request) -> None:
        """Raise Forbidden unless the request was addressed to this machine and port."""
        name, _, port = request.host.partition(":")
        if name not in HOSTS or port != request.environ["SERVER_PORT"]:
            raise Forbidden(f"{request.host!r} is not the address of this page")

    def admits(self, request: Request) -> bool:
        """Whether the requested address contains the key."""
        return secrets.compare_digest(request.args.get("key", "").encode(), self.key.encode())

    def admit(self, request: Request, response: Response) -> None:
        """Give the browser the cookie, so that the key doesn't stay in the address.

        Lax: links of a report open films of the page; what other sites load or send comes without the cookie.
        """
        response.set_cookie(self._cookie(request), self.key, httponly=True, samesite="Lax")

    @staticmethod
    def _cookie(request: Request) -> str:
        return f"hipdet_{request.environ['SERVER_PORT']}"  # the ports of a host share their cookies


LARGEST_CHANGE = 64 * 1024  # bytes; a hundred boxes take 10 kB
SIDES = (256, 8192)  # px, limits of the long side that may be requested
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

ROUTES = Map(
    [
        Rule("/", endpoint="page", methods=["GET"]),
        Rule("/page/<name>", endpoint="part", methods=["GET"]),
        Rule("/api/overview", endpoint="overview", methods=["GET"]),
        Rule("/api/news", endpoint="news", methods=["GET"]),
        Rule("/api/film", endpoint="film", methods=["GET"]),
        Rule("/api/film", endpoint="change", methods=["POST"]),
        Rule("/api/picture", endpoint="picture", methods=["GET"]),
    ]
)


class App:
    """Serves the page of `session` to requests that `guard` admits."""

    def __init__(self, session: Session, guard: Guard) -> None:
        self.session, self.guard = session, guard
        self._parts = {part.name: part.read_bytes() for part in files("hipdet.annotate").joinpath("page").iterdir()}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request (the interface of WSGI)."""
        request = Request(environ)
        request.max_content_length = LARGEST_CHANGE
        response = self._answer(request)
        response.headers.extend(HEADERS)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            endpoint, values = ROUTES.bind_to_environ(request.environ).match()
            if endpoint != "page":
                self.guard.check(request)
            answer: Response = getattr(self, f"_{endpoint}")(request, **values)
            return answer
        except StaleRevision as error:
            return _json({"error": str(error), "film": self.session.described(error.film)}, 409)
        except RadiographError as error:
            return _json({"error": error.reason}, 422)
        except DatasetError as error:
            return _json({"error": str(error)}, 400)
        except StorageError as error:
            return _json({"error": str(error)}, 507)
        except HTTPException as error:
            return _json({"error": error.description}, error.code or 500)

    def _page(self, request: Request) -> Response:
        self.guard.check_host(request)
        if self.guard.admits(request):
            response = redirect("/")
            self.guard.admit(request, response)
            return response
        try:
            self.guard.check(request)
        except Forbidden:
            return Response(OPEN_AGAIN, 403, mimetype="text/plain")
        return self._part(request, "index.html")

    def _part(self, request: Request, name: str) -> Response:
        if name not in self._parts:
            raise NotFound("no such part of the page")
        return Response(self._parts[name], mimetype=KINDS[name[name.rindex(".") :]])

    def _overview(self, request: Request) -> Response:
        return _json(self.session.overview())

    def _news(self, request: Request) -> Response:
        return _json(self.session.news())

    def _film(self, request: Request) -> Response:
        return _json(self.session.film(request.args.get("name", "")))

    def _change(self, request: Request) -> Response:
        record = parse_json(request.get_data(), "the change", "a state with its revision")
        return _json(self.session.change(request.args.get("name", ""), record))

    def _picture(self, request: Request) -> Response:
        side = request.args.get("side", type=int)
        if side is not None and not SIDES[0] <= side <= SIDES[1]:
            raise BadRequest(f"side is {side}, expected {SIDES[0]} to {SIDES[1]} px, or none for the whole film")
        jpeg, size = self.session.films.picture(request.args.get("name", ""), side)
        width, height = map(str, size)
        return Response(jpeg, mimetype="image/jpeg", headers={"X-Film-Width": width, "X-Film-Height": height})


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), status, mimetype="application/json")


HOST = "127.0.0.1"
LAST_PORT = 65535


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Log nothing, to keep names of films out of logs."""


def bind(session: Session, port: int) -> tuple[BaseWSGIServer, str]:
    """Create a server on `port` (0 for a free one); returns it and the address that opens its page.

    Raises:
        HipdetError: the port can't be used, or isn't a port number.
    """
    if not 0 <= port <= LAST_PORT:
        raise HipdetError(f"--port {port}: expected 1 to {LAST_PORT}, or 0 for a free one")
    guard = Guard()
    try:
        with socket.create_server(
            (HOST, port)
        ) as own:  # a server that binds its socket itself asks for the host's name
            app, fd = App(session, guard), own.fileno()
            server = make_server(HOST, port, app, threaded=True, request_handler=_Quiet, fd=fd)
    except OSError as error:
        raise HipdetError(f"--port {port}: can't be used: choose another, or 0 for a free one") from error
    return server, f"http://{HOST}:{server.port}/?key={guard.key}"


def serve(server: BaseWSGIServer, ready: Callable[[], None]) -> None:
    """Call `ready`, then serve until the process is interrupted or terminated."""

    def stop(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()  # shutdown waits for the loop in this thread

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ready()
        server.serve_forever(poll_interval=0.1)
    finally:
        server.server_close()
        for number, handler in previous.items():
            signal.signal(number, handler)
