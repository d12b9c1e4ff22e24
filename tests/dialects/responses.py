"""OpenAI's Responses API without storage, as strict as its documentation."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from tests.dialects import parts
from tests.dialects.chat import CALLS, TOOL
from tests.dialects.rules import NAME, Body, Fault, is_object
from tests.dialects.upstream import Act, Event

OPTIONS = frozenset(
    {"temperature", "top_p", "max_output_tokens", "reasoning", "text", "truncation"}
)
TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
ACCOUNT = frozenset({"metadata", "prompt_cache_key", "safety_identifier", "service_tier"})
FIELDS = (
    frozenset({"model", "input", "instructions", "stream", "stream_options", "store", "include"})
    | OPTIONS
    | TOOLS
    | ACCOUNT
)
ITEMS = {
    "message": frozenset({"type", "id", "role", "content", "phase", "status"}),
    "function_call": frozenset({"type", "id", "call_id", "name", "arguments", "status"}),
    "function_call_output": frozenset({"type", "id", "call_id", "output", "status"}),
    "reasoning": frozenset({"type", "id", "summary", "content", "encrypted_content"}),
}


def kind(item: Body) -> str:
    return str(item.get("type", "message"))


class OpenAIResponses:
    """Nothing is stored: a reasoning item comes back encrypted or not at all, with the item
    that followed it, and an item with its id only together with its reasoning."""

    name = "OpenAI, Responses"
    model = "gpt-6.1-terra"
    api = "responses"
    tools = True
    filtered = ""
    extras = True
    takes: tuple[str, ...] = ("image", "pdf")
    known = FIELDS
    items = ITEMS

    def __init__(self) -> None:
        self.number = itertools.count(1)
        self.given: list[str] = []
        self.reasoned: dict[str, str] = {}
        """The reasoning that an item, by its id, was given out with."""

    # ------------------------------------------------------------ the request

    def check(self, body: Body) -> Fault | None:
        return next(self.faults(body), None)

    def faults(self, body: Body) -> Iterator[Fault]:
        for name in body.keys() - self.known:
            yield unknown(name)
        for name in body.get("stream_options", {}).keys() - {"include_obfuscation"}:
            yield unknown(f"stream_options.{name}")
        for tool in body.get("tools", ()):
            for name in tool.keys() - {"type", "name", "parameters", "description", "strict"}:
                yield unknown(f"tools[0].{name}")
            if not NAME.fullmatch(tool["name"]) or len(tool.get("description", "")) > 1024:
                yield Fault("Invalid 'tools[0].name'.", fields={"param": "tools[0].name"})
        items = body["input"]
        for place, item in enumerate(items):
            if kind(item) not in self.items:
                yield Fault(f"Invalid value: '{kind(item)}'.", fields={"param": f"input[{place}]"})
                return
            for name in item.keys() - self.items[kind(item)]:
                yield unknown(f"input[{place}].{name}")
        for place, item in enumerate(items):
            yield from self.judge_item(f"input[{place}]", item)
        yield from self._pairs(items)
        yield from self._reasoning(items)

    def judge_item(self, at: str, item: Body) -> Iterator[Fault]:
        match kind(item):
            case "message":
                if item["role"] not in ("user", "assistant", "system", "developer"):
                    yield Fault(f"Invalid value: '{item['role']}'.", fields={"param": f"{at}.role"})
                if isinstance(item["content"], list):
                    if not self.takes or item["role"] != "user":
                        yield Fault(f"Invalid '{at}.content': expected a string.")
                    yield from parts.in_responses(item["content"], at)
                if "phase" in item and (
                    item["role"] != "assistant"
                    or item["phase"] not in ("commentary", "final_answer")
                ):
                    yield Fault(f"Invalid '{at}.phase'.", fields={"param": f"{at}.phase"})
            case "function_call":
                if not NAME.fullmatch(item["name"]):
                    yield Fault(f"Invalid '{at}.name': string does not match pattern.")
                if not is_object(item["arguments"]):
                    yield Fault(f"Invalid '{at}.arguments': no JSON object.")
                if not 0 < len(item["call_id"]) <= 64:
                    yield Fault(f"Invalid '{at}.call_id': at most 64 characters.")
            case "function_call_output":
                if not isinstance(item["output"], str):
                    yield Fault(f"Invalid '{at}.output': expected a string.")
        if "id" in item:
            prefix = {"message": "msg", "function_call": "fc", "reasoning": "rs"}.get(kind(item))
            if prefix and not item["id"].startswith(f"{prefix}_"):
                yield Fault(f"Invalid '{at}.id': Expected an ID that begins with '{prefix}'.")

    def _pairs(self, items: list[Body]) -> Iterator[Fault]:
        called = [item["call_id"] for item in items if kind(item) == "function_call"]
        results = [item["call_id"] for item in items if kind(item) == "function_call_output"]
        for id in called:
            if results.count(id) != 1 or called.count(id) != 1:
                yield Fault(f"No tool output found for function call {id}.")
        for id in results:
            if id not in called:
                yield Fault(f"No tool call found for function call output with call_id {id}.")

    def _reasoning(self, items: list[Body]) -> Iterator[Fault]:
        open_reasoning = ""
        for place, item in enumerate(items):
            follows = kind(item) in self.items.keys() - {"message", "function_call_output"}
            written = follows or item.get("role") == "assistant"
            if open_reasoning and not written and kind(item) != "reasoning":
                yield self._alone(open_reasoning)
            open_reasoning = ""
            if kind(item) == "reasoning":
                open_reasoning = item.get("id", "rs_")
                if not isinstance(item.get("summary"), list):
                    yield Fault(f"Missing required parameter: 'input[{place}].summary'.")
                if not item.get("encrypted_content"):
                    yield Fault(
                        f"Item with id '{open_reasoning}' not found. Items are not persisted when "
                        "`store` is set to false.",
                        404,
                    )
                elif item["encrypted_content"] not in self.given:
                    yield Fault(
                        "The encrypted content could not be verified.",
                        fields={"code": "invalid_encrypted_content"},
                    )
            needed = self.reasoned.get(item.get("id", ""))
            if needed and needed not in [one.get("id") for one in items[:place]]:
                yield Fault(
                    f"Item '{item['id']}' of type '{kind(item)}' was provided without its "
                    f"required 'reasoning' item: '{needed}'."
                )
        if open_reasoning:
            yield self._alone(open_reasoning)

    @staticmethod
    def _alone(id: str) -> Fault:
        return Fault(
            f"Item '{id}' of type 'reasoning' was provided without its required following item.",
            fields={"param": "input"},
        )

    def error(self, fault: Fault) -> Any:
        about = {"message": fault.words, "type": "invalid_request_error", "param": None}
        return {"error": {**about, "code": None, **fault.fields}}

    def lost(self, body: Body) -> list[str]:
        sent = json.dumps(body)
        return [mark for mark in self.given if mark not in sent]

    # ------------------------------------------------------------- the answer

    def play(self, act: Act, body: Body) -> list[Event]:
        output: list[Body] = []
        begun: list[Event] = [event("response.created", response={"id": "resp_1", "output": []})]
        if act == "wait":
            return begun
        encrypted = "reasoning.encrypted_content" in body.get("include", ())
        middle = self.thinks(
            output, keeps=encrypted and act not in ("length", "half a call", "blank")
        )
        if act in CALLS:
            middle += self.says(output, "One moment.", "commentary")
            for name, arguments in CALLS[act]:
                middle += self._calls(output, name, arguments)
        elif act == "half a call":
            middle += self._calls(output, TOOL, '{"query": "mess', status="incomplete")
        else:
            text = {"blank": "\n\n", "length": "Once upon "}.get(act, "All is well.")
            middle += self.says(output, text, "final_answer")
        usage = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
        response: Body = {"id": "resp_1", "status": "completed", "output": output, "usage": usage}
        if act in ("length", "half a call"):
            why = {"reason": "max_output_tokens"}
            response |= {"status": "incomplete", "incomplete_details": why}
        return [*begun, *middle, event(f"response.{response['status']}", response=response)]

    def thinks(self, output: list[Body], *, keeps: bool) -> list[Event]:
        id = f"rs_{next(self.number):048}"
        item: Body = {"type": "reasoning", "id": id, "summary": []}
        at = {"output_index": len(output)}
        begun = event("response.output_item.added", item=item, **at)
        if keeps:
            self.given.append(f"gAAAA-encrypted-{next(self.number)}")
            item = {**item, "encrypted_content": self.given[-1], "status": "completed"}
        output.append(item)
        return [begun, event("response.output_item.done", item=item, **at)]

    def says(self, output: list[Body], text: str, phase: str) -> list[Event]:
        id = f"msg_{next(self.number):048}"
        self.reasoned[id] = output[0]["id"]
        item: Body = {"type": "message", "id": id, "role": "assistant"}
        item |= {"phase": phase} if self.extras else {}
        part = {"type": "output_text", "text": text, "annotations": []}
        done = {**item, "status": "completed", "content": [part]}
        at = {"output_index": len(output)}
        output.append(done)
        half = len(text) // 2
        said = {"item_id": id, "content_index": 0, **at}
        return [
            event("response.output_item.added", item={**item, "content": []}, **at),
            event("response.content_part.added", part={**part, "text": ""}, **said),
            event("response.output_text.delta", delta=text[:half], obfuscation="x9", **said),
            event("response.output_text.delta", delta=text[half:], obfuscation="q", **said),
            event("response.output_text.done", text=text, **said),
            event("response.content_part.done", part=part, **said),
            event("response.output_item.done", item=done, **at),
        ]

    def _calls(
        self, output: list[Body], name: str, arguments: str, status: str = "completed"
    ) -> list[Event]:
        id = f"fc_{next(self.number):048}"
        self.reasoned[id] = output[0]["id"]
        item: Body = {"type": "function_call", "id": id, "call_id": f"call_{next(self.number):024}"}
        item |= {"name": name, "status": "in_progress", "arguments": ""}
        done = {**item, "status": status, "arguments": arguments}
        at = {"output_index": len(output)}
        output.append(done)
        said = {"item_id": id, **at}
        return [
            event("response.output_item.added", item=item, **at),
            event("response.function_call_arguments.delta", delta=arguments, **said),
            event("response.function_call_arguments.done", arguments=arguments, **said),
            event("response.output_item.done", item=done, **at),
        ]


class ProxiedResponses(OpenAIResponses):
    """A server that followed: it knows what everybody sends, and nothing of OpenAI's own."""

    name = "a proxy, Responses"
    model = "qwen3-coder"
    extras = False
    takes = ()
    known = FIELDS - ACCOUNT - {"include", "stream_options"}

    def judge_item(self, at: str, item: Body) -> Iterator[Fault]:
        if "phase" in item:
            yield unknown(f"{at}.phase")
        yield from super().judge_item(at, item)


def unknown(name: str) -> Fault:
    fields = {"param": name, "code": "unknown_parameter"}
    return Fault(f"Unknown parameter: '{name}'.", fields=fields)


def event(type: str, **fields: Any) -> Event:
    payload = json.dumps({"type": type, **fields}, ensure_ascii=False)
    return f"event: {type}\ndata: {payload}\n\n".encode()
