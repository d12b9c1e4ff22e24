"""The API for pages of other origins: what preflights allow, and what answers let them read."""

from __future__ import annotations

from collections.abc import Callable

from realtime.app import create_app
from realtime.config import Settings
from tests.support.attach import ask, files_of, png, upload, uploaded
from tests.support.device import Device
from tests.support.serving import Serve

Devices = Callable[..., Device]
FRONT, EVIL = "https://front.example", "https://evil.example"
SENT = ("Authorization", "Content-Type", "Last-Event-ID", "Share")
CORS = "Access-Control-"


def listed(value: str) -> set[str]:
    return {item.strip().lower() for item in value.split(",")}


async def test_a_preflight_allows_what_each_route_takes(serve: Serve, settings: Settings) -> None:
    running = await serve(allowed_origins=(FRONT,))
    routes = [
        (route.method, route.resource.canonical)
        for route in create_app(settings).router.routes()
        if route.resource and "/api/" in route.resource.canonical
    ]
    methods = {method for method, _ in routes} - {"HEAD", "OPTIONS"}
    assert methods == {"GET", "POST", "PATCH", "DELETE"}
    for method, path in routes:
        if method not in methods:
            continue
        asked = {f"{CORS}Request-Method": method, f"{CORS}Request-Headers": ", ".join(SENT)}
        told = await ask("OPTIONS", running.url + path, Origin=FRONT, **asked)
        assert told.status == 204, path
        assert told.headers[f"{CORS}Allow-Origin"] == FRONT
        assert method.lower() in listed(told.headers[f"{CORS}Allow-Methods"]), path
        assert {name.lower() for name in SENT} <= listed(told.headers[f"{CORS}Allow-Headers"])
        assert int(told.headers[f"{CORS}Max-Age"]) > 5, "the browser's own default"
        told = await ask("OPTIONS", running.url + path, Origin=EVIL, **asked)
        assert not [name for name in told.headers if name.startswith(CORS)], path


async def test_answers_may_be_read_there_and_nowhere_else(serve: Serve, device: Devices) -> None:
    running = await serve(allowed_origins=(FRONT,))
    one = device(running.url)
    await one.connect(headers={"Origin": FRONT})
    file = await uploaded(one, png())
    url, token = f"{files_of(one)}/{file['id']}", one.auth["token"]
    away = f"{running.url}/api/sessions/{one.session['session_id']}"
    for origin in (FRONT, EVIL):
        for found, status in (
            (await upload(one, b"?", "a", "application/x-made-up", Origin=origin), 201),
            (await ask("GET", url, token, Origin=origin), 200),
            (await ask("GET", f"{away}/export", token, Origin=origin), 200),
            (await ask("GET", f"{away}/export", None, Origin=origin), 401),
            (await ask("GET", f"{away}/files/none", token, Origin=origin), 404),
        ):
            assert found.status == status
            assert "origin" in listed(found.headers["Vary"])
            assert found.headers.get(f"{CORS}Allow-Origin") == (FRONT if origin == FRONT else None)
            assert f"{CORS}Allow-Credentials" not in found.headers, "cookies are not for them"
            if origin == FRONT:
                exposed = listed(found.headers[f"{CORS}Expose-Headers"])
                assert exposed >= {"content-disposition", "retry-after"}


async def test_without_the_setting_nothing_is_said_of_origins(
    serve: Serve, device: Devices
) -> None:
    running = await serve()
    one = device(running.url)
    await one.connect()
    file = await uploaded(one, png())
    found = await ask("GET", f"{files_of(one)}/{file['id']}", one.auth["token"], Origin=FRONT)
    assert found.status == 200
    assert not [name for name in found.headers if name.startswith(CORS) or name == "Vary"]
