"""OpenAI's Responses API with the tools that it runs itself."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from tests.dialects.responses import ITEMS, OpenAIResponses, event, kind, unknown
from tests.dialects.rules import Body, Fault
from tests.dialects.upstream import Act, Event

FOUND = "😀 It rains in Berlin."
PAGE = {"url": "https://weather.example/berlin", "title": "Berlin"}
IN_CODE_POINTS = {"start_index": 2, "end_index": 10}
WITH_SEARCHES = {**ITEMS, "web_search_call": frozenset({"type", "id", "status", "action"})}
IN_UTF16 = {"start": 3, "end": 11}


class HostedTools(OpenAIResponses):
    """A call comes back as it was given, behind the reasoning that led to it."""

    name = "OpenAI, Responses, with tools of its own"
    items = WITH_SEARCHES
    hosted = ({"type": "web_search"}, {"type": "image_generation"})
    refuses = ""

    def __init__(self) -> None:
        super().__init__()
        self.searched: list[str] = []
        self.drawn = b""

    def faults(self, body: Body) -> Iterator[Fault]:
        functions = []
        for place, tool in enumerate(body.get("tools", ())):
            if tool["type"] == "function":
                functions.append(tool)
            elif tool["type"] == self.refuses:
                words = f"Hosted tool '{self.refuses}' is not supported with {self.model}."
                yield Fault(words, learned=True, fields={"param": f"tools[{place}]"})
            elif tool.keys() - {"type"}:
                yield unknown(f"tools[{place}]")
        yield from super().faults({**body, "tools": functions})

    def lost(self, body: Body) -> list[str]:
        sent = [item.get("id") for item in body["input"] if kind(item) == "web_search_call"]
        return super().lost(body) + [id for id in self.searched if id not in sent]

    def play(self, act: Act, body: Body) -> list[Event]:
        if act == "draw":
            return self._draws()
        if act not in ("search", "search that lasts"):
            return super().play(act, body)
        output: list[Body] = []
        events: list[Event] = [event("response.created", response={"id": "resp_1", "output": []})]
        events += self.thinks(output, keeps=True)
        id = f"ws_{next(self.number):048}"
        self.reasoned[id] = output[0]["id"]
        call: Body = {"type": "web_search_call", "id": id, "status": "in_progress"}
        at: dict[str, Any] = {"output_index": len(output)}
        events.append(event("response.output_item.added", item=call, **at))
        for status in ("in_progress", "searching"):
            events.append(event(f"response.web_search_call.{status}", item_id=id, **at))
        if act == "search that lasts":
            return events
        self.searched.append(id)
        call = {**call, "status": "completed", "action": {"type": "search", "query": "weather"}}
        output.append(call)
        events.append(event("response.output_item.done", item=call, **at))
        events += self.says(output, FOUND, "final_answer")
        cited = {"type": "url_citation", **IN_CODE_POINTS, **PAGE}
        message = {**output[-1], "content": [{**output[-1]["content"][0], "annotations": [cited]}]}
        output[-1] = message
        place = {"item_id": message["id"], "output_index": len(output) - 1}
        events.insert(-1, event("response.output_text.annotation.added", annotation=cited, **place))
        events[-1] = event("response.output_item.done", item=message, output_index=len(output) - 1)
        usage = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
        response = {"id": "resp_1", "status": "completed", "output": output, "usage": usage}
        return [*events, event("response.completed", response=response)]

    def _draws(self) -> list[Event]:
        """Its last event has the image once more."""
        output: list[Body] = []
        events: list[Event] = [event("response.created", response={"id": "resp_1", "output": []})]
        events += self.thinks(output, keeps=False)
        call: Body = {"type": "image_generation_call", "id": "ig_1", "status": "in_progress"}
        at: dict[str, Any] = {"output_index": len(output)}
        events.append(event("response.output_item.added", item=call, **at))
        for status in ("in_progress", "generating"):
            events.append(event(f"response.image_generation_call.{status}", item_id="ig_1", **at))
        about = {"revised_prompt": "A red square.", "size": "2x2", "output_format": "png"}
        drawn = base64.b64encode(self.drawn).decode()
        call = {**call, "status": "completed", **about, "result": drawn}
        output.append(call)
        events.append(event("response.output_item.done", item=call, **at))
        events += self.says(output, "Here it is.", "final_answer")
        usage = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
        response = {"id": "resp_1", "status": "completed", "output": output, "usage": usage}
        return [*events, event("response.completed", response=response)]
