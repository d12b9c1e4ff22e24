"""Chat Completions of those who sell the models of others."""

from __future__ import annotations

import json
from typing import Any

from tests.dialects import rules
from tests.dialects.chat import ChatProvider, Whole
from tests.dialects.hosted import PREFILL
from tests.dialects.rules import Body, Fault
from tests.dialects.upstream import Event


class OpenRouter(ChatProvider):
    """Before Gemini it wants the `reasoning_details` of a step back with its calls. Comments
    keep its connections open, also before the first event."""

    name = "OpenRouter"
    model = "google/gemini-3.8-flash"
    thinks = "reasoning"

    def check(self, body: Body) -> Fault | None:
        for message in rules.since_the_user(body):
            details = message.get("reasoning_details") or []
            known = any(detail.get("data") in self.given for detail in details)
            if rules.calls_of(message) and not known:
                return Fault(
                    "Gemini models require OpenRouter reasoning details to be preserved in each "
                    "request. Please refer to our docs."
                )
        return super().check(body)

    def error(self, fault: Fault) -> Any:
        return {"error": {"message": fault.words, "code": fault.status}, "user_id": "user_1"}

    def open(self) -> list[Event]:
        return [b": OPENROUTER PROCESSING\n\n", *super().open(), b": OPENROUTER PROCESSING\n\n"]

    def think(self, thought: str) -> list[Event]:
        text = {"type": "reasoning.text", "text": thought, "format": "google-gemini-v1", "index": 0}
        return [self.delta(content="", reasoning=thought, reasoning_details=[text])]

    def calls(self, asked: list[tuple[str, str]]) -> list[Event]:
        self.given.append(f"encrypted/{next(self.number)}==")
        secret = {"type": "reasoning.encrypted", "data": self.given[-1]}
        secret |= {"format": "google-gemini-v1", "index": 1, "id": "rs_1"}
        return [*super().calls(asked), self.delta(content="", reasoning_details=[secret])]


class Azure(ChatProvider):
    """Its filter looks at the whole conversation; its first event has no choices."""

    name = "Azure"
    model = "my-deployment"
    filtered = "bomb"

    def check(self, body: Body) -> Fault | None:
        if self.filtered in json.dumps(body["messages"]):
            words = (
                "The response was filtered due to the prompt triggering Azure OpenAI's content "
                "management policy. Please modify your prompt and retry."
            )
            inner = {"code": "ResponsibleAIPolicyViolation"}
            fields = {"type": None, "param": "prompt", "code": "content_filter"}
            return Fault(words, learned=True, fields={**fields, "innererror": inner})
        return super().check(body)

    def open(self) -> list[Event]:
        safe = {"hate": {"filtered": False, "severity": "safe"}}
        results = [{"prompt_index": 0, "content_filter_results": safe}]
        first = {**self.delta(), "choices": [], "prompt_filter_results": results}
        return [first, *super().open()]

    def delta(self, finish: str | None = None, **fields: Any) -> dict[str, Any]:
        chunk = super().delta(finish, **fields)
        chunk["choices"][0]["content_filter_results"] = {}
        return chunk


class Bedrock(Whole):
    """Behind LiteLLM: the tools are there as long as a call of one is in the messages, and a
    result and a user's words are never one turn."""

    name = "Bedrock by LiteLLM"
    model = "bedrock/claude-sonnet-5"
    own = (
        rules.no_user_after_tool(
            "messages.2.content: Conversation blocks and tool result blocks cannot be provided "
            "in the same turn."
        ),
        rules.nothing_blank(
            "The text field in the ContentBlock object at messages.{place}.content.0 is blank. "
            "Add text to the text field, and try again."
        ),
        rules.ids_like(
            "[a-zA-Z0-9_-]{1,64}", "toolUseId must satisfy regular expression pattern: '{id}'"
        ),
        rules.ends_with("user", "tool", words=PREFILL),
    )

    def check(self, body: Body) -> Fault | None:
        called = any(map(rules.calls_of, body["messages"]))
        if called and not body.get("tools"):
            return Fault(
                "The toolConfig field must be defined when using toolUse and toolResult content "
                "blocks."
            )
        return super().check(body)

    def error(self, fault: Fault) -> Any:
        inner = json.dumps({"message": fault.words})
        words = f"litellm.BadRequestError: BedrockException - {inner}"
        return {"error": {"message": words, "type": None, "param": None, "code": "400"}}

    def new_id(self) -> str:
        return f"tooluse_{next(self.number):022}"
