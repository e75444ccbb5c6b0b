"""Who may talk to the page's server: the browser that was given its address, and no page of another site.

The server listens on this machine only, but every program and every web page that is open here can reach it.  So the
address on the terminal carries a secret, which becomes a cookie; the Host must be this machine (else a foreign name could
be pointed at it); changes must come from the page itself and be JSON, which other sites can't send.
"""

from __future__ import annotations

import secrets

from werkzeug.exceptions import Forbidden, UnsupportedMediaType
from werkzeug.wrappers import Request, Response

HOSTS = ("127.0.0.1", "localhost")
OPEN_AGAIN = "Open the address that tools/annotate.py shows on its terminal; it holds the key to this page."

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
    """The secret of one session."""

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(24)

    def check(self, request: Request) -> None:
        """Raise Forbidden or UnsupportedMediaType for a request that isn't the page's."""
        self.check_host(request)
        if not secrets.compare_digest(request.cookies.get(self._cookie(request), "").encode(), self.key.encode()):
            raise Forbidden(OPEN_AGAIN)
        if request.method not in ("GET", "HEAD"):
            if request.headers.get("Origin") != f"http://{request.host}":
                raise Forbidden("changes are taken from this page only")
            if request.mimetype != "application/json":
                raise UnsupportedMediaType("changes are JSON")

    @staticmethod
    def check_host(request: Request) -> None:
        """Raise Forbidden unless the address was this machine's."""
        name, _, port = request.host.partition(":")
        if name not in HOSTS or port != request.environ["SERVER_PORT"]:
            raise Forbidden(f"{request.host!r} is not the address of this page")

    def admits(self, request: Request) -> bool:
        """Whether the address holds the key."""
        return secrets.compare_digest(request.args.get("key", "").encode(), self.key.encode())

    def admit(self, request: Request, response: Response) -> None:
        """Give the browser the cookie, so that the key doesn't stay in the address."""
        response.set_cookie(self._cookie(request), self.key, httponly=True, samesite="Strict")

    @staticmethod
    def _cookie(request: Request) -> str:
        return f"hipdet_{request.environ['SERVER_PORT']}"  # cookies don't tell ports apart
