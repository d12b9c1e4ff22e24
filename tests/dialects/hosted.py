"""Chat Completions of those who sell it, each as strict as its documentation and its users say."""

from __future__ import annotations

from typing import Any

from tests.dialects import rules
from tests.dialects.chat import TOOL, ChatProvider, Whole
from tests.dialects.rules import Body, Fault
from tests.dialects.upstream import Event

PREFILL = (
    "This model does not support assistant message prefill. "
    "The conversation must end with a user message."
)


class Mistral(Whole):
    """Ids of nine letters and digits; no user after a result; unknown fields are forbidden."""

    name = "Mistral"
    model = "mistral-large-latest"
    own = (
        rules.ids_like(
            "[a-zA-Z0-9]{9}",
            "Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9.",
            type="invalid_function_call",
            code="3280",
        ),
        rules.no_user_after_tool(
            "Unexpected role 'user' after role 'tool'",
            type="invalid_request_message_order",
            code="3230",
        ),
        rules.ends_with(
            "user",
            "tool",
            words="Expected last role User or Tool (or Assistant with prefix True) for serving "
            "but got {role}",
            type="invalid_request_message_order",
            code="3230",
        ),
        rules.nothing_blank(
            "Assistant message must have either content or tool_calls, but not none.",
            "assistant",
            type="invalid_request_assistant_message",
            code="3240",
        ),
        rules.no_two_of(
            "assistant",
            "Unexpected role 'assistant' after role 'assistant'",
            type="invalid_request_message_order",
            code="3230",
        ),
        rules.only_fields("messages {place} {role} {field}", status=422),
    )

    def error(self, fault: Fault) -> Any:
        message: Any = fault.words
        if fault.status == 422:
            loc = ["body", *(int(part) if part.isdigit() else part for part in fault.words.split())]
            forbidden = {"type": "extra_forbidden", "loc": loc}
            message = {"detail": [{**forbidden, "msg": "Extra inputs are not permitted"}]}
        about = {"object": "error", "message": message, "type": "invalid_request_error"}
        return {**about, "param": None, "code": None, **fault.fields}

    def new_id(self) -> str:
        return f"D6{next(self.number):07}"


class Gemini(Whole):
    """The first call of each step since the last user message needs its thought signature: the
    one that was given, or the one that its documentation names for calls of other models. Its
    calls have no index, and the reason behind them is `stop`."""

    name = "Gemini"
    model = "gemini-3.8-flash"
    spare = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")

    def check(self, body: Body) -> Fault | None:
        return super().check(body) or self._signed(body)

    own = (
        rules.ends_with(
            "user", "tool", words="Please ensure that single turn requests end with a user role."
        ),
        rules.calls_follow_user_or_result(
            "Please ensure that function call turn comes immediately after a user turn or after "
            "a function response turn."
        ),
        rules.nothing_blank("Unable to submit request because it must have a text parameter."),
    )

    def _signed(self, body: Body) -> Fault | None:
        for message in body["messages"]:
            for call in rules.calls_of(message):
                signature = self._signature(call)
                if signature and signature not in (*self.given, *self.spare):
                    return Fault("Corrupted thought signature.")
        for message in rules.since_the_user(body):
            for call in rules.calls_of(message)[:1]:
                if not self._signature(call):
                    # That calls of another model need one as well is learned here.
                    return Fault(
                        "Function call is missing a thought_signature in functionCall parts. "
                        "This is required for tools to work correctly, and missing "
                        "thought_signature may lead to degraded model performance. Additional "
                        f"data, function call `default_api:{call['function']['name']}`",
                        learned=not self.lost(body),
                    )
        return None

    @staticmethod
    def _signature(call: Body) -> str | None:
        return call.get("extra_content", {}).get("google", {}).get("thought_signature")

    def error(self, fault: Fault) -> Any:
        about = {"code": fault.status, "message": fault.words, "status": "INVALID_ARGUMENT"}
        return [{"error": about}]

    def calls(self, asked: list[tuple[str, str]]) -> list[Event]:
        pieces = [self.call(0, *named) for named in asked]
        for piece in pieces:
            del piece["index"]
        self.given.append(f"CiQB+signature/{next(self.number)}==")
        pieces[0]["extra_content"] = {"google": {"thought_signature": self.given[-1]}}
        return [self.delta(tool_calls=[piece]) for piece in pieces]

    def new_id(self) -> str:
        return f"function-call-{10**18 + next(self.number)}"

    def end(self, reason: str) -> list[Event]:
        signed = {"google": {"thought_signature": f"of-a-text/{next(self.number)}=="}}
        of_text = [self.delta(content="", extra_content=signed)] if reason == "stop" else []
        return [*of_text, *super().end("stop" if reason == "tool_calls" else reason)]


