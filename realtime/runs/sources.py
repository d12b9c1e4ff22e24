"""What an answer cites, as the log keeps it: bounded, and with its place in the message."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from ..core.answer import Answer
from ..models import Citation, Cited
from ..protocol import CitedSource, Event, Sources, clean_text, utf16_len

MAX_SOURCES = 20  # of one event
MAX_URL = 2000
MAX_TITLE = 200


def sources_of(cited: Cited, answer: Answer, length: int, said: Callable[[], str]) -> list[Event]:
    """The events, of what the log does not have. `length`: where the text of the message has come
    to, which is the end of the text that was cited in; `said` gives the text of this step, where
    the model gives none."""
    text = cited.text
    if text is None and any(item.start is not None for item in cited.citations):
        text = said()
    sources = [_source(item, text or "", length) for item in cited.citations]
    new = list({source: None for source in sources if source and source not in answer.sources})
    return [
        Sources(message_id=answer.message_id, sources=new[at : at + MAX_SOURCES])
        for at in range(0, len(new), MAX_SOURCES)
    ]


def _source(item: Citation, text: str, length: int) -> CitedSource | None:
    url = item.url if item.url and _is_link(item.url) else None
    if not url and not item.file_id:
        return None
    start = end = None
    if item.start is not None and item.end is not None and 0 <= item.start <= item.end <= len(text):
        start = length - utf16_len(text[item.start :])
        end = length - utf16_len(text[item.end :])
    if start is not None and start < 0:
        start = end = None  # something of the text is not in the message
    title = clean_text(item.title)[:MAX_TITLE] if item.title else None
    file_id = clean_text(item.file_id)[:MAX_TITLE] if item.file_id else None
    return CitedSource(url=url, title=title, file_id=file_id, start=start, end=end)


def _is_link(url: str) -> bool:
    try:
        return (
            len(url) <= MAX_URL and url.isprintable() and urlsplit(url).scheme in ("http", "https")
        )
    except ValueError:
        return False
