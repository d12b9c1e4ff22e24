"""Which pages may speak to the server, and the requests that it does not serve."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from aiohttp import web

from ...config.origin import origin_of, same_host
from ..notices import HOUR_S, Notices

SHOWN = 200  # characters of a header in the log
REMEDY = (
    "If the page is yours and came through a proxy, let the proxy pass on the Host header "
    "unchanged, or set TRUSTED_PROXIES so that its X-Forwarded-Host counts (docs/proxies.md); "
    "if it is served from another host, add its origin to ALLOWED_ORIGINS"
)

logger = logging.getLogger(__name__)


class BadHandshake(Exception):
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
        self._anyone = "*" in listed
        self._listed = {origin_of(origin) for origin in listed if origin != "*"}
        self._credentials = credentials and not self._anyone
        self._notices = Notices(HOUR_S)

    def headers(self, request: web.Request) -> dict[str, str]:
        """The CORS headers for the page that asks. Raises `BadHandshake` for one of elsewhere."""
        origin = request.headers.get("Origin")
        if origin is None:
            return {}
        if not (self._anyone or self._known(origin, request.host)):
            self._refuse(shown(origin), shown(request.host))
        headers = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if self._credentials:
            headers["Access-Control-Allow-Credentials"] = "true"
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = "OPTIONS, GET, POST"
            if asked := request.headers.get("Access-Control-Request-Headers"):
                headers["Access-Control-Allow-Headers"] = asked
        return headers

    def _known(self, origin: str, host: str) -> bool:
        try:
            page = origin_of(origin)
        except ValueError:
            return False
        return page in self._listed or same_host(page, host)

    def _refuse(self, origin: str, host: str) -> None:
        """Tell the operator, who may have meant to let the page in. Raises `BadHandshake`."""
        why = f"the page's origin is {origin}, but it asked for the host {host}"
        if self._notices.due(origin, host):
            logger.warning("refused: %s. %s", why, REMEDY)
        raise BadHandshake(4, f"Forbidden: {why}. {REMEDY}.", 403)


def shown(header: str) -> str:
    """A header as it may stand in a log line and in JSON: cut, and ASCII only."""
    return header[:SHOWN].encode("ascii", "backslashreplace").decode()
