"""What a tool returned, as JSON can hold it: bounded for the wire and the model, and whole.

Encoding goes piece by piece in Python and stops at the bound, because one call into C
over a huge result would hold up every other thread, the server's too.
"""

from __future__ import annotations

import inspect
import json
import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec
import pydantic_core

from ..protocol import clean_text, is_short, to_json
from .context import ToolError

MAX_OUTPUT = 64 * 1024
"""Bytes as JSON; what is longer goes to the model and the devices as a text that is cut."""

MAX_KEPT = 10 * 1024 * 1024
"""Bytes of a longer output that are kept for whoever fetches it."""


class Output(msgspec.Struct):
    """`value` is what the model and the devices get; `full` is set where that was cut."""

    value: Any
    full: Full | None = None


class Full(msgspec.Struct):
    """An output as it is kept. `kind`: what the bytes are; JSON that was cut is text."""

    data: bytes
    kind: Literal["json", "text"]


def written(result: Any) -> Output:
    """The result as an output. Raises `ToolError` where it cannot be written as JSON, and what a
    generator raised."""
    encoder = _Encoder()
    whole = True
    try:
        encoder.put(result)
    except _Enough:
        whole = False
    except _Raised as raised:
        raise raised.error from raised.error.__cause__
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ToolError(f"the result cannot be written as JSON: {type(error).__name__}") from None
    text = "".join(encoder.pieces)
    if whole and len(text) <= MAX_OUTPUT and len(text.encode()) <= MAX_OUTPUT:
        return Output(json.loads(text))
    if isinstance(result, str):
        text = json.loads(text)
    data = text.encode()
    size = f"{len(data)} bytes in all" if whole else f"more than {MAX_KEPT} bytes in all"
    kept = data if whole else data[:MAX_KEPT].decode(errors="ignore").encode()
    is_json = whole and not isinstance(result, str)
    return Output(_shortened(text, size), Full(kept, "json" if is_json else "text"))


def _shortened(text: str, size: str) -> str:
    room = MAX_OUTPUT // 2
    while True:
        cut = f"{text[:room]}… [cut: {size}]"
        if len(to_json(cut)) <= MAX_OUTPUT:
            return cut
        room //= 2


class _Enough(Exception):
    """There is more than is kept."""


class _Raised(Exception):
    """A generator raised this `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Encoder:
    """JSON in pieces. Raises `_Enough` when the bound is passed; the pieces then end there."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._room = MAX_KEPT

    def put(self, value: Any) -> None:
        if value is None or value is True or value is False:
            self._add(json.dumps(value))
        elif type(value) is int:
            self._add(json.dumps(value if is_short(value) else str(value)))
        elif type(value) is float:
            self._add(json.dumps(value) if math.isfinite(value) else "null")
        elif type(value) is str:
            self._string(value)
        elif isinstance(value, dict):
            self._object(value)
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            self._array(value)
        elif isinstance(value, Iterator):
            self._array(_generated(value))
        elif isinstance(value, (bytes, bytearray, memoryview)) and len(value) > MAX_KEPT:
            self._string(bytes(value[: MAX_KEPT + 4]).decode(errors="ignore"))
        elif inspect.iscoroutine(value):
            value.close()
            raise TypeError("a coroutine that was never awaited")
        else:
            self.put(pydantic_core.to_jsonable_python(value, serialize_unknown=True))

    def _add(self, piece: str) -> None:
        self.pieces.append(piece)
        self._room -= len(piece)
        if self._room < 0:
            raise _Enough

    def _string(self, value: str) -> None:
        whole = len(value) <= MAX_KEPT
        self._add(json.dumps(clean_text(value[:MAX_KEPT]), ensure_ascii=False))
        if not whole:
            raise _Enough

    def _array(self, values: Iterable[Any]) -> None:
        self._add("[")
        for place, value in enumerate(values):
            if place:
                self._add(",")
            self.put(value)
        self._add("]")

    def _object(self, values: dict[Any, Any]) -> None:
        self._add("{")
        for place, (key, value) in enumerate(values.items()):
            if place:
                self._add(",")
            if type(key) is not str:
                (key,) = pydantic_core.to_jsonable_python({key: None}, serialize_unknown=True)
            self._string(key)
            self._add(":")
            self.put(value)
        self._add("}")


def _generated(values: Iterator[Any]) -> Iterator[Any]:
    """The same, with its own errors told apart from those of writing."""
    try:
        yield from values
    except Exception as error:
        raise _Raised(error) from None
