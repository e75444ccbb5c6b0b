"""The page and its data over HTTP, as a WSGI application."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any

from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from hipdet.annotation.guard import HEADERS, OPEN_AGAIN, Guard
from hipdet.annotation.journal import StorageError
from hipdet.annotation.label_store import StaleRevision
from hipdet.annotation.session import Session
from hipdet.errors import DatasetError, RadiographError

LARGEST_CHANGE = 64 * 1024  # bytes; a hundred boxes have 10
SIDES = (256, 8192)  # px, of pictures that are asked for
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
    """Answers the page of `session`; `guard` says to whom."""

    def __init__(self, session: Session, guard: Guard) -> None:
        self.session, self.guard = session, guard
        self._parts = {part.name: part.read_bytes() for part in files("hipdet.annotation").joinpath("page").iterdir()}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """WSGI."""
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
            return _json({"error": str(error), "film": self.session.described(error.current)}, 409)
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
        try:
            record = json.loads(request.get_data())
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"not JSON: {error}") from error
        return _json(self.session.change(request.args.get("name", ""), record))

    def _picture(self, request: Request) -> Response:
        side = request.args.get("side", type=int)
        if side is not None and not SIDES[0] <= side <= SIDES[1]:
            raise BadRequest(f"side is {side}, expected {SIDES[0]} to {SIDES[1]} px, or none for the whole film")
        picture = self.session.films.picture(request.args.get("name", ""), side)
        width, height = map(str, picture.size)
        return Response(picture.jpeg, mimetype="image/jpeg", headers={"X-Film-Width": width, "X-Film-Height": height})


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), status, mimetype="application/json")
