"""Whether a model takes no images, or no PDF, by what its server says.

A refusal of one file says nothing of the others: one that is too large, broken, of an unknown
format or out of reach.
"""

from __future__ import annotations

import re

from .body import Said
from .tables import any_of

_NOT = r"(?: not|n[o'’]t)"
_Q = r"[`'\"]{0,2}"
_AS = r"(?:[ _-](?:inputs?|content|urls?|parts?|blocks?|understanding|data|modalit\w+))*"
_NO = (
    r"(?:not|un|only) ?(?:currently )?"
    r"(?:support|enabled|available|allowed|permitted|accepted)(?!\w* any)"
)
_SENTENCE = re.compile(r"(?<=[.;!])\s+|\n")

_ONE_FILE = any_of(
    r"\b(?:formats?|mime|extensions?|encod\w+|decod\w+|base64|corrupt\w*|damaged|broken|empty)\b",
    r"\b(?:large\w*|big\w*|small\w*|size\w*|dimensions?|resolution|pixels?|exceed\w*|long\w*)\b",
    r"\b(?:download\w*|fetch\w*|https?|remote|password|encrypted|number of|more than|too many)\b",
    r"\b(?:image/\w|urls\b|\.(?:png|jpe?g|gif|webp|svg|heic|bmp|tiff?)\b(?!.*does not support))",
)


def _refused(noun: str) -> re.Pattern[str]:
    """How servers say that they do not take what is called so."""
    named = rf"{_Q}{noun}{_AS}{_Q}"
    return any_of(
        rf"\b(?:(?:do|does){_NOT}|cannot|can't) (?:currently )?"
        rf"(?:support|accept|allow|take|handle|have|see) (?:the |any |an? )?{named}(?![\w/])",
        rf"\b{named} (?:messages? )?(?:(?:is|are) )?(?:currently )?{_NO}",
        rf"\b(?:unknown|unsupported|invalid|unexpected|unrecogni[sz]ed) (?:\w+ ){{0,2}}"
        rf"(?:variant|value|type|content|part|block|message)s?(?: for)?:? ?\S*{_Q}{noun}{_AS}{_Q}",
        rf"\bno\b[^.\n]{{0,60}}\bsupports? {named}",
        rf"\bat most 0 {noun}|missing data required for {named}",
    )


_IMAGES = (
    _refused(r"(?:images?|input_image|vision|visual)"),
    any_of(r"must provide the mmproj|\bnot an? (?:vision|vlm|visual)\b"),
)
_PDF = (_refused(r"(?:input_file|file_data|pdfs?|documents?|files?(?!\w|[ _-]search))"),)
_NO_PDF_AT_ALL = any_of(r"unsupported mime type:? \W?application/pdf")
_EITHER = any_of(
    r"\bnot an? multi-?modal|\btext[- ]only (?:model|endpoint|inputs?)",
    rf"\bdoes{_NOT} support (?:the )?(?:multi-?modal|media|attachments?)|only supports? text\b",
    rf"\bmulti-?modal\b[^.\n]{{0,40}}\b{_NO}|unsupported content\[\]\.type",
    rf"\bcontent\S{{0,4}}:? [^.\n]{{0,60}}\b(?:be|expected) {_Q}(?:an? )?(?:valid )?{_Q}string"
    r"(?!.*\bgot (?:null|none))",
    r"不支持(?:图片|图像|多模态|视觉)",
)


def refused_files(said: Said) -> str | None:
    """`files.image`, `files.pdf`, or `files` where it may be either."""
    sentences = [one for one in _SENTENCE.split(said.text) if not _ONE_FILE.search(one)]
    for param, patterns in (("files.image", _IMAGES), ("files.pdf", _PDF), ("files", (_EITHER,))):
        if any(pattern.search(one) for pattern in patterns for one in sentences):
            return param
    if _NO_PDF_AT_ALL.search(said.text):
        return "files.pdf"
    if any(_no_parts(kind, path) for kind, path in said.places):
        return "files"
    return None


def _no_parts(kind: str, path: tuple[str | int, ...]) -> bool:
    """Whether pydantic wanted a text where a message had parts."""
    return kind == "string_type" and "content" in path[-2:]
