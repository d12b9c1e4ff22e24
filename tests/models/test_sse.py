from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.models import ModelError
from realtime.models.sse import EventDecoder, decode_json


def reference(stream: bytes) -> list[bytes]:
    """The payloads by the letter of the specification, one byte after the other."""
    lines, line, before = [], b"", b""
    for byte in (stream[i : i + 1] for i in range(len(stream))):
        if byte == b"\n" and before == b"\r":
            pass
        elif byte in (b"\r", b"\n"):
            lines.append(line)
            line = b""
        else:
            line += byte
        before = byte
    payloads, data = [], []
    for line in lines:
        if not line:
            if any(data):
                payloads.append(b"\n".join(data))
            data = []
            continue
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value[1:] if value.startswith(b" ") else value)
    return payloads


PIECES = (b"data: ", b"data:", b"data", b"event: x", b": ping", b"id: 7", b"\n", b"\n\n")
PIECES += (b"\r\n", b"\r", b"\r\n\r\n", b" ", b"{}", b"a:b", "é😀".encode())


@settings(derandomize=True, database=None, max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=30), st.lists(st.integers(1, 9)))
def test_agrees_with_the_specification_wherever_the_reads_are_cut(
    pieces: list[bytes], sizes: list[int]
) -> None:
    stream = b"".join(pieces)
    decoder, payloads, start = EventDecoder(), [], 0
    for size in sizes:
        payloads += decoder.feed(stream[start : start + size])
        start += size
    payloads += decoder.feed(stream[start:])
    assert payloads == reference(stream)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_line_endings_and_read_sizes(ending: bytes, size: int) -> None:
    lines = [b": ping", b"event: delta", b"data: {", b'data: "a": "\xf0\x9f\x98\x80"}', b""]
    lines += [b"data:x", b"", b"", b"id: 1", b"", b"data: last", b"", b"data: unfinished", b""]
    stream = ending.join(lines)
    decoder, payloads = EventDecoder(), []
    for start in range(0, len(stream), size):
        payloads += decoder.feed(stream[start : start + size])
    assert payloads == [b'{\n"a": "\xf0\x9f\x98\x80"}', b"x", b"last"]
    assert decoder.count == 3
    assert not decoder.done


def test_done_ends_the_payloads() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: 1\n\ndata: [DO") == [b"1"]
    assert not decoder.done
    assert decoder.feed(b"NE]\n\ndata: 2\n\n") == []
    assert decoder.done
    assert decoder.feed(b"data: 3\n\n") == []


@pytest.mark.parametrize("ending", [b"", b"\n\n", b"\n\ndata: 1\n\n"])
@pytest.mark.parametrize("size", [7, 10_000])
def test_an_endless_event_is_malformed(size: int, ending: bytes) -> None:
    decoder = EventDecoder(max_event_bytes=1000)
    assert decoder.feed(b"data: " + b"x" * 900 + b"\n\n") == [b"x" * 900]
    stream = b"data: " + b"x" * 2000 + ending
    with pytest.raises(ModelError) as caught:
        [decoder.feed(stream[i : i + size]) for i in range(0, len(stream), size)]
    assert caught.value.kind == "malformed"


class Text(msgspec.Struct):
    text: str


TEXT = msgspec.json.Decoder(Text)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (rb'{"text": "\ud83d\ude00"}', "😀"),
        (rb'{"text": "a\ud83d"}', "a\ud83d"),
        (rb'{"text": "\ude00b"}', "\ude00b"),
        (b'{"text": "\xff"}', "\ufffd"),
    ],
)
def test_half_characters_are_kept(payload: bytes, text: str) -> None:
    assert decode_json(TEXT, payload).text == text


@pytest.mark.parametrize("payload", [b"{", b"nonsense", b'{"text": 1}', b"[" * 100_000])
def test_what_is_no_json_is_malformed(payload: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        decode_json(TEXT, payload)
    assert caught.value.kind == "malformed"
    assert "nonsense" not in caught.value.message
