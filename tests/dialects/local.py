"""Chat Completions of servers that people run themselves."""

from __future__ import annotations

from typing import Any

from tests.dialects import rules
from tests.dialects.chat import ChatProvider
from tests.dialects.rules import Fault, Rule
from tests.dialects.upstream import Event

OUT_OF_ORDER = "Conversation roles must alternate user/assistant/user/assistant/..."


class VLLM(ChatProvider):
    """As it starts by default, without a parser for calls, before a model whose template wants
    the roles in turns."""

    name = "vLLM"
    model = "google/gemma-3-27b-it"
    tools = False
    own = (
        rules.no_tools(
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        ),
        rules.alternating(OUT_OF_ORDER),
    )

    def error(self, fault: Fault) -> Any:
        about = {"message": fault.words, "type": "BadRequestError", "param": None}
        return {"object": "error", **about, "code": fault.status}


class LlamaCppWithoutJinja(ChatProvider):
    """It fails, in words of its own, where there are tools."""

    name = "llama.cpp without --jinja"
    tools = False
    own: tuple[Rule, ...] = (rules.no_tools("tools param requires --jinja flag", 500),)

    def error(self, fault: Fault) -> Any:
        kind = "server_error" if fault.status == 500 else "invalid_request_error"
        return {"error": {"code": fault.status, "message": fault.words, "type": kind}}


class LlamaCpp(LlamaCppWithoutJinja):
    """Before a model whose template raises an exception, and one that thinks."""

    name = "llama.cpp"
    model = "devstral-small-2"
    tools = True
    thinks = "reasoning_content"
    own = (
        rules.ends_with(
            "user", "tool", words="Assistant response prefill is incompatible with enable_thinking."
        ),
        rules.alternating(
            "Error: Jinja Exception: After the optional system message, conversation roles must "
            "alternate user and assistant roles except for tool calls and results.",
            500,
        ),
    )


class Ollama(ChatProvider):
    name = "Ollama"
    model = "gemma3"
    tools = False
    own = (rules.no_tools("registry.ollama.ai/library/gemma3:latest does not support tools"),)

    def error(self, fault: Fault) -> Any:
        about = {"message": fault.words, "type": "api_error", "param": None}
        return {"error": {**about, "code": None}}


class NIM(ChatProvider):
    """The ids of its calls are numbers; Mistral's models keep their order of roles."""

    name = "NVIDIA NIM"
    model = "mistralai/mistral-small-4"
    own = (
        rules.no_user_after_tool("Unexpected role 'user' after role 'tool'"),
        rules.ids_like(
            "[a-zA-Z0-9]{9}",
            "Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9.",
        ),
        rules.alternating(
            "After the optional system message, conversation roles must alternate user and "
            "assistant roles except for tool calls and results."
        ),
    )

    def new_id(self) -> int:
        return next(self.number)


class LMStudio(ChatProvider):
    """A new id and an empty name with each piece of a call."""

    name = "LM Studio"
    model = "qwen3-8b"

    def calls(self, asked: list[tuple[str, str]]) -> list[Event]:
        events: list[Event] = []
        for index, (name, arguments) in enumerate(asked):
            events.append(self.delta(tool_calls=[self.call(index, name, "")]))
            for piece in (arguments[:5], arguments[5:]):
                events.append(self.delta(tool_calls=[self.call(index, "", piece)]))
        return events

    def new_id(self) -> str:
        return str(100_000_000 + next(self.number))


class SGLang(ChatProvider):
    """Every field in every delta, most of them null."""

    name = "SGLang"
    model = "qwen3-32b"
    thinks = "reasoning_content"

    def delta(self, finish: str | None = None, **fields: Any) -> dict[str, Any]:
        empty = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None}
        chunk = super().delta(finish, **{**empty, **fields})
        chunk["choices"][0] |= {"logprobs": None, "matched_stop": None}
        return {**chunk, "usage": None}

    def error(self, fault: Fault) -> Any:
        about = {"message": fault.words, "type": "BadRequest", "param": None}
        return {"object": "error", **about, "code": fault.status}
