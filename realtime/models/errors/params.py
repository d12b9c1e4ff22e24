"""Which part of the request was refused: `ModelError.param`.

Fields that an answer can do without are refused in many words, and half of them come without
a `param`. A tool is `tools[N]` or `tools.NAME`, all of them `tools`; a field of a message is
`messages.FIELD`, and files that it does not take are `files.image`, `files.pdf` or `files`. Five
values ask for something else than to leave a field out:
`messages.reasoning_content:missing`, `messages.thought_signature:missing`,
`provider_state:unreadable`, `reasoning_effort:none` and `messages.system`.
"""

from __future__ import annotations

import re

from .body import Said
from .files import refused_files
from .tables import any_of, named

_NOT = r"(?: not|n[o'’]t)"
_Q = r"[`'\"]?"
_TOOLS = (
    r"(?:tools?|tool[ -](?:use|calls?|calling)|function[ -]?(?:calls?|calling|tools?)|functions?)\b"
)

# The first that is found counts. These are looked for before the kind of an error is known:
# they come as 404, 405 and 500, too.
_REFUSED: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "reasoning_effort:none",
        any_of(
            rf"function tools (?:with|and) {_Q}reasoning_effort",
            rf"set {_Q}reasoning_effort{_Q} to {_Q}none",
        ),
    ),
    (
        "messages.reasoning_content:missing",
        any_of(
            r"(?:reasoning_content|\.thinking|thinking blocks?)\b[^.\n]{0,80}"
            r"\b(?:must|should|needs? to) be (?:passed|sent|included|provided|returned)",
            r"missing\b[^.\n]{0,60}\breasoning_content",
            rf"reasoning_content{_Q} (?:field )?is (?:missing|required)",
            r"must start with a thinking block",
        ),
    ),
    (
        "messages.thought_signature:missing",
        any_of(
            r"missing\b[^.\n]{0,60}\bthought[_ ]?signature",
            r"thought[_ ]?signatures?\b[^.\n]{0,40} missing",
        ),
    ),
    (
        "provider_state:unreadable",
        any_of(
            r"thought[_ ]?signature\b[^.\n]{0,40}\b(?:not valid|invalid|corrupt)",
            r"(?:corrupted|invalid|malformed) (?:thought[_ ]?)?signature",
            r"encrypted[_ ]?content\b.{0,400}\b(?:could not|cannot|can't|failed to) be "
            r"(?:verified|decrypted|parsed|read)",
            r"\brs_\w+[^.\n]{0,60}\b(?:not found|without its required)",
            rf"invalid[_ ](?:encrypted[_ ]content|{_Q}signature{_Q} in {_Q}thinking)",
        ),
    ),
    (
        "messages.system",
        any_of(
            r"system (?:role|messages?|prompts?|instructions?)\b[^.\n]{0,40}\b(?:not |un)support",
            r"only user and assistant roles|developer instruction is not enabled",
            rf"role{_Q} does{_NOT} support {_Q}(?:system|developer)",
            rf"(?:unexpected|unsupported|invalid|unknown) role:? {_Q}system",
            rf"does{_NOT} support (?:the )?{_Q}system\b",
            rf"role: unknown variant {_Q}(?:system|developer)",
        ),
    ),
    (
        "response_format",
        any_of(
            rf"\bdo(?:es)?{_NOT} (?:yet )?support (?:the )?{_Q}"
            r"(?:structured[ _]outputs?|json_schema|response[ _](?:format|mime))",
            r"\b(?:structured[ _]outputs?|json_schema|response[ _](?:format|mime type))\b"
            r"[^.\n]{0,60}\b(?:(?:not |un)(?:support|available|allowed)|disabled)",
            r"invalid schema for response_format",
        ),
    ),
    (
        "tools",
        any_of(
            r"tool[_ ]choice requires|tool[_ -]call[_ -]parser|requires --jinja|cannot use tools",
            rf"\bdo(?:es)?{_NOT} support (?:the )?(?:use of |native )?"
            rf"(?:param(?:eter)?s?:? )?{_Q}{_TOOLS}(?!{_Q} type)",
            rf"\b{_TOOLS}{_Q} (?:param(?:eter)? |features? )?(?:(?:is|are) )?(?:currently )?"
            r"(?:(?:not |un)(?:support|available|enabled|allowed|permitted)|disabled|n't support)",
            rf"\bno\b[^.\n]{{0,60}}\bsupports? {_TOOLS}",
            rf"unsupported (?:param(?:eter)?|field):? {_Q}tools",
            # Of one tool, and nobody says of which.
            r"failed to (?:parse|initialize|convert) (?:tools|grammar|json schema)",
            r"json schema conversion failed|\btools\.function\.|function name is invalid",
        ),
    ),
)

