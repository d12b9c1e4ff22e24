"""Where the engine is, and how to get in."""

from __future__ import annotations

import ssl
from typing import Self
from urllib.parse import unquote, urlsplit

import msgspec

PORT = 6379


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """`verify`: whether the engine's certificate is checked, where `tls` is on."""

    host: str
    port: int = PORT
    user: str = ""
    password: str = ""
    db: int = 0
    tls: bool = False
    verify: bool = True

    def __repr__(self) -> str:
        return f"Address({self.label})"

    @classmethod
    def parse(cls, url: str, *, verify: bool = True) -> Self:
        """From `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, or the same with `rediss://` for TLS.
        User and password may be percent-encoded. Raises ValueError, which does not repeat the
        URL."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(
                "the engine's URL is malformed: percent-encode signs such as / and @ in its "
                "password, and write its port as a number"
            ) from None
        if parts.scheme not in ("redis", "rediss"):
            raise ValueError("the engine's URL must begin with redis:// or rediss://")
        if not parts.hostname or port == 0:
            raise ValueError("the engine's URL names no host or port: write redis://HOST:PORT")
        if parts.query or parts.fragment:
            raise ValueError(
                "the engine's URL has something behind a ? or a #, which would be ignored: a "
                "database is /DB, and VALKEY_TLS says how certificates are checked"
            )
        db = parts.path.strip("/")
        if db and not (db.isascii() and db.isdecimal()):
            raise ValueError("the engine's URL must end with its port or /DB, a number such as /0")
        return cls(
            host=parts.hostname,
            port=port or PORT,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            db=int(db or 0),
            tls=parts.scheme == "rediss",
            verify=verify,
        )

    @property
    def label(self) -> str:
        """For messages: host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def context(self) -> ssl.SSLContext | None:
        """For TLS; reading the system's certificates takes some 20 ms."""
        if not self.tls:
            return None
        context = ssl.create_default_context()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
