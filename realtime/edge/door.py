"""Who asks, behind the proxies that we trust, and whether a new socket may come in now."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

from aiohttp import web

from ..limits.buckets import Buckets, rate_limited
from ..limits.memory import Memory
from ..live.errors import draining, storage_unavailable
from .errors import overloaded
from .notices import Notices

logger = logging.getLogger(__name__)


def as_seen(request: web.Request, proxies: int) -> web.Request:
    """The request as the outermost of our proxies saw it: from which address, for which host.

    Each proxy adds who asked it at the right end of X-Forwarded-For; what stands before
    the entries of ours anybody may have written.
    """
    if not proxies:
        return request
    remote = nth(request, "X-Forwarded-For", proxies)
    host = nth(request, "X-Forwarded-Host", proxies)
    scheme = nth(request, "X-Forwarded-Proto", proxies)
    return request.clone(
        remote=address(remote) or request.remote or "",
        host=host or request.host,
        scheme=scheme if scheme in ("http", "https") else request.scheme,
    )


def nth(request: web.Request, header: str, place: int) -> str:
    """The `place`-th entry from the right, or the leftmost where there are fewer."""
    entries = ",".join(request.headers.getall(header, ())).split(",")
    return entries[-min(place, len(entries))].strip()


def address(entry: str) -> str | None:
    """The address in an entry that may have a port too."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        return str(ip_address(entry))
    except ValueError:
        return None


class Door:
    """What is asked before the handshake of a new socket. Stock clients come back after it."""

    def __init__(
        self,
        connects: Buckets,
        memory: Memory,
        draining: Callable[[], bool],
        away: Callable[[], bool],
        *,
        spare_loopback: bool,
    ) -> None:
        self._connects = connects
        self._memory = memory
        self._draining = draining
        self._away = away
        self._spare_loopback = spare_loopback
        self._notices = Notices()

    def check(self, request: web.Request) -> None:
        """Raises `draining`, `storage_unavailable`, `overloaded`, `rate_limited`."""
        if self._draining():
            raise draining()
        if self._away():  # another worker may have the log
            raise storage_unavailable()
        if self._memory.tight:
            raise overloaded()
        caller = request.remote or ""
        if self._spare_loopback and local(caller):
            return
        if wait := self._connects.take(network(caller)):
            if self._notices.due(caller):
                logger.warning(
                    "too many connections from one address; if it is a proxy, set TRUSTED_PROXIES",
                    extra={"remote": caller},
                )
            raise rate_limited("too many connections from your address", wait)


def network(caller: str) -> str:
    """The address, or of an IPv6 one the network that one subscriber has."""
    try:
        ip = ip_address(caller.partition("%")[0])
    except ValueError:
        return caller
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or ip_network((int(ip), 64), strict=False))
    return str(ip)


def local(caller: str) -> bool:
    try:
        return ip_address(caller.removeprefix("::ffff:")).is_loopback
    except ValueError:
        return False
