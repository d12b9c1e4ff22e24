"""Which pages may speak to the server, and the requests that it does not serve."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp import web


class Refused(Exception):
    """An HTTP request that is not served; codes as in the reference implementation."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message}


class Origins:
    """A request without an Origin is no page's and passes; one with it has to be of our own
    host or listed. `"*"` lists everyone, and then no page gets to use the user's cookies.
    """

    def __init__(self, listed: Sequence[str], credentials: bool) -> None:
        self._listed = listed
        self._anyone = "*" in listed
        self._credentials = credentials and not self._anyone

    def headers(self, request: web.Request) -> dict[str, str]:
        """The CORS headers for the page that asks. Raises `Refused` for one of elsewhere."""
        origin = request.headers.get("Origin")
        if origin is None:
            return {}
        if not (self._anyone or origin in self._listed or self._own(request, origin)):
            raise Refused(4, "Forbidden: the page's origin is not allowed here", 403)
        headers = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if self._credentials:
            headers["Access-Control-Allow-Credentials"] = "true"
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = "OPTIONS, GET, POST"
            if asked := request.headers.get("Access-Control-Request-Headers"):
                headers["Access-Control-Allow-Headers"] = asked
        return headers

    def _own(self, request: web.Request, origin: str) -> bool:
        """By host and port; the scheme is the proxy's, which may speak TLS for us."""
        try:
            return urlsplit(origin).netloc.lower() == request.host.lower()
        except ValueError:
            return False
