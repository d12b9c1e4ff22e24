"""What servers of Chat Completions say that an answer cites, each in its own field."""

from __future__ import annotations

from typing import Any

from .. import Citation, Cited


class Citations:
    """Annotations of the message (OpenAI's search models, OpenRouter), `citations` and
    `search_results` of the answer (Perplexity, xAI)."""

    def __init__(self) -> None:
        self._annotations: list[Any] = []
        self._urls: list[Any] = []
        self._results: list[Any] = []

    def annotated(self, annotations: Any) -> None:
        if isinstance(annotations, list):
            self._annotations += annotations

    def listed(self, urls: Any, results: Any) -> None:
        """Each piece has all of them so far."""
        self._urls = urls if isinstance(urls, list) else self._urls
        self._results = results if isinstance(results, list) else self._results

    def finish(self) -> list[Cited]:
        found = [item for given in self._annotations for item in _annotation(given)]
        if not found:
            results = [item for item in self._results if isinstance(item, dict)]
            titles = {item.get("url"): item.get("title") for item in results}
            urls = [item if isinstance(item, str) else _url(item) for item in self._urls]
            urls = urls or list(titles)
            found = [Citation(url, _text(titles.get(url))) for url in urls if isinstance(url, str)]
        return [Cited(tuple(found))] if found else []


def _annotation(given: Any) -> list[Citation]:
    if not isinstance(given, dict):
        return []
    inner = given.get("url_citation")
    about = inner if isinstance(inner, dict) else given
    url = _text(about.get("url"))
    start, end = about.get("start_index"), about.get("end_index")
    placed = isinstance(start, int) and isinstance(end, int)
    place = (start, end) if placed else (None, None)
    return [Citation(url, _text(about.get("title")), None, *place)] if url else []


def _url(item: Any) -> Any:
    return item.get("url") if isinstance(item, dict) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
