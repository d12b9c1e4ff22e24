"""Fetch an address that a model or a user named, without reaching what only we can reach.

from .fetch import fetch

@tool
async def read_page(url: str) -> str:
    "The text of a page."
    return (await fetch(url)).text()
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from .context import ToolError

MAX_REDIRECTS = 5
NAT64 = IPv6Network("64:ff9b::/96")


class Fetched(msgspec.Struct, frozen=True):
    """What came. `whole` is false where it was cut at the bound."""

    url: str
    status: int
    content_type: str
    charset: str
    body: bytes
    whole: bool

    def text(self) -> str:
        try:
            return self.body.decode(self.charset, "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")


async def fetch(
    url: str,
    *,
    max_bytes: int = 1_000_000,
    timeout_s: float = 15.0,
    headers: dict[str, str] | None = None,
    networks: Sequence[str] = (),
) -> Fetched:
    """GET it, over HTTP or HTTPS, from public addresses only.

    The address that was checked is the one that is connected to, for each redirect anew.
    `networks`: others that may be reached too, such as "10.1.0.0/16". `headers` are sent to
    the first host alone. Raises `ToolError`.
    """
    allowed = _Allowed(networks)
    connector = aiohttp.TCPConnector(resolver=allowed, use_dns_cache=False)
    try:
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as http:
            target = URL(url)
            origin = target.origin() if target.absolute else None
            for _ in range(MAX_REDIRECTS + 1):
                allowed.check(target)
                own = headers if target.origin() == origin else None
                async with http.get(target, headers=own, allow_redirects=False) as response:
                    location = response.headers.get("Location")
                    if response.status not in (301, 302, 303, 307, 308) or location is None:
                        return await _read(response, max_bytes)
                    target = target.join(URL(location))
        raise ToolError(f"more than {MAX_REDIRECTS} redirects", "fetch_failed")
    except TimeoutError:
        raise ToolError(f"no answer within {timeout_s:g} s", "fetch_failed") from None
    except (aiohttp.ClientError, ValueError, OSError) as error:
        while error.__cause__ is not None and not isinstance(error, _Refused):
            error = error.__cause__  # type: ignore[assignment]
        if isinstance(error, _Refused):
            raise ToolError(str(error), "address_refused") from None
        raise ToolError(f"it cannot be fetched: {type(error).__name__}", "fetch_failed") from None


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> Fetched:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ToolError("the answer is compressed, although that was not requested", "fetch_failed")
    body = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > max_bytes:
            break
    return Fetched(
        url=str(response.url),
        status=response.status,
        content_type=response.content_type,
        charset=response.charset or "utf-8",
        body=bytes(body[:max_bytes]),
        whole=len(body) <= max_bytes,
    )


class _Refused(OSError):
    """Not to be reached."""


class _Allowed(AbstractResolver):
    """Names resolve to addresses that may be reached, or not at all."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(network) for network in networks]
        self._resolver = aiohttp.ThreadedResolver()

    def check(self, url: URL) -> None:
        """What no resolver is asked: the scheme, and a host that is an address."""
        if url.scheme not in ("http", "https") or not url.host:
            raise _Refused("only http:// and https:// addresses can be fetched")
        if url.user or url.password:
            raise _Refused("an address with a user or a password in it is not fetched")
        try:
            ip_address(url.host)
        except ValueError:
            return
        self._admit(url.host)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for item in found:
            self._admit(item["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()

    def _admit(self, address: str) -> None:
        ip = ip_address(address.partition("%")[0])
        if not is_public(ip) and not any(ip in network for network in self._networks):
            raise _Refused("this address is not public, and is not fetched")


def is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Whether anybody on the internet could reach it; also that which an IPv6 address wraps."""
    if isinstance(ip, IPv6Address):
        low = IPv4Address(int(ip) & 0xFFFFFFFF)
        wrapped = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        wrapped.append(low if ip in NAT64 or int(ip) >> 32 == 0 else None)
        if not all(is_public(inner) for inner in wrapped if inner is not None):
            return False
        if ip.ipv4_mapped is not None:
            return True
    return ip.is_global and not ip.is_multicast