class DeepSeek(ChatProvider):
    """In thinking mode every message with calls brings its `reasoning_content`, in all later
    requests; an empty one passes. Its connection is kept open with comments."""

    name = "DeepSeek"
    model = "deepseek-v4-pro"
    thinks = "reasoning_content"
    empty_thoughts = True
    missing = "The `reasoning_content` in the thinking mode must be passed back to the API."

    def check(self, body: Body) -> Fault | None:
        place = rules.thoughtless(body, may_be_empty=self.empty_thoughts)
        if place is not None:
            # That calls of another model need one as well is not known until it is said.
            foreign = not self.lost(body)
            return Fault(self.missing.format(place=place), learned=foreign)
        return super().check(body)

    def error(self, fault: Fault) -> Any:
        about = {"message": fault.words, "type": "invalid_request_error", "param": None}
        return {"error": {**about, "code": "invalid_request_error"}}

    def remember(self, thought: str) -> None:
        self.given.append(thought)

    def open(self) -> list[Event]:
        return [b": keep-alive\n\n", *super().open()]

    def new_id(self) -> str:
        return f"call_00_{next(self.number):020}"


class Kimi(DeepSeek):
    """As DeepSeek, but an empty thought counts as none; ids with a dot and a colon."""

    name = "Kimi"
    model = "kimi-k2.6"
    empty_thoughts = False
    missing = (
        "thinking is enabled but reasoning_content is missing in assistant tool call message "
        "at index {place}"
    )
    own = (
        rules.nothing_blank(
            "message at position {place} with role 'assistant' must not be empty", "assistant"
        ),
    )

    def new_id(self) -> str:
        return f"functions.{TOOL}:{next(self.number)}"

    def error(self, fault: Fault) -> Any:
        return {"error": {"message": fault.words, "type": "invalid_request_error"}}


class GLM(ChatProvider):
    """One sentence for whatever it does not like in the messages."""

    name = "GLM"
    model = "glm-5.2"
    thinks = "reasoning_content"
    illegal = "The messages parameter is illegal. Please check the documentation."
    own = (
        rules.nothing_blank(illegal),
        rules.no_two_of("assistant", illegal),
    )

    def error(self, fault: Fault) -> Any:
        return {"error": {"code": "1214", "message": fault.words}}

    def new_id(self) -> int:
        return 8469015594668440000 + next(self.number)


class Anthropic(Whole):
    """Its OpenAI-compatible endpoint: no blank text, no answer to go on with."""

    name = "Anthropic"
    model = "claude-sonnet-5"
    own = (
        rules.nothing_blank("messages: text content blocks must contain non-whitespace text"),
        rules.ends_with("user", "tool", words=PREFILL),
        rules.ids_like(
            "[a-zA-Z0-9_-]+",
            "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        ),
    )

    def error(self, fault: Fault) -> Any:
        kind = "invalid_request_error"
        about = {"code": kind, "message": fault.words, "type": kind}
        return {"error": {**about, "param": None}}

    def new_id(self) -> str:
        return f"toolu_01{next(self.number):022}"


class XAI(Whole):
    """No blank text. Its errors are flat, and their `code` is a sentence."""

    name = "xAI"
    model = "grok-4.6"
    thinks = "reasoning_content"
    own = (
        rules.nothing_blank(
            "Invalid request content: Each message must have at least one content element."
        ),
    )

    def error(self, fault: Fault) -> Any:
        return {"code": "Client specified an invalid argument", "error": fault.words}


class Groq(Whole):
    """Fields that it does not know are refused, and the arguments of a call without any are
    `null`."""

    name = "Groq"
    model = "openai/gpt-oss-120b"
    thinks = "reasoning"
    own = (
        rules.only_fields(
            "'messages.{place}' : for 'role:{role}' the following must be "
            "satisfied[('messages.{place}' : property '{field}' is unsupported)]",
            "reasoning",
        ),
    )

    def calls(self, asked: list[tuple[str, str]]) -> list[Event]:
        return super().calls([(asked[0][0], "null"), *asked[1:]])

    def error(self, fault: Fault) -> Any:
        return {"error": {"message": fault.words, "type": "invalid_request_error"}}

    def new_id(self) -> str:
        return f"fc_{next(self.number):032x}"


class OpenAIChat(ChatProvider):
    """Its newest models take function tools here only where the effort is `none`."""

    name = "OpenAI, Chat Completions"
    model = "gpt-6.1-terra"
    takes = ("image", "pdf")

    def check(self, body: Body) -> Fault | None:
        if body.get("tools") and body.get("reasoning_effort") != "none":
            words = (
                f"Function tools with reasoning_effort are not supported for {self.model} in "
                "/v1/chat/completions. To use function tools, use /v1/responses or set "
                "reasoning_effort to 'none'."
            )
            return Fault(words, learned=True, fields={"param": "reasoning_effort"})
        return super().check(body)
