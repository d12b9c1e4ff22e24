"""What kind of failure it is: by code, by sentence, by status, in this order.

Codes and sentences are those of the providers' documentation and of what people reported.
docs/failures.md shows sentences of each kind; the suite reads them there.
"""

from __future__ import annotations

import re

from .. import ErrorKind
from .body import Said
from .tables import any_of

_CODES: dict[ErrorKind, str] = {
    # Waiting does not help against these; they come as 429, too.
    "quota": """
        insufficient_quota credit_balance_exhausted organization_spend_limit_exceeded
        project_spend_limit_exceeded organization_usage_limit_exceeded billing_hard_limit_reached
        billing_not_active exceeded_current_quota_error insufficient_balance insufficient_credits
        payment_required billing_error budget_exceeded arrearage 1113
        """,
    "rate_limited": """
        rate_limit_exceeded rate_limit_error rate_limit_reached_error rate_limited slow_down
        too_many_requests resource_exhausted throttlingexception throttling 1302 1303
        """,
    "context_overflow": """
        context_length_exceeded exceed_context_size_error context_window_exceeded
        request_too_large model_max_prompt_tokens_exceeded 1261
        """,
    "content_filter": """
        content_filter content_policy_violation responsibleaipolicyviolation
        prohibited_content data_inspection_failed datainspectionfailed moderation_blocked
        bio_policy cyber_policy misalignment_policy_violation content_filtered 1301
        """,
    "unauthorized": """
        invalid_api_key api_key_invalid authentication_error invalid_authentication_error
        permission_error permission_denied unauthenticated unauthorized account_deactivated
        access_terminated
        unsupported_country_region_territory
        """,
    "not_found": """
        model_not_found model_not_available model_not_supported model_decommissioned
        unsupported_api_for_model
        deploymentnotfound not_found_error modelnotfound 1211
        """,
    "unavailable": "overloaded_error engine_overloaded_error server_overloaded model_overloaded",
    "timeout": "timeout timeout_error request_timeout deadline_exceeded",
    "bad_request": """
        unsupported_parameter unsupported_value unknown_parameter missing_required_parameter
        invalid_function_parameters
        """,
}
_KINDS = {code: kind for kind, text in _CODES.items() for code in text.split()}

# These say only whose fault it was: a sentence or a telling status says more.
_VAGUE: dict[str, ErrorKind] = {
    "invalid_request_error": "bad_request",
    "invalid_prompt": "bad_request",
    "data_residency_mismatch": "bad_request",
    "badrequesterror": "bad_request",
    "invalid_argument": "bad_request",
    "server_error": "unavailable",
    "internal_error": "unavailable",
    "internal_server_error": "unavailable",
}

_KEY = r"(?:api|access|auth|x-api)[-_ ]?(?:key|token)"
_MODEL = r"\bmodels?\b[^.;\n]{0,120}?"
_SAID = r"(?:prompt|input|request|content|messages?|text|response)"
_WAS = r"(?:is|are|was|were|has been|have been)"
_NOT = r"(?: not|n[o'’]t)"

