"""Where sessions are kept beyond the journal, and how one is read from either."""

from __future__ import annotations

import logging
from typing import Protocol

from ..core.rows import Head, HeldElsewhere, StorageError, Taken
from ..log.log import Log
from ..protocol import Event

logger = logging.getLogger(__name__)

Stored = tuple[Head, list[Event]]


class Archive(Protocol):
    """The store beyond the journal. It says which sessions this worker may write."""

    def holds(self, session_id: str) -> bool:
        """Whether nobody else may write it."""
        ...

    def began(self, session_id: str) -> None:
        """A session was begun here; nobody else can know it yet."""
        ...

    def left(self, session_id: str) -> None:
        """It is no longer in memory: another worker may have it, once all of it is shipped."""
        ...

    async def delete(self, session_ids: list[str]) -> None:
        """Remove sessions for good, there. Raises `StorageError`."""
        ...

    async def take(self, session_id: str, epoch: int | None) -> Taken | None:
        """Be the one that writes a session. `epoch`: of the journal's copy, if there is one.

        None: nothing is known there that the journal has not. Else what counts from now on.
        Raises `HeldElsewhere`; `StorageError` where nobody can be asked.
        """
        ...


async def stored(log: Log, archive: Archive | None, session_id: str) -> Stored | None:
    """A session, once this worker may write it. Raises `HeldElsewhere`, `StorageError`."""
    await log.keeper.claim(session_id)
    found = await log.keeper.session(session_id)
    if archive and not archive.holds(session_id):
        found = await _taken(log, archive, session_id, found)
    return found


async def _taken(
    log: Log, archive: Archive, session_id: str, found: Stored | None
) -> Stored | None:
    """What counts of a session that others may have written: the journal's copy, or theirs."""
    try:
        taken = await archive.take(session_id, found[0].row.epoch if found else None)
    except HeldElsewhere:
        raise
    except StorageError:
        if found is None:
            raise
        return found  # where nobody can be asked the chat goes on; shipping will tell
    if taken is None:
        return found
    if taken.head is None:
        await log.keeper.delete([session_id])
        return None
    try:
        if found:
            await log.keeper.void(session_id)
        await log.keeper.adopt(taken.head, taken.events)
        return await log.keeper.session(session_id)
    except BaseException as error:  # else it would be held here, and missing
        archive.left(session_id)
        logger.warning(
            "a session could not be taken over: %r", error, extra={"session_id": session_id}
        )
        raise
