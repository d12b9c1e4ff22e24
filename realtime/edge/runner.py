"""How the server listens: on which address, and how it answers what is not HTTP.

aiohttp's parser logs a request that it cannot read with a traceback, and sends a part of it back:
the first bytes of a cookie or of a token, where these are what was too long.
"""

from __future__ import annotations

import socket
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, LineTooLong

from ..protocol import ProtocolError
from .errors import rendered
from .notices import Notices

MAX_HEADER = 32 * 1024
"""Bytes of one header, which may hold cookies of other applications on the same host."""

STOP_TIMEOUT_S = 1.0


class Listener(web.Server):
    """Makes the protocol of each connection."""

    notices: Notices

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(web.RequestHandler):
    """Says of a request that cannot be read why, and nothing of what was in it."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        refusal, why = fault(exc)
        if isinstance(self._manager, Listener):
            self._manager.notices.refused(request.remote, why)
        response = rendered(ProtocolError("bad_request", why), refusal)
        response.force_close()
        return response


def fault(error: HttpProcessingError) -> tuple[HTTPStatus, str]:
    """The status and the words for an error of the parser. Its own text quotes the request."""
    if isinstance(error, LineTooLong):
        if error.args[1] == MAX_HEADER:
            too_large = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return too_large, f"a header is larger than {MAX_HEADER // 1024} KB"
        return HTTPStatus.REQUEST_URI_TOO_LONG, "the request's URL is too long"
    if isinstance(error, BadHttpMethod):
        return HTTPStatus.BAD_REQUEST, "this is not HTTP; TLS must end at a proxy"
    return HTTPStatus.BAD_REQUEST, "the request cannot be read"


class Runner(web.AppRunner):
    """Runs an application behind a `Listener`."""

    __slots__ = ()

    def __init__(self, app: web.Application) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=STOP_TIMEOUT_S)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        listener = Listener(
            made.request_handler,
            request_factory=made.request_factory,
            loop=made._loop,
            **made._kwargs,
        )
        listener.notices = Notices()
        return listener

    async def listen(self, host: str, port: int, *, shared: bool = False) -> int:
        """Begin to listen; `shared`: other processes may do so on the same port. Returns the port.
        `::` is every address of IPv4 and IPv6. Raises `OSError`."""
        site: web.BaseSite
        if host == "::" and socket.has_dualstack_ipv6():
            family = socket.AF_INET6
            both = socket.create_server(
                (host, port), family=family, dualstack_ipv6=True, reuse_port=shared
            )
            site = web.SockSite(self, both)
        else:
            site = web.TCPSite(self, host, port, reuse_port=shared or None)
        await site.start()
        return int(self.addresses[0][1])
