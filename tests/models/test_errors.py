"""What a provider's refusal means: by code, by words, by status. docs/failures.md shows more of
their sentences, which are tried here, too."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from realtime.models import ErrorKind
from realtime.models.errors import BROKEN_REASONS, REASONS, failure, from_payload, from_status
from realtime.models.errors.failure import MEANING
from tests.models.refusals.bodies import openai
from tests.models.refusals.kinds import KINDS
from tests.models.refusals.parts import PARTS
from tests.models.refusals.sentences import SENTENCES
from tests.test_docs import ROOT, section


@pytest.mark.parametrize("name", KINDS)
def test_an_error_is_of_the_kind_that_the_provider_means(name: str) -> None:
    case = KINDS[name]
    error = from_status(case.status, {}, case.body)
    assert (error.kind, error.param) == (case.kind, None)
    assert error.message.startswith(MEANING[case.kind])


@pytest.mark.parametrize("name", PARTS)
def test_the_part_that_was_refused_is_told(name: str) -> None:
    status, body, param = PARTS[name]
    error = from_status(status, {}, body)
    assert (error.kind, error.param) == ("bad_request", param)
    unwrapped = body.get("error", body) if isinstance(body, dict) else body
    assert from_status(status, {}, unwrapped).param == param, "the client unwraps the error"
    assert from_payload(body).param == param, "in a stream"


@pytest.mark.parametrize(
    ("meaning", "words"), [(name, words) for name, all in SENTENCES.items() for words in all]
)
def test_a_sentence_tells_what_its_code_does_not(meaning: str, words: str) -> None:
    error = from_status(400, {}, openai(words, "invalid_request_error"))
    wrapped = from_status(
        400, {}, openai(f"Error code: 400 - {{'error': {{'message': {words!r}}}}}")
    )
    for found in (error, wrapped):
        if meaning in MEANING:
            assert (found.kind, found.param) == (meaning, None)
        else:
            assert (found.kind, found.param) == ("bad_request", meaning)


@pytest.mark.parametrize("status", [401, 402, 403, 429])
def test_no_field_is_blamed_for_the_account(status: int) -> None:
    assert from_status(status, {}, openai("not supported", None, "temperature")).param is None


def test_a_stream_says_what_a_status_would() -> None:
    assert from_payload({"error": {"code": 429, "message": "slow"}}).kind == "rate_limited"
    assert from_payload({"error": {"code": 400, "message": "no"}}).kind == "bad_request"
    assert from_payload([{"error": {"message": "prompt is too long"}}]).kind == "context_overflow"
    assert from_payload("Internal error").kind == "unavailable"


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({}, "Please try again in 7.5s. See the limits.", 7.5),
        ({}, "Please try again in 2m30s.", 150),
        ({}, "Try again in 60 seconds.", 60),
        ({}, "Please retry your request after 1 minute.", 60),
        ({}, "Please retry in 120ms", 0.12),
        ({"retry-after": "3"}, "Please try again in 7.5s.", 3),
        ({}, "Please try again.", None),
    ],
)
def test_the_wait_is_read_from_the_words_where_no_header_says_it(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    error = from_status(429, headers, openai(message))
    assert error.retry_after_s == seconds


def test_google_says_the_wait_in_a_field() -> None:
    assert from_status(429, {}, KINDS["Gemini, the minute"].body).retry_after_s == 37


def test_the_code_that_tells_most_is_shown() -> None:
    assert from_status(400, {}, KINDS["Gemini, key"].body).code == "API_KEY_INVALID"
    assert from_status(400, {}, openai("no", "unsupported_value")).code == "unsupported_value"
    assert from_status(400, {}, KINDS["xAI, key"].body).code is None


def test_every_kind_has_words() -> None:
    assert set(MEANING) == set(get_args(ErrorKind))
    for kind in MEANING:
        assert failure(kind).detail == ""


def documented(title: str) -> list[tuple[str, str]]:
    """Each row's name, with one of the words behind it."""
    text = section((ROOT / "docs/failures.md").read_text("utf-8"), title)
    rows = re.findall(r"^\| `([^`]+)`[^|]* \| (.*) \|$", text, re.M)
    return [(name, words) for name, cell in rows for words in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize(("name", "words"), documented("What a refusal means"))
def test_the_words_that_are_documented_are_understood(name: str, words: str) -> None:
    error = from_status(400, {}, openai(words))
    if name in MEANING:
        assert (error.kind, error.param) == (name, None)
    else:
        assert (error.kind, error.param) == ("bad_request", name)


def test_the_reasons_that_are_documented_are_those_of_the_code() -> None:
    table = documented("Why an answer ended")
    broken = {word for name, word in table if name == "broken"}
    assert broken == BROKEN_REASONS
    assert {word: name for name, word in table if word not in broken} == REASONS
