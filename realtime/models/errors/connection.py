"""Why no connection came about, in words for the operator.

The client's transport reports a refused connection, a wrong certificate and a name without an
address all as time-outs. Only their causes tell them apart.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2

from .. import ErrorKind, ModelError
from .failure import failure
from .words import detail, redacted

_CERTIFICATE = {
    9: "is not valid yet: is the clock of this machine right?",
    10: "has expired",
    18: "is self-signed: to trust it, name its file in SSL_CERT_FILE",
    19: "comes from an unknown authority: to trust it, name its file in SSL_CERT_FILE",
    20: "comes from an unknown authority: to trust it, name its file in SSL_CERT_FILE",
    21: "cannot be verified: the server does not send its intermediate certificates",
    23: "was revoked",
    62: "is for another name",
    64: "is for another address",
}
_ERRNO = {
    errno.ECONNREFUSED: "refused the connection: nothing listens there",
    errno.ECONNRESET: "reset the connection",
    errno.ECONNABORTED: "reset the connection",
    errno.EPIPE: "closed the connection",
    errno.ETIMEDOUT: "did not accept the connection in time",
    errno.EHOSTUNREACH: "cannot be reached: there is no route to it",
    errno.ENETUNREACH: "cannot be reached: there is no route to it",
    errno.EHOSTDOWN: "cannot be reached: it is down",
    errno.EADDRNOTAVAIL: "cannot be reached: this machine has no address for it",
    errno.EACCES: "cannot be reached: this machine does not allow the connection",
    errno.EPERM: "cannot be reached: this machine does not allow the connection",
    errno.EMFILE: "cannot be reached: this process has too many files open",
}


def connection_failure(error: BaseException) -> ModelError:
    """What kept us from an answer; `detail` names the cause."""
    causes = causes_of(error)
    proxy = any(isinstance(cause, aiohttp.ClientHttpProxyError) for cause in causes)
    kind: ErrorKind = "unavailable"
    if any(isinstance(cause, TimeoutError) for cause in causes):
        kind = "timeout"
    elif any(isinstance(cause, aiohttp.ClientResponseError) for cause in causes) and not proxy:
        kind = "malformed"  # whatever answered does not speak HTTP
    return failure(kind, detail=detail([_told(causes)]))


def causes_of(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from, the outermost first."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and len(causes) < 20:
        causes.append(cause)
    return causes


def _told(causes: list[BaseException]) -> str:
    url = _url(causes)
    proxy = _Proxy.of(url)
    if proxy and proxy.scheme.startswith("socks"):
        return (
            f"{proxy} is a SOCKS proxy, which is not supported: "
            "set an HTTP proxy, or list the host in NO_PROXY"
        )
    target = _target(causes, url, proxy)
    for cause in reversed(causes):
        if isinstance(cause, aiohttp.ClientHttpProxyError):
            what = "asks for a user and a password" if cause.status == 407 else "refused"
            return f"the proxy {proxy or target} {what} (HTTP {cause.status})"
        if said := _cause(cause, target):
            return said
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return f"{target} did not answer in time"
    last = causes[-1]
    return f"{target}: {type(last).__name__}: {redacted(str(last))}".rstrip(": ")


def _cause(cause: BaseException, target: str) -> str | None:
    match cause:
        case ssl.SSLCertVerificationError():
            why = _CERTIFICATE.get(cause.verify_code)
            return f"the certificate of {target} {why or 'is refused: ' + cause.verify_message}"
        case ssl.SSLError() if cause.reason == "WRONG_VERSION_NUMBER":
            return f"{target} does not speak TLS: its address may begin with http://"
        case ssl.SSLError():
            reason = (cause.reason or str(cause)).replace("_", " ").lower()
            return f"TLS with {target} failed: {reason}"
        case socket.gaierror(errno=socket.EAI_AGAIN):
            return f"no name server answers for {target} (DNS)"
        case socket.gaierror():
            return f"the host {target} is unknown (DNS)"
        case UnicodeError():
            return f"{target} is not a valid host name"
        case ValueError() if "for proxy URL" in str(cause):
            return f"{cause}: HTTP_PROXY, HTTPS_PROXY and ALL_PROXY name HTTP proxies"
        case FileNotFoundError() if file := os.environ.get("SSL_CERT_FILE"):
            return f"SSL_CERT_FILE names a file that cannot be read: {file}"
        case aiohttp.ServerDisconnectedError():
            return f"{target} closed the connection without an answer"
        case aiohttp.SocketTimeoutError():
            return f"{target} sent nothing in time"
        case aiohttp.ConnectionTimeoutError():
            return f"{target} did not accept the connection in time"
        case aiohttp.ClientResponseError():
            return f"{target} does not speak HTTP"
        case httpx2.UnsupportedProtocol() | aiohttp.InvalidURL():
            return f"{target} is not an address that begins with http:// or https://"
        case aiohttp.ClientError():
            return None  # it repeats the number of its cause
        case OSError(errno=number) if number in _ERRNO:
            return f"{target} {_ERRNO[number]}"
    return None


class _Proxy(NamedTuple):
    url: SplitResult
    source: str

    @classmethod
    def of(cls, url: str) -> _Proxy | None:
        """The proxy that requests for this address go through, as the client chooses it."""
        parts = urlsplit(url)
        proxies = getproxies()
        for scheme in (parts.scheme, "all"):
            if parts.hostname and (value := proxies.get(scheme)):
                if proxy_bypass(parts.hostname):
                    return None
                name = f"{scheme}_proxy"
                set_as = next((n for n in (name.upper(), name) if os.environ.get(n) == value), None)
                full = value if "://" in value else f"http://{value}"
                return cls(urlsplit(full), set_as or "the system's settings")
        return None

    @property
    def scheme(self) -> str:
        return self.url.scheme.lower()

    @property
    def address(self) -> str:
        return _address(self.url)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address} (from {self.source})"


def _address(url: SplitResult) -> str:
    host = url.hostname or "?"
    try:
        port = url.port or {"https": 443}.get(url.scheme, 80)
    except ValueError:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _target(causes: list[BaseException], url: str, proxy: _Proxy | None) -> str:
    """Who did not answer: the server or the proxy."""
    for cause in causes:
        if isinstance(cause, aiohttp.ClientConnectorError):
            host = f"[{cause.host}]" if ":" in cause.host else cause.host
            address = f"{host}:{cause.port}"
            if proxy and proxy.address == address:
                return f"the proxy {proxy}"
            return address
    if proxy:
        return f"the proxy {proxy}"
    if any(isinstance(cause, httpx2.UnsupportedProtocol | aiohttp.InvalidURL) for cause in causes):
        return url or "the address"
    return _address(urlsplit(url)) if url else "the provider"


def _url(causes: list[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, aiohttp.ClientResponseError):
            return str(cause.request_info.real_url)
        request = vars(cause).get("request")  # openai has it there
        if isinstance(request, httpx2.Request):
            return str(request.url)
    return ""
