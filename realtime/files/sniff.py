"""What a file is, told by its content: what a client says of it is only a hint. No I/O."""

from __future__ import annotations

import re

from ..protocol import ProtocolError, kind_of

HEAD = 512
"""Bytes of the beginning that are looked at."""

UNKNOWN = "application/octet-stream"

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"\0\0\1\0", "image/x-icon"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftypmif1", "image/heic"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\3\4", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
)
"""Offset, bytes, type; the first that fits counts."""

_BY_ENDING = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "md": "text/markdown",
    "html": "text/html",
    "htm": "text/html",
    "json": "application/json",
    "xml": "application/xml",
    "svg": "image/svg+xml",
}
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9!#$&^_.+-]{0,80}")
_IN_ZIP = ("application/vnd.", "application/epub+zip", "application/java-archive")


def sniffed(declared: str, name: str, head: bytes, *, is_text: bool) -> str:
    """The media type of a file that begins with `head`; `is_text`: all of it is UTF-8 without
    control characters. Raises `bad_request` where it is declared as an image or a PDF and is
    none: whoever sent it would take it for one."""
    declared = media_type(declared)
    found = _text_type(declared, name, head) if is_text else _signature(head)
    family, _, _ = declared.partition("/")
    wrong_image = family == "image" and not (found or "").startswith("image/")
    if wrong_image or (declared == "application/pdf" != found):
        what = "an image" if wrong_image else "a PDF"
        raise ProtocolError(
            "bad_request",
            f"the file is declared as {declared}, and its content is not {what}: "
            "send it with its own type",
        )
    if found == "application/zip" and declared.startswith(_IN_ZIP):
        return declared
    if found:
        return found
    harmless = family in ("audio", "video", "font") or declared.startswith("application/")
    return declared if harmless and kind_of(declared) == "other" else UNKNOWN


def media_type(declared: str) -> str:
    """The type and subtype that a header names, if it names any."""
    bare = declared.partition(";")[0].strip().lower()
    return bare if _MEDIA_TYPE.fullmatch(bare) else UNKNOWN


def _signature(head: bytes) -> str | None:
    for offset, mark, found in _SIGNATURES:
        if head.startswith(mark, offset) and (offset != 8 or head.startswith(b"RIFF")):
            return found
    return None


def _text_type(declared: str, name: str, head: bytes) -> str:
    """Of a text: as declared or as its name says, where that is a type of texts. A PDF may be
    one as well."""
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    by_name = _BY_ENDING.get(name.rpartition(".")[2].lower(), "text/plain")
    named = declared if kind_of(declared) == "text" else by_name
    drawn = b"<svg" in head.lower()
    return "text/plain" if named == "image/svg+xml" and not drawn else named
