"""Headers that go with a request."""

from __future__ import annotations

from msgspec.structs import replace

from realtime.models import Media, Request, UserText
from tests.models.asking import Make, ask, both, collect
from tests.models.conftest import Upstream
from tests.models.payloads import Api, ended, said

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@both
async def test_they_are_sent(upstream: Upstream, make: Make, api: Api) -> None:
    upstream.answer(*said(api, "yes"), *ended(api))
    request = replace(ask("Is it there?"), headers={"traceparent": TRACEPARENT})
    image = Media("a.png", "image/png", "aGk=")
    shown = Request("", (UserText("This?", files=(image,)),), headers=request.headers)
    for each in (request, shown, ask("And now?")):
        await collect(make(upstream.url, api), each)
    sent = [headers.get("traceparent") for headers in upstream.headers]
    assert sent == [TRACEPARENT, TRACEPARENT, None]
