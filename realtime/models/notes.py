"""A file in words, for a model that does not get it. No I/O."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from ..protocol import File, Kind
from . import Media, UserText

TEXT_BYTES = 100_000
"""So much of a text file a model is given."""

_WORDS = {"image": "image", "pdf": "PDF"}


def note(file: File | Media, why: str = "") -> str:
    """`[image: name]`, and perhaps why it is not there."""
    return f"[{_WORDS.get(file.kind, 'file')}: {file.name}{why and f', {why}'}]"


def noted(item: UserText) -> UserText:
    """The text with a note in place of each file."""
    notes = [note(file) for file in item.files if isinstance(file, File)]
    media = tuple(file for file in item.files if isinstance(file, Media))
    return replace(item, text=joined(item.text, notes), files=media)


def without_media(item: UserText, kinds: Collection[Kind]) -> UserText:
    """The text with a note in place of each file of these kinds that was to go along."""
    left = tuple(file for file in item.files if file.kind not in kinds)
    notes = [note(file) for file in item.files if file.kind in kinds]
    return replace(item, text=joined(item.text, notes), files=left) if notes else item


def joined(text: str, notes: list[str]) -> str:
    return "\n\n".join(part for part in (text, *notes) if part.strip())
