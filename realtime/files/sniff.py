"""What a file is, told by its content: what a client says of it is only a hint. No I/O."""

from __future__ import annotations

import re

from ..protocol import ProtocolError, kind_of

HEAD = 64 * 1024
"""Bytes of the beginning that are looked at: an SVG may say a lot before it begins."""

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
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypM4B", "audio/mp4"),
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

_BRANDS = (
    (re.compile(b"avi[fs]"), "image/avif"),
    (re.compile(b"he[iv].|m[is]f1"), "image/heic"),
    (re.compile(b"crx "), "image/x-canon-cr3"),
)
"""Of images in the container that films use: each brand that the first box may name."""

_PDF = b"%PDF-"
_PDF_BEHIND = 1024  # bytes that readers skip before it
_SVG = re.compile(rb"<(?:[\w-]+:)?svg[\s/>]", re.IGNORECASE)
_DRAWN = re.compile(rb"/\*\s*XPM|#define\s|P[1-3]\s|%!PS|\s*(?:0|999)\r?\n")
"""How images begin that are text: XPM, XBM, PNM, EPS, DXF."""

_SIGNED = frozenset(
    {
        *(kind for _, _, kind in _SIGNATURES),
        *("image/avif", "image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence"),
        *("image/jpg", "image/pjpeg", "image/x-png", "image/apng", "image/x-ms-bmp"),
        *("image/vnd.microsoft.icon", "image/svg+xml"),
    }
)
"""Types that content must show: without one of their signatures it is something else."""

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
_PLAYED = ("audio/", "video/")
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9!#$&^_.+-]{0,80}")
_IN_ZIP = ("application/vnd.", "application/epub+zip", "application/java-archive")


def sniffed(declared: str, name: str, head: bytes, *, is_text: bool) -> str:
    """The media type of a file that begins with `head`; `is_text`: all of it is UTF-8 without
    control characters. Raises `bad_request` where it is declared as an image or a PDF and is
    none: whoever sent it would take it for one."""
    declared = media_type(declared)
    found = _text_type(declared, name, head) if is_text else _signature(head)
    family, _, _ = declared.partition("/")
    if family == "image" and not _may_be_image(declared, found, head):
        raise _misnamed(declared, "an image")
    if declared == "application/pdf" != found:
        raise _misnamed(declared, "a PDF")
    if found == "application/zip" and declared.startswith(_IN_ZIP):
        return declared
    if found and found.startswith(_PLAYED) and declared.startswith(_PLAYED):
        return declared  # a container of either holds both
    if found:
        return found
    harmless = family in ("audio", "video", "font", "image") or declared.startswith("application/")
    return declared if harmless and kind_of(declared) == "other" else UNKNOWN


def media_type(declared: str) -> str:
    """The type and subtype that a header names, if it names any."""
    bare = declared.partition(";")[0].strip().lower()
    return bare if _MEDIA_TYPE.fullmatch(bare) else UNKNOWN


def _misnamed(declared: str, what: str) -> ProtocolError:
    return ProtocolError(
        "bad_request",
        f"the file is declared as {declared}, and its content is not {what}: "
        "send it with its own type",
    )


def _may_be_image(declared: str, found: str | None, head: bytes) -> bool:
    """Whether the content is one, or nothing that is known and declared as an image that is not
    known either."""
    if found:
        return found.startswith("image/")
    if declared == "image/svg+xml":
        return bool(_SVG.search(head.replace(b"\0", b"")))  # in UTF-16, or in Latin-1
    return declared not in _SIGNED


def _signature(head: bytes) -> str | None:
    if head.startswith(b"ftyp", 4):
        box = head[8 : min(int.from_bytes(head[:4], "big"), 256)]
        brands = [box[at : at + 4] for at in range(0, len(box), 4)]
        for brand, found in _BRANDS:
            if any(map(brand.fullmatch, brands)):
                return found
    for offset, mark, found in _SIGNATURES:
        if head.startswith(mark, offset) and (offset != 8 or head.startswith(b"RIFF")):
            return found
    return "application/pdf" if _PDF in head[:_PDF_BEHIND] else None


def _text_type(declared: str, name: str, head: bytes) -> str:
    """Of a text: as declared or as its name says, where that is a type of texts. A PDF may be
    one as well, and some images are."""
    behind = _PDF_BEHIND if declared == "application/pdf" else len(_PDF)
    if _PDF in head[:behind]:
        return "application/pdf"
    if declared.startswith("image/") and declared not in _SIGNED and _DRAWN.match(head):
        return declared
    by_name = _BY_ENDING.get(name.rpartition(".")[2].lower(), "text/plain")
    named = declared if kind_of(declared) == "text" else by_name
    return "text/plain" if named == "image/svg+xml" and not _SVG.search(head) else named
