"""Why a model stopped, in the words of all providers. docs/failures.md has this as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .. import ModelError
from .failure import failure
from .tables import named

Reason = Literal["stop", "tool_calls", "length", "content_filter"]

_WORDS: dict[Reason, str] = {
    "stop": """
        stop end_turn end_of_turn stop_sequence stop_string stop_token eos eos_token eot
        complete completed endoftext eosfound stopstringfound
        """,
    "tool_calls": "tool_calls tool_call toolcalls tool_use function_call function_calls",
    "length": """
        length max_tokens max_output_tokens max_completion_tokens max_new_tokens max_length
        model_length token_limit time_limit limit error_limit max_tool_calls
        context_length_exceeded
        model_context_window_exceeded maxpredictedtokensreached contextlengthreached
        """,
    "content_filter": """
        content_filter content_filtered safety recitation blocklist prohibited_content spii
        image_safety image_prohibited_content image_recitation model_armor
        refusal sensitive error_toxic guardrail_intervened moderation
        """,
}

REASONS: Mapping[str, Reason] = {
    word: meaning for meaning, text in _WORDS.items() for word in text.split()
}

BROKEN_REASONS = named(
    """
    abort aborted cancelled canceled user_cancel userstopped error failed timeout
    network_error insufficient_system_resource not_finished pause_turn load unload modelunloaded
    malformed_function_call malformed_response malformed_tool_use malformed_model_output
    function_call_filter unexpected_tool_call too_many_tool_calls missing_thought_signature
    repetition repetition_truncation language other no_image image_other
    finish_reason_unspecified
    """
)
"""Known to mean that the answer is not whole. An unknown reason means the same."""


def reason(text: str) -> Reason | None:
    """What a finish reason means. None: the answer is not whole, as far as is known.

    Gemini's compatible API says `content_filter: RECITATION`, its proxies `FinishReason.STOP`
    or `FINISH_REASON_STOP`.
    """
    word = text.partition(":")[0].strip().lower().replace("-", "_").replace(" ", "_")
    word = word.removeprefix("finishreason.").removeprefix("finish_reason_")
    return REASONS.get(word)


def broken(text: str) -> ModelError:
    """The error of an answer that ended for a reason which does not mean that it is whole."""
    return failure("cut", detail=f"Its finish reason was {text[:80]!r}.")