_INDEXED = (
    any_of(r"\btools\[0\]\.function_?declarations\[(\d+)\]"),
    any_of(r"\btools[\[.](\d+)\b"),
)
_NAMED = any_of(
    rf"(?:invalid|unsupported|bad) (?:\w+ )?schema (?:for|of|in) (?:function|tool) {_Q}([\w.-]+)",
    rf"\b(?:function|tool) (?!name ){_Q}([\w.-]+){_Q}"
    r" (?:has an? invalid|(?:parameters )?schema|is invalid)",
    r"because [`'\"]([\w.-]+)[`'\"] function_?declaration",
)

# More than the model can write; some say so beside the length of its context.
_TOO_MUCH = any_of(
    r"(?<!\+ )(?<!\+ [`'\"])\b(max_(?:completion_|output_)?tokens)[`'\"]*"
    r"(?:(?: or \S+)? (?:is|are) too large| must be (?:less|at most|between|<)|: \d+ >)"
)

FIELDS = named(
    """
    temperature top_p top_k min_p reasoning_effort reasoning effort include include_usage
    include_obfuscation stream_options service_tier prompt_cache_key prompt_cache_retention
    prompt_cache_options safety_identifier store metadata user max_tokens max_completion_tokens
    max_output_tokens parallel_tool_calls tool_choice response_format text frequency_penalty
    presence_penalty seed stop logprobs verbosity truncation background thinking enable_thinking
    chat_template_kwargs
    """
)
_PLAIN_WORDS = named("reasoning effort include store metadata seed text thinking background")
"""Fields that are words of any sentence: only in quotes do they mean the field."""
_OTHER_WORDS = named("user stop")
"""Fields that are a role and a finish reason, too: quotes do not tell."""
_OF_MESSAGES = named(
    """
    reasoning_content reasoning_details extra_content thought_signature tool_call_id phase
    annotations refusal
    """
)
_THINKS = named("think thinking_config thinking_budget thinking_level reasoning_level effort")
_INSIDE_OF = {"include_usage": "stream_options", "include_obfuscation": "stream_options"}

_NAME = r"[`'\"(]{0,3}\b([A-Za-z_][\w.\[\]]{0,99})"
_PARAMETER = r"(?:parameter|argument|arg|param|field|propert(?:y|ie)|key|option)s?"
_STRONG = (
    any_of(rf"\buse {_Q}max_\w+{_Q} instead of {_NAME}"),
    any_of(
        r"\b(?:unrecogni[sz]ed|unknown|unsupported|unexpected|extra|additional|invalid|illegal)"
        rf" (?:(?:request|keyword|body|input) )?(?:{_PARAMETER}|name)(?:\(s\))?"
        rf"(?: (?:supplied|found|provided|passed|included|are not allowed))? ?:? {_NAME}"
    ),
    any_of(rf"\bdoes{_NOT} support (?:the )?{_PARAMETER}:? {_NAME}"),
    any_of(rf"\b{_PARAMETER}:? {_NAME}[`'\")]* (?:is|was|are) (?:not |un|depr|only|cur)"),
    any_of(rf"{_NAME}{_Q}:? extra inputs are not permitted"),
    any_of(
        rf"\b(messages[\[.]\d{{1,5}}[\w.\[\]]{{0,99}}\.\w{{1,99}}){_Q}:? [^.\n]{{0,60}}"
        r"(?:(?:not |un)supported|not (?:permitted|allowed)|\bunknown)"
    ),
)
_THINKING = any_of(
    rf"does{_NOT} support (?:thinking|reasoning)\b",
    r"\b(?:thinking|reasoning) (?:(?:mode|effort) )?is (?:not supported|unsupported)",
    r"\b(?:thinking|reasoning) (?:level|budget|effort)|thinking_budget",
    r"invalid (?:think|reasoning) value|\bthink value|only works in thinking mode",
    r"reasoning is mandatory",
)
_REFUSING = any_of(
    r"\bnot (?:\w+ )?(?:supported|allowed|permitted|valid|recogni[sz]ed|available|compatible)",
    rf"\bdoes{_NOT} (?:support|accept|allow)|unsupported|deprecated|only the default",
    r"only \S+ is allowed|\b(?:invalid|unknown|unrecogni[sz]ed|unexpected)\b",
    r"\bcan ?not (?:both )?be\b|\b(?:must|should|may only) be\b|\binstead\b",
    r"\brange:|out of range|valid range",
)
_WORD = re.compile(r"""([`'"]?)\b([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)\b([`'"]?)""")


