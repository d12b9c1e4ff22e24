"""Origins of pages and apps, written the way browsers write them."""

from __future__ import annotations

from yarl import URL

DEFAULT_PORTS = (":80", ":443")


def origin_of(raw: str) -> str:
    """`https://chat.example`: lower case, no default port, no slash. Raises `ValueError`."""
    if raw.lower() == "file://":
        return "file://"
    try:
        url = URL(raw)
        found = str(url.origin())
    except ValueError:
        raise ValueError(
            f"{raw!r} is not of the form scheme://host or scheme://host:port"
        ) from None
    if url.user is not None or url.path not in ("", "/") or url.query_string or url.fragment:
        raise ValueError(f"{raw!r} is more than an origin: write {found}")
    if not found.isascii() or set(found) & set(" ;*,'\"<>\\"):
        raise ValueError(f"{raw!r} is not an origin")
    return found


def same_host(origin: str, host: str) -> bool:
    """Whether the page of an `origin_of` is of the host that a `Host` header names. The scheme is
    the proxy's, which may speak TLS for us, so the default port of either counts as none."""
    host = host.lower()
    for port in DEFAULT_PORTS:
        host = host.removesuffix(port)
    return origin.partition("://")[2] == host
