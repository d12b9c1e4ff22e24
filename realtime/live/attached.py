"""Which files may be sent, and to which model."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.session import Session
from ..protocol import File, ProtocolError, Send
from ..runs.chain import Chain

_WORDS = {"image": "images (PNG, JPEG, GIF, WebP)", "pdf": "PDF"}


def attached(
    command: Send, found: Iterable[File], session: Session, chain: Chain
) -> tuple[File, ...]:
    """The files that a message names. `found`: those of them that the store has, beside the ones
    that the session's events list.

    Raises `not_found`, and `bad_request` for a file that the model can do nothing with.
    """
    takes = chain.takes(session.options.model)
    known = {**session.files, **{file.id: file for file in found}}
    files = []
    for file_id in dict.fromkeys(command.files):
        if file_id not in known:
            raise ProtocolError(
                "not_found", f"this session has no file {file_id[:64]}; upload it to this session"
            )
        files.append(known[file_id])
    for file in files:
        if file.kind != "text" and file.kind not in takes:
            kinds = ", ".join(
                [*(_WORDS[kind] for kind in _WORDS if kind in takes), "text in UTF-8"]
            )
            why = "_".join(["reads", *([kind for kind in _WORDS if kind in takes] or ["text"])])
            raise ProtocolError(
                "bad_request",
                f"the model cannot read {file.name} ({file.type}); it takes: {kinds}",
                why=why,
                file=file.name,
            )
    return tuple(files)
