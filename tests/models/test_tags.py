"""Thoughts in tags, wherever the pieces are cut."""

from __future__ import annotations

import itertools

import pytest

from realtime.models.tags import Tags


def parted(pieces: list[str]) -> tuple[str, str]:
    tags = Tags()
    said = {"text": "", "reasoning": ""}
    for piece in pieces:
        if tags.settled:
            said["text"] += piece
            continue
        for delta in tags.feed(piece):
            said[delta.kind] += delta.text
    for delta in tags.finish():
        said[delta.kind] += delta.text
    return said["reasoning"], said["text"]


def cuts(text: str) -> list[list[str]]:
    """The text in one piece, in single characters, and in every two or three."""
    many = [[text], list(text)]
    many += [[text[:a], text[a:]] for a in range(len(text) + 1)]
    places = range(1, len(text), 3)
    many += [[text[:a], text[a:b], text[b:]] for a, b in itertools.combinations(places, 2)]
    return many


@pytest.mark.parametrize(
    ("text", "thought", "said"),
    [
        ("<think>Hm. 2 < 3</think>\n\nFour.", "Hm. 2 < 3", "Four."),
        ("\n<think>\nHm.\n</think>Four.", "\nHm.\n", "Four."),
        ("<thinking>Hm.</thinking>Four.", "Hm.", "Four."),
        ("<thought>a</thought> <think>b</think> Four.", "ab", "Four."),
        ("[THINK]Hm.[/THINK]Four.", "Hm.", "Four."),
        ("<think></think>Four.", "", "Four."),
        ("<think>Cut off </thi", "Cut off </thi", ""),
        ("<think>Only this.</think>\n", "Only this.", ""),
        ("Four. <think>is a tag</think>", "", "Four. <think>is a tag</think>"),
        ("<thi", "", "<thi"),
        ("<thinker>x", "", "<thinker>x"),
        ("  <b>x</b>", "", "  <b>x</b>"),
        ("", "", ""),
    ],
)
def test_thoughts_are_told_from_text(text: str, thought: str, said: str) -> None:
    for pieces in cuts(text):
        assert parted(pieces) == (thought, said), pieces


def test_white_space_is_not_held_for_ever() -> None:
    tags = Tags()
    assert [delta.text for delta in tags.feed(" " * 100)] == [" " * 100]
    assert tags.settled
