"""Why a model stopped, and what a provider's words become in the log."""

from __future__ import annotations

import time

import pytest

from realtime.models.errors import BROKEN_REASONS, REASONS, from_status, reason, unquoted


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("end_turn", "stop"),
        ("eos_token", "stop"),
        ("COMPLETE", "stop"),
        ("FinishReason.STOP", "stop"),
        ("FINISH_REASON_STOP", "stop"),
        ("eosFound", "stop"),
        ("tool_use", "tool_calls"),
        ("TOOL_CALL", "tool_calls"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("max_output_tokens", "length"),
        ("SAFETY", "content_filter"),
        ("refusal", "content_filter"),
        ("sensitive", "content_filter"),
        ("content_filter: PROHIBITED_CONTENT", "content_filter"),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", None),
        ("MALFORMED_FUNCTION_CALL", None),
        ("insufficient_system_resource", None),
        ("abort", None),
        ("error", None),
        ("something_new", None),
        ("stopped_in_the_middle", None),
        ("", None),
    ],
)
def test_a_reason_means_one_thing_or_nothing(said: str, meaning: str | None) -> None:
    assert reason(said) == meaning


def test_no_broken_reason_has_a_meaning() -> None:
    assert not BROKEN_REASONS & set(REASONS)
    for word in BROKEN_REASONS:
        assert reason(word) is None
    for word, meaning in REASONS.items():
        assert reason(word.upper()) == meaning


def detail(message: object) -> str:
    return from_status(400, {}, {"error": {"message": message}}).detail


SECRETS = [
    "sk-proj-abcDEF123456",
    "sk-ant-api03-abc_DEF",
    "sk***YA",
    "gsk_abcdefgh1234",
    "xai-abcdefgh1234",
    "hf_abcdefghijkl",
    "AIzaSyAbcdefghijkl",
    "nvapi-abcdefgh",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6",
    "a1b2c3d4e5f6a7b8c9d0.Xy12Zw34Ab56Cd78",
    "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA==",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "said",
    [
        "Incorrect API key provided: {}. Get one at the console.",
        "The key {} is not known",
        "bad header 'Authorization: Bearer {}'",
        '{{"api_key": "{}"}} is wrong',
        "GET https://api.example.com/v1/models?key={}&x=1 failed",
        "http://user:{}@proxy.example:3128 said no",
    ],
)
def test_keys_do_not_get_into_the_log(said: str, secret: str) -> None:
    line = detail(said.format(secret))
    assert secret not in line
    assert line


@pytest.mark.parametrize("value", ["hunter2", "letmein", "s3cr3t"])
@pytest.mark.parametrize("name", ["api_key", "token", "password", "secret", "x-api-key"])
def test_what_is_called_a_key_is_one(name: str, value: str) -> None:
    assert value not in detail(f'refused: {name}="{value}"')
    assert value not in detail(f"refused: {name}: {value}")


@pytest.mark.parametrize(
    "said",
    [
        "The model `claude-sonnet-4-5-20250929` does not exist",
        "accounts/fireworks/models/deepseek-v3p1-terminus is not there",
        "unsloth/Qwen2.5-1.5B-Instruct-GGUF does not support tools",
        "Unsupported parameter: 'max_tokens' is not supported with this model.",
        "tools.3.custom.input_schema: JSON schema is invalid",
        "prompt is too long: 209062 tokens > 199999 maximum",
        "Limit 6000, Requested tokens: 12328",
        "'messages.1' : for 'role:assistant' the following must be satisfied",
        "ResponsibleAIPolicyViolation; GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        "see https://ai.google.dev/gemini-api/docs/thought-signatures for more",
    ],
)
def test_what_helps_the_operator_stays(said: str) -> None:
    assert detail(said) == said


@pytest.mark.parametrize(
    "said",
    [
        'Invalid value: "my doctor told me that it will hurt"',
        "Invalid value: 'my doctor said it won't hurt me again'",
        "[{'type': 'x', 'loc': ('body',), 'msg': 'no', 'input': 'doctor'}]",
        "Input should be a string [type=string_type, input_value={'a': 'doctor'}, input_type=dict]",
        'received: "doctor"',
        "content: “doctor”" + ' "content": "doctor"',
    ],
)
def test_what_the_user_said_is_left_out(said: str) -> None:
    line = detail(said)
    assert "hurt" not in line
    assert '"doctor"' not in line
    assert "'doctor'" not in line


def test_fields_that_hold_what_the_user_said_are_not_read() -> None:
    place = {"loc": ["body", "messages"], "msg": "no", "type": "x", "input": "my secret"}
    body = {"detail": [place], "metadata": {"flagged_input": "my secret"}, "failed_generation": "x"}
    error = from_status(422, {}, body)
    assert error.detail == "body.messages: no"


def test_the_words_are_one_short_line() -> None:
    line = detail("a\r\nb\t\x1b[31mc\u202e" + " long" * 200)
    assert line.startswith("a b [31mc long")
    assert len(line) <= 300
    assert line.endswith("…")
    assert line.isprintable()


def test_a_page_becomes_its_text() -> None:
    page = (
        "<!DOCTYPE html><html><head><title>502 Bad Gateway</title><style>h1 {color: red}</style>"
        "</head><body><h1>502 Bad&nbsp;Gateway</h1><script>var a = 1</script></body></html>"
    )
    assert from_status(502, {}, page).detail == "502 Bad Gateway 502 Bad Gateway"
    assert from_status(502, {}, page.encode()).detail.startswith("502")


def test_the_place_of_a_validation_error_is_told() -> None:
    said = "[{'type': 'extra_forbidden', 'loc': ('body', 'store'), 'msg': 'Not permitted'}]"
    assert detail(said) == "Not permitted; body.store"


def test_the_same_is_said_once() -> None:
    body = {"message": "no such thing", "error": {"message": "no such thing"}, "detail": "at all"}
    assert from_status(400, {}, body).detail == "no such thing; at all"


def test_what_the_request_held_can_be_taken_out() -> None:
    said = "cannot tokenize My cat is called Tom: too odd"
    assert unquoted(said, ["Hello.", "My cat\nis called Tom."]) == "cannot tokenize …: too odd"
    assert unquoted(said, ["My cat"]) == said
    assert unquoted("", ["My cat"]) == ""
    assert unquoted("the key swordfish is odd", [], "swordfish", "") == "the key … is odd"


def test_nothing_of_it_is_in_the_message() -> None:
    error = from_status(400, {}, {"error": {"message": "odd words", "code": "odd_code"}})
    assert error.detail == "odd words"
    assert "odd words" not in error.message
    assert str(error) == "The provider refused the request. (HTTP 400, odd_code)"


def test_no_text_holds_up_the_server() -> None:
    begun = time.process_time()
    for text in (
        "a" * 10**6,
        "tools " * 10**5,
        "'" * 10**5,
        "{" * 10**5,
        "model " * 10**5,
        "<" * 10**6,
    ):
        from_status(400, {}, text)
        from_status(400, {}, {"error": {"message": text}})
    assert time.process_time() - begun < 5, "the work must not grow with the square of a text"
