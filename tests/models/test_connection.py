"""Why no connection came about: provoked with the client that talks to providers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from openai import AsyncOpenAI, DefaultAioHttpClient

from realtime.models import ModelError
from realtime.models.errors import connection_failure

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Listen = Callable[..., Awaitable[int]]
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    servers: list[asyncio.Server] = []

    async def listen(answer: Answer, tls: ssl.SSLContext | None = None) -> int:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer):
                await answer(reader, writer)

        servers.append(await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls))
        return int(servers[-1].sockets[0].getsockname()[1])

    yield listen
    for server in servers:
        server.close()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    await writer.drain()


async def refuse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int = 407
) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
    await writer.drain()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def context(
    folder: Path, name: str = "localhost", begins: int = -1, ends: int = 1
) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that is valid between these days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.9"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + timedelta(days=begins))
        .not_valid_after(now + timedelta(days=ends))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(private)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return tls


async def failing(url: str, connect_s: float = 10) -> ModelError:
    """What comes of a request to this address."""
    async with AsyncOpenAI(
        api_key="sk-test-do-not-leak",
        base_url=url,
        max_retries=0,
        timeout=httpx2.Timeout(None, connect=connect_s),
        http_client=DefaultAioHttpClient(),
    ) as client:
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await client.models.with_raw_response.list()
        return connection_failure(caught.value)


async def told(url: str, kind: str = "unavailable") -> str:
    error = await failing(url)
    assert error.kind == kind
    assert error.detail not in error.message
    return error.detail


async def test_nobody_listens() -> None:
    port = free_port()
    detail = await told(f"http://127.0.0.1:{port}/v1")
    assert detail == f"127.0.0.1:{port} refused the connection: nothing listens there"


async def test_a_name_without_an_address() -> None:
    detail = await told("http://no-such-host.invalid/v1")
    assert "no-such-host.invalid:80" in detail
    assert "(DNS)" in detail


async def test_a_name_that_is_none() -> None:
    detail = await told(f"http://{'a' * 70}.example/v1")
    assert "not a valid host name" in detail


async def test_an_address_without_a_scheme() -> None:
    assert "http:// or https://" in await told("api.example.com/v1")


async def test_no_route() -> None:
    detail = await told("http://255.255.255.255:9/v1")
    assert detail.startswith("255.255.255.255:9 cannot be reached")


async def test_a_server_that_hangs_up(listen: Listen) -> None:
    port = await listen(hang_up)
    detail = await told(f"http://127.0.0.1:{port}/v1")
    assert detail == f"127.0.0.1:{port} closed the connection without an answer"


async def test_a_server_that_resets(listen: Listen) -> None:
    port = await listen(reset)
    detail = await told(f"http://127.0.0.1:{port}/v1")
    assert detail == f"127.0.0.1:{port} reset the connection"


async def test_a_server_that_speaks_something_else(listen: Listen) -> None:
    port = await listen(greet)
    detail = await told(f"http://127.0.0.1:{port}/v1", "malformed")
    assert detail == f"127.0.0.1:{port} does not speak HTTP"


async def test_a_server_without_tls(listen: Listen) -> None:
    detail = await told(f"https://127.0.0.1:{await listen(greet)}/v1")
    assert "does not speak TLS" in detail


async def test_a_server_that_never_greets(listen: Listen) -> None:
    port = await listen(nothing)
    error = await failing(f"https://127.0.0.1:{port}/v1", connect_s=0.2)
    assert error.kind == "timeout"
    assert error.detail == f"127.0.0.1:{port} did not accept the connection in time"


async def test_an_answer_that_does_not_come(listen: Listen) -> None:
    port = await listen(nothing)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.2):
            await failing(f"http://127.0.0.1:{port}/v1")
    error = connection_failure(caught.value)
    assert (error.kind, error.detail) == ("timeout", "the provider did not answer in time")


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        ({}, "is self-signed"),
        ({"begins": -9, "ends": -1}, "has expired"),
        ({"begins": 1, "ends": 9}, "is not valid yet"),
        ({"name": "other.example"}, "is for another name"),
    ],
)
async def test_a_certificate_that_is_refused(
    listen: Listen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate: dict[str, str | int],
    why: str,
) -> None:
    tls = context(tmp_path, **certificate)  # type: ignore[arg-type]
    if certificate:  # then it is not the authority that is unknown
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    port = await listen(hang_up, tls)
    detail = await told(f"https://localhost:{port}/v1")
    assert detail.startswith(f"the certificate of localhost:{port} {why}")


def test_a_file_of_certificates_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(FileNotFoundError) as caught:
        DefaultAioHttpClient()
    detail = connection_failure(caught.value).detail
    assert detail == "SSL_CERT_FILE names a file that cannot be read: /nowhere/ca.pem"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    port = free_port()
    variable = f"{scheme}_PROXY".upper()
    monkeypatch.setenv(variable, f"http://user:password@127.0.0.1:{port}")
    detail = await told(f"{scheme}://provider.example/v1")
    assert detail.startswith(f"the proxy http://127.0.0.1:{port} (from {variable}) refused")
    assert "password" not in detail


async def test_a_proxy_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://no-such-host.invalid:3128")
    detail = await told("https://provider.example/v1")
    assert "the proxy http://no-such-host.invalid:3128 (from HTTPS_PROXY)" in detail


@pytest.mark.parametrize(
    ("status", "what"),
    [(407, "asks for a user and a password"), (403, "refused"), (502, "refused")],
)
async def test_a_proxy_that_refuses(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, status: int, what: str
) -> None:
    port = await listen(partial(refuse, status=status))
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    detail = await told("https://provider.example/v1")
    proxy = f"the proxy http://127.0.0.1:{port} (from https_proxy)"
    assert detail == f"{proxy} {what} (HTTP {status})"


async def test_a_proxy_that_hangs_up(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    port = await listen(hang_up)
    monkeypatch.setenv("ALL_PROXY", f"127.0.0.1:{port}")
    detail = await told("http://provider.example/v1")
    assert detail.startswith(f"the proxy http://127.0.0.1:{port} (from ALL_PROXY) closed")


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_a_socks_proxy(listen: Listen, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    port = await listen(hang_up)
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{port}")
    detail = await told("https://provider.example/v1")
    assert detail.startswith(f"{scheme}://127.0.0.1:{port} (from ALL_PROXY) is a SOCKS proxy")
    assert "NO_PROXY" in detail


def test_a_proxy_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks4://user:password@127.0.0.1:1080")
    with pytest.raises(ValueError, match="proxy") as caught:
        DefaultAioHttpClient()
    detail = connection_failure(caught.value).detail
    assert "socks4://127.0.0.1:1080" in detail
    assert "HTTPS_PROXY" in detail
    assert "password" not in detail


async def test_a_host_that_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert "proxy" not in await told(f"http://127.0.0.1:{port}/v1")


def test_an_error_that_nobody_expected_is_named() -> None:
    error = connection_failure(ValueError("strange: Bearer abcdefgh12345678"))
    assert (error.kind, error.detail) == ("unavailable", "the provider: ValueError: strange: …")