# The first that is found counts.
_SENTENCES: tuple[tuple[ErrorKind, re.Pattern[str]], ...] = (
    (
        "quota",
        any_of(
            rf"(?:credit|account)s? (?:balance )?{_WAS} (?:too low|exhausted|depleted|used up)",
            r"insufficient (?:\w+ )?(?:balance|credits?|funds|quota)",
            r"(?:out of|no more|used all|not enough|requires more|exhausted your)"
            r" (?:\w+ ){0,3}credits?",
            r"exceeded your monthly|free (?:tier|quota)\b[^.\n]{0,40} exhausted|overdue",
            r"(?:reached|hit|exceeded) your (?:\w+ ){0,3}usage limit",
            r"payment (?:instrument|method)|requires a (?:paid )?(?:subscription|plan)\b",
            r"(?:credit|spend(?:ing)?|billing|budget) (?:hard )?limit|key limit exceeded",
            rf"(?:your|daily|weekly|monthly) (?:usage )?limit (?:{_WAS} )?(?:reached|exceeded)",
            r"balance is insufficient|run out of (?:funds|credits?)",
            r"budget (?:has been )?exceeded|exceeded budget",
            r"account is in good standing|past invoices|please recharge|余额不足|欠费",
        ),
    ),
    (
        "unauthorized",
        any_of(
            rf"(?:account|organi[sz]ation|access|project) (?:\S+ ){{0,3}}{_WAS}"
            r" (?:disabled|deactivated|terminated|banned|suspended)",
        ),
    ),
    (
        "content_filter",
        any_of(
            r"content[ _-](?:management )?polic(?:y|ies)|content[ _-]filter|ContentPolicyViolation",
            r"(?:violat\w+|against) (?:\w+['’]?s? ){0,4}(?:usage|safety|content|use)"
            r" (?:polic(?:y|ies)|guidelines)",
            rf"{_SAID} (?:\w+ )?{_WAS} (?:flagged|considered high risk|moderated)",
            rf"{_SAID} {_WAS} (?:blocked|rejected|filtered)"
            r"[^.\n]{0,60}(?:safety|polic|filter|guardrail|risk|prohibited|moderation)",
            r"safety system|PROHIBITED_CONTENT|SAFETY_CHECK|content exists risk",
            r"(?:inappropriate|sensitive) (?:content|information)|guardrail|敏感|new_sensitive",
        ),
    ),
    (
        "context_overflow",
        any_of(
            r"context[ _-]?(?:length|window|size|limit)|maximum context|context (?:the )?overflow",
            r"(?:prompt|input|request|message|text|conversation|content|payload|entity|body)s?"
            r" (?:(?:is|are|was) )?too (?:long|large)",
            r"(?:maximum|max) (?:prompt|input|sequence) length",
            r"exceeds? (?:the )?max(?:imum)? (?:allowed )?(?:length|size|number of tokens)",
            r"too many (?:input |total |prompt )?tokens(?!, please wait| per| processed)",
            r"(?:token length|string) too long|longer than the (?:maximum )?(?:model|context)",
            r"tokens?\b[^.\n]{0,40}\bexceeds?\b[^.\n]{0,40}\b(?:maximum|limit|max)",
            r"exceed max message tokens|range of input length|context shift is disabled",
            r"exceed\w* (?:\w+ ){0,3}token limit(?!s? per)",
            r"\binputs?[`'\"]? (?:tokens \+|must have less than)",
            r"reduce (?:the length of )?(?:the |your )(?:messages?|prompt|input)",
        ),
    ),
    (
        "unauthorized",
        any_of(
            rf"(?:incorrect|invalid|wrong|missing|expired|malformed|unknown|no) (?:\w+ )?{_KEY}",
            rf"{_KEY} (?:\w+ )?(?:{_WAS} )?(?:not (?:valid|found|provided|configured)"
            r"|invalid|incorrect|expired|missing|required|disabled|revoked)",
            rf"(?:provide|renew|include) (?:(?:an?|the|your) )?(?:valid )?{_KEY}",
            r"authentication (?:fail|credential|error)|invalid authentication",
            r"(?:no|invalid) (?:auth )?credentials",
            r"invalid (?:bearer )?token|not authorized to|location is not supported",
        ),
    ),
    (
        "not_found",
        any_of(
            rf"{_MODEL}(?:(?:does|do){_NOT}|not) exist|{_MODEL}\bnot found",
            rf"{_MODEL}{_WAS} (?:decommissioned|deprecated|retired|shut down|disabled)",
            rf"{_MODEL}no longer (?:available|supported)",
            rf"{_MODEL}\bis not (?:available|known|served|loaded)",
            r"not a (?:valid|supported) model|on-demand throughput",
            r"(?:no such|unknown|invalid|unsupported|unrecognized) model\b",
            r"model (?:identifier|id|name) is (?:invalid|not valid)|\bmodel is not supported",
            r"no endpoints found for|no models?(?: is| are)? loaded|模型不存在",
            r"llm provider not provided",
        ),
    ),
    (
        "rate_limited",
        any_of(
            r"rate[ -]?limit|too many requests|requests per (?:minute|second|day)",
            r"too many (?:concurrent|tokens)|quota exceeded for",
        ),
    ),
    (
        "unavailable",
        any_of(
            r"overloaded|(?:over|at) capacity|temporarily unavailable|service unavailable",
            r"^loading model\b|currently loading|has crashed|no healthy upstream|bad gateway",
        ),
    ),
)
_QUOTA = _SENTENCES[0][1]
_OVERFLOW = dict(_SENTENCES)["context_overflow"]
_CURRENT_QUOTA = any_of(r"exceeded your current quota|check your billing")
_BY_DAY = any_of(r"PerDay|limit: 0\b")


def kind_of(said: Said, status: int | None) -> ErrorKind | None:
    """The kind by codes and sentences. None where they say no more than the status."""
    kinds = [kind for code in said.codes if (kind := _KINDS.get(code.lower()))]
    text = said.text
    # Google calls the rate of a minute a quota, too.
    passes = "RESOURCE_EXHAUSTED" in said.codes and not _BY_DAY.search(text)
    if "quota" in kinds or _QUOTA.search(text) or (_CURRENT_QUOTA.search(text) and not passes):
        return "quota"
    # A request over the tokens of a minute will never be under them.
    if _OVERFLOW.search(text) and "content_filter" not in kinds:
        return "context_overflow"
    if kinds:
        return kinds[0]
    vague = status is None or kind_of_status(status) in ("bad_request", "unavailable", "malformed")
    for kind, pattern in _SENTENCES:
        if (vague or kind == "content_filter") and pattern.search(text):
            return kind
    return None


def vague_kind(said: Said, status: int | None) -> ErrorKind | None:
    """The kind by vague codes and the status, where nothing says more."""
    kinds = [kind for code in said.codes if (kind := _VAGUE.get(code.lower()))]
    kind = kinds[0] if kinds else None
    for number in (status, said.status):
        # A code that only says "this is a client error" must not hide a telling status.
        if number is not None and kind in (None, "bad_request"):
            kind = kind_of_status(number)
    return kind


def telling_code(said: Said) -> str | None:
    """The code to show to the operator: a known one first, never a bare number."""
    known = [code for code in said.codes if code.lower() in _KINDS]
    words = [code for code in (*known, *said.codes) if not code.isdecimal()]
    return words[0] if words else None


def kind_of_status(status: int) -> ErrorKind:
    match status:
        case 401 | 403:
            return "unauthorized"
        case 402:
            return "quota"
        case 404 | 405 | 410:
            return "not_found"
        case 407:
            return "unavailable"
        case 408:
            return "timeout"
        case 413:
            return "context_overflow"
        case 429:
            return "rate_limited"
        case _ if status >= 500:
            return "unavailable"
        case _ if status >= 400:
            return "bad_request"
        case _:
            return "malformed"
