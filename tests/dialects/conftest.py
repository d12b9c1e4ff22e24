"""A conversation with the whole server, in front of one or two providers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from realtime.models.openai import OpenAIModel
from realtime.runs.chain import HISTORY_TOKENS, Chain, Link
from tests.dialects.upstream import Act, Provider, Upstream, serving
from tests.support.attach import Got, ask, files_of, uploaded
from tests.support.device import Device
from tests.support.serving import Running, Serve


class Talk:
    """One session before these upstreams: the first answers, the others stand in for it."""

    def __init__(
        self,
        serve: Serve,
        *upstreams: Upstream,
        history_tokens: int = HISTORY_TOKENS,
        **settings: Any,
    ) -> None:
        self.upstreams = upstreams
        self.said: list[str] = []
        self._history_tokens = history_tokens
        self._serve = serve
        self._settings = settings
        self._running: Running | None = None
        self._device = Device("")

    async def open(self) -> None:
        """Start the server, and come back to the session; again after `close`."""
        links = [
            Link(
                OpenAIModel(
                    api_key="sk-test",
                    base_url=upstream.url,
                    model=upstream.provider.model,
                    api=upstream.provider.api,  # type: ignore[arg-type]
                    extras=getattr(upstream.provider, "extras", False),
                    hosted=getattr(upstream.provider, "hosted", ()),
                    show_reasoning=self._settings.get("show_reasoning", True),
                ),
                upstream.url,
                self._history_tokens,
                getattr(upstream.provider, "takes", ()),
            )
            for upstream in self.upstreams
        ]
        self._chain = Chain(links[:1], links[1:])
        self._running = await self._serve(self._chain, **self._settings)
        self._device.url = self._running.url
        await self._device.connect()

    async def close(self) -> None:
        """The server ends; its journal stays."""
        await self._device.drop()
        if self._running:
            await self._running.stop()
            await self._chain.close()
            self._running = None

    async def send(self, text: str, *plan: Act, **more: Any) -> str:
        """The run's id. `plan` is what the first provider answers to its requests."""
        self.upstreams[0].plan = list(plan)
        self.said.append(text)
        ack = await self._device.send(text, **more)
        assert ack["ok"], ack
        return str(ack["run_id"])

    async def ask(self, text: str, *plan: Act, **more: Any) -> dict[str, Any]:
        return await self._device.done(await self.send(text, *plan, **more))

    async def upload(self, data: bytes, name: str, kind: str = "") -> str:
        """The id of a file of this session."""
        return str((await uploaded(self._device, data, name, kind))["id"])

    async def download(self, file_id: str) -> Got:
        """A file of this session, as a device reads it."""
        return await ask("GET", f"{files_of(self._device)}/{file_id}", self._device.auth["token"])

    async def go_on(self, run_id: str, *plan: Act) -> dict[str, Any]:
        self.upstreams[0].plan = list(plan)
        ack = await self._device.call("continue", {"run_id": run_id})
        assert ack["ok"], ack
        return await self._device.done(ack["run_id"])

    async def stopped(self, text: str, *plan: Act) -> dict[str, Any]:
        """A message whose answer is stopped as soon as the model waits."""
        run_id = await self.send(text, *plan)
        await self.upstreams[0].waits.wait()
        self.upstreams[0].waits.clear()
        return await self.stop(run_id)

    async def stop(self, run_id: str) -> dict[str, Any]:
        assert (await self._device.call("stop"))["status"] == "cancelled"
        return await self._device.done(run_id)

    async def works(self, run_id: str) -> None:
        """Two calls of this run have begun, and one of them is closed."""
        await self._device.durable("tool_call", 2, run_id=run_id, status="running")
        await self._device.durable("tool_call", run_id=run_id, status="completed")

    async def decide(self, run_id: str, decision: str) -> dict[str, Any]:
        """Approve the call that waits for it, or deny it; the run's end."""
        call = await self.asked(run_id)
        ack = await self._device.call(
            "approve", {"tool_call_id": call["tool_call_id"], "decision": decision}
        )
        assert ack["ok"], ack
        return await self._device.done(run_id)

    async def asked(self, run_id: str) -> dict[str, Any]:
        """The call of this run that waits for an approval."""
        waiting = {"run_id": run_id, "status": "awaiting_approval"}
        return (await self._device.durable("tool_call", **waiting))[0]

    async def done(self, run_id: str) -> dict[str, Any]:
        return await self._device.done(run_id)

    def fallbacks(self, run_id: str) -> list[dict[str, Any]]:
        return self._device.events("run", run_id=run_id, status="fallback")

    async def told(self) -> str:
        """Everything that the device was told, and what it finds when it asks."""
        history = await self._device.call("history")
        return json.dumps([self._device.record, history])

    async def end(self) -> dict[str, Any]:
        """The session ends; its summary."""
        assert (await self._device.call("end"))["ok"]
        return (await self._device.durable("summary"))[0]

    def events(self, name: str, run_id: str) -> list[dict[str, Any]]:
        return self._device.events(name, run_id=run_id)

    async def called(self, run_id: str, status: str) -> dict[str, Any]:
        return (await self._device.durable("tool_call", run_id=run_id, status=status))[0]

    def calls(self, run_id: str, status: str = "completed") -> list[dict[str, Any]]:
        return self._device.events("tool_call", run_id=run_id, status=status)


Meet = Callable[..., Awaitable[Talk]]


@pytest.fixture
async def meet(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Meet]:
    """`await meet(Provider(), …)`: a session before the first, with the others as fallbacks."""
    monkeypatch.setattr("realtime.runs.chain.PAUSE_S", 0.01)
    async with AsyncExitStack() as stack:

        async def begin(*providers: Provider, **settings: Any) -> Talk:
            upstreams = [await stack.enter_async_context(serving(one)) for one in providers]
            talk = Talk(serve, *upstreams, **settings)
            stack.push_async_callback(talk.close)
            await talk.open()
            return talk

        yield begin
