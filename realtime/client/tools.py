"""Answers the tool calls that wait for this client."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import CommandError
from .message import Json

if TYPE_CHECKING:
    from .session import SessionClient

MOST = 2000  # characters of an error


@dataclass(frozen=True)
class ClientTool:
    """A tool that the server does not know. `run` is called with the arguments by name; one that is
    no coroutine function runs in a thread. `parameters`: the JSON Schema of the arguments;
    `deadline_s`: how long a call may wait."""

    description: str
    run: Callable[..., Any]
    parameters: Json | None = None
    deadline_s: float | None = None

    def declared(self, name: str) -> Json:
        """As the server is told of it."""
        told = {"parameters": self.parameters, "deadline_s": self.deadline_s}
        given = {key: value for key, value in told.items() if value is not None}
        return {"name": name, "description": self.description, **given}


class ClientTools:
    """`tools`: by name, a `ClientTool`, or the function of a tool that the server knows."""

    def __init__(
        self, tools: Mapping[str, ClientTool | Callable[..., Any]], client: SessionClient
    ) -> None:
        declared = {name: tool for name, tool in tools.items() if isinstance(tool, ClientTool)}
        self.offer: Json = {}
        if declared:
            self.offer = {"tools": [tool.declared(name) for name, tool in declared.items()]}
        self._runs: dict[str, Callable[..., Any]] = {
            name: tool.run if isinstance(tool, ClientTool) else tool for name, tool in tools.items()
        }
        self._client = client
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by call

    def take(self, call: Json) -> None:
        """See to a call, if it waits for this client. Each is run once."""
        waits = call["status"] == "awaiting_client" and call["name"] in self._runs
        if waits and call["tool_call_id"] not in self._tasks and self._client.access != "read":
            self._tasks[call["tool_call_id"]] = asyncio.create_task(self._answer(call))

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    async def _answer(self, call: Json) -> None:
        answer = {"tool_call_id": call["tool_call_id"], "session_id": self._client.state.session_id}
        result = await self._result(call)
        while True:
            try:
                await self._client.until(lambda: self._client.connection == "live" or None)
                await self._client.request("tool_result", answer | result)
                return
            except CommandError as error:
                if error.code in ("too_large", "bad_request") and "output" in result:
                    result = failure(error)
                elif not error.retryable:
                    return  # another device was first, or nobody waits any more
                else:
                    await asyncio.sleep((error.retry_after_ms or 1000) / 1000)

    async def _result(self, call: Json) -> Json:
        run, arguments = self._runs[call["name"]], call["arguments"]
        try:
            if inspect.iscoroutinefunction(run):
                output = await run(**arguments)
            else:
                output = await asyncio.to_thread(run, **arguments)
            json.dumps(output, allow_nan=False)
        except Exception as error:
            return failure(error)
        return {"output": output}


def failure(error: Exception) -> Json:
    code = getattr(error, "code", None)
    told = {"message": (str(error) or type(error).__name__)[:MOST]}
    return {"error": told | ({"code": code[:64]} if isinstance(code, str) else {})}
