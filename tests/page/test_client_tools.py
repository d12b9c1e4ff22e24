"""Tools that run in a browser: the client core in two tabs of one, before the real server."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType

import pytest
from playwright.async_api import Browser, Page

from realtime.tools import tool
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve

TAB = """async (session_id) => {
  const { io } = await import("/vendor/socket.io-client.js");
  const { SessionClient } = await import("/client/session.js");
  const ran = (name) => localStorage.setItem(name, Number(localStorage.getItem(name) ?? 0) + 1);
  const tools = {
    locate: async ({ accuracy }) => {
      ran("locate");
      await new Promise((resolve) => setTimeout(resolve, 200));
      return { lat: 52.5, accuracy };
    },
    draw: {
      description: "Draw a shape.",
      parameters: { type: "object", properties: { shape: { type: "string" } } },
      run: ({ shape }) => (ran("draw"), `drew a ${shape}`),
    },
  };
  const [storage, tab] = [() => localStorage, () => sessionStorage];
  globalThis.client = new SessionClient({ io, storage, tab, tools });
  await (session_id ? client.open(session_id) : client.create());
  return client.state.session_id;
}"""
DONE = """() => new Promise((resolve) => globalThis.client.subscribe(({ state }) => {
  const { done } = state.runs.at(-1) ?? {};
  if (done) resolve(done.status);
}))"""
OUTPUTS = """() => globalThis.client.state.runs.at(-1).message.parts
  .filter(({ call }) => call).map(({ call }) => [call.status, call.output])"""


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "notes"])
async def test_each_call_is_run_once_over_the_tabs(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, chromium: Browser, locks: bool
) -> None:
    @tool(client=True)
    def locate(accuracy: int) -> None:
        """Where the user is."""

    module = ModuleType("places")
    module.locate = locate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "places", module)
    calls = asks(("locate", '{"accuracy": 5}'), ("draw", '{"shape": "circle"}'))
    model = ScriptedModel(calls, says("Here."))
    running = await serve(model, tools=("places",), client_tools=True)
    context = await chromium.new_context()
    if not locks:
        gone = "Object.defineProperty(Navigator.prototype, 'locks', { value: undefined })"
        await context.add_init_script(gone)
    one, two = await context.new_page(), await context.new_page()
    for page in (one, two):
        await page.goto(running.url)
        assert await page.evaluate("() => Boolean(navigator.locks)") == locks
    session_id = await one.evaluate(TAB, None)
    assert await two.evaluate(TAB, session_id) == session_id
    ends = [asyncio.create_task(page.evaluate(DONE)) for page in (one, two)]
    await one.evaluate("() => globalThis.client.send('where am I?')")
    assert await asyncio.gather(*ends) == ["completed", "completed"]
    for page in (one, two):
        assert await page.evaluate(OUTPUTS) == [
            ["completed", {"lat": 52.5, "accuracy": 5}],
            ["completed", "drew a circle"],
        ]
    await one.wait_for_timeout(2500)  # in which the other tab would run them too
    for name in ("locate", "draw"):
        assert await count(one, name) == "1"


async def count(page: Page, name: str) -> str | None:
    found: str | None = await page.evaluate("(name) => localStorage.getItem(name)", name)
    return found