def refused(said: Said) -> str | None:
    """What is refused in words that cannot mean anything else."""
    text = said.text
    if "invalid_encrypted_content" in said.codes:
        return "provider_state:unreadable"
    if any(kind == "extra_forbidden" and path[-1:] == ("tools",) for kind, path in said.places):
        return "tools"
    for param, pattern in _REFUSED:
        if pattern.search(text):
            return param
    if found := _TOO_MUCH.search(text):
        return found[1].lower()
    return refused_files(said) or _one_tool(said)


def guessed(said: Said, *, sure: bool) -> str | None:
    """The field that is refused, by the provider's `param`, by a path, or by the sentence;
    `sure`: not one that is only mentioned."""
    given = of_path(said.param) if said.param else None
    if given and given.partition(".")[0] in (*FIELDS, "messages", "input"):
        return given
    for kind, path in said.places:
        if kind == "missing" and path[-1:] == ("reasoning_content",):
            return "messages.reasoning_content:missing"
        if kind != "missing" and (param := _of_place(kind, path)):
            return param
    text = said.text
    for pattern in _STRONG:
        for found in pattern.finditer(text):
            if param := of_path(found[1]):
                return param
    if _THINKING.search(text):
        return "reasoning_effort"
    mentioned = None if sure or not _REFUSING.search(text) else _mentioned(text)
    return mentioned or given


def of_path(path: str) -> str | None:
    """A path in a request as we write it, if it may be one."""
    path = path.strip("`'\"() .").removeprefix("body.")
    names = [_snake(part) for part in re.split(r"[.\[\]]+", path) if part and not part.isdecimal()]
    if not names or not re.fullmatch(r"[A-Za-z_][\w.\[\]-]*", path):
        return None
    if path.startswith("tools"):
        return _index(path) or ("tools" if len(names) == 1 else None)
    if names[0] in ("messages", "input", "contents"):
        field = names[-1]
        return f"messages.{field}" if len(names) > 1 else None
    return _field(".".join(names[:2]))


def _field(name: str) -> str | None:
    if name in _OF_MESSAGES:
        return f"messages.{name}"
    if name in _THINKS:
        return "reasoning_effort"
    if outer := _INSIDE_OF.get(name):
        return f"{outer}.{name}"
    root = name.partition(".")[0]
    return name if root in FIELDS or "_" in root else None


def _of_place(kind: str, path: tuple[str | int, ...]) -> str | None:
    names = [str(part) for part in path if part != "body"]
    if not names:
        return None
    if names[0] == "messages" and kind != "extra_forbidden":
        return None
    return of_path(".".join(names))


def _mentioned(text: str) -> str | None:
    for found in _WORD.finditer(text):
        name = _snake(found[2])
        quoted = bool(found[1]) and found[1] == found[3]
        root = name.partition(".")[0]
        meant = root in FIELDS and (quoted or root not in _PLAIN_WORDS)
        if (meant and root not in _OTHER_WORDS) or name in _OF_MESSAGES:
            return _field(name)
    return None


def _one_tool(said: Said) -> str | None:
    text = said.text
    for _, path in said.places:
        if found := _index(".".join(map(str, path))):
            return found
    if found := _index(said.param or "") or _index(text):
        return found
    if tool := _NAMED.search(text):
        return f"tools.{next(filter(None, tool.groups())).rstrip('.')}"
    return None


def _index(text: str) -> str | None:
    for pattern in _INDEXED:
        if found := pattern.search(text):
            return f"tools[{int(found[1])}]"
    return None


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
