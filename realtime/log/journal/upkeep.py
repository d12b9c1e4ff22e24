"""What the journal does beside commits: filing loose tokens, joining runs, checkpoints."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from itertools import count
from typing import Any

from ...core.rows import StorageError
from ..keeper import Span
from . import Journal
from .search import WITHOUT_TRACES

CHECKPOINT_EVENTS = 1000  # small ones: commits that meet a large one wait for it
FILE_S = 0.5  # how long tokens stay loose
INDEX_S = 1.0  # how far the search may be behind while nobody searches
FILED_AT_ONCE = 50  # sessions; a commit that meets them waits some milliseconds
PIECE_S = 0.01  # a commit may have to wait so long for work that could wait itself
PIECES_A_CHECKPOINT = 4
WIPE_S = 2.0  # after a deletion, for others may follow
WIPE_RESTS = 20  # times as long as the last time, since it writes all of the search index
BUSY_S = 0.5  # until the next look whether readers are through
CHECK_AFTER_S = 5.0  # once the start is through
CHECK_RESTS = 4  # times as long as the piece before, so that a core has time for answers

logger = logging.getLogger(__name__)


class Upkeep:
    """It works in the threads of the journal's keeper, whenever they come to it; what fails is
    left for later. `news` is set by what brought rows into another form."""

    def __init__(
        self, journal: Journal, writer: Executor, readers: Executor, news: asyncio.Event
    ) -> None:
        self._journal = journal
        self._writer = writer
        self._readers = readers
        self._news = news
        self._paused = False
        self._events = 0  # since the last checkpoint
        self._checkpoint: asyncio.Future[None] | None = None
        self._filing: asyncio.TimerHandle | None = None
        self._indexing: asyncio.TimerHandle | None = None
        self._wiping: asyncio.Task[None] | None = None
        self._wipe_after = WIPE_S
        self._beside: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Future[None]] = set()

    def tend(self, events: int, ended: Iterable[Span]) -> None:
        """Do what so many committed events call for, and join the tokens of runs that ended."""
        for span in ended:
            self._later(self._journal.events.fold_from, *span)
        self._file_later()
        self._events += events
        if self._events >= CHECKPOINT_EVENTS and self._checkpoint is None:
            self._events = 0
            loop = asyncio.get_running_loop()
            self._checkpoint = loop.run_in_executor(self._readers, self._journal.checkpoint)
            self._checkpoint.add_done_callback(self._checkpointed)

    def _checkpointed(self, future: asyncio.Future[None]) -> None:
        self._checkpoint = None
        if not future.cancelled() and (error := future.exception()):
            logger.warning("the checkpoint failed: %s", error)

    def pause(self) -> None:
        """Nothing can be written: file nothing until `resume`."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._file_later()

    def _file_later(self) -> None:
        if self._filing or self._paused:
            return
        if loose := len(self._journal.loose):
            share = min(1.0, FILED_AT_ONCE / loose)
            self._filing = asyncio.get_running_loop().call_later(FILE_S * share, self._file)

    def _file(self) -> None:
        self._filing = None
        self._later(self._journal.file, FILED_AT_ONCE)

    def index_later(self) -> None:
        """Something was said: have the search know it."""
        if self._indexing is None:
            self._indexing = asyncio.get_running_loop().call_later(INDEX_S, self._index)

    def _index(self) -> None:
        def done(task: asyncio.Task[None]) -> None:
            self._indexing = None

        if self._paused:
            self._indexing = None
        else:
            self._start(self._catch_up).add_done_callback(done)

    def _later(self, work: Callable[..., None], *args: Any) -> None:
        """Bring rows into a better form, when the writing thread comes to it."""

        def done(future: asyncio.Future[None]) -> None:
            self._tasks.discard(future)
            if future.cancelled():
                return
            if error := future.exception():
                logger.warning("%s%r failed: %s", work.__name__, args, error)
            self._news.set()
            self._file_later()

        future = asyncio.get_running_loop().run_in_executor(self._writer, work, *args)
        self._tasks.add(future)
        future.add_done_callback(done)

    def begin(self) -> asyncio.Task[None]:
        """Do what an earlier process left, and look whether the file is sound."""
        return self._start(self.tidy, self._catch_up, self.wipe, self._check)

    def tidy_soon(self) -> None:
        self._start(self.tidy)

    def _start(self, *works: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        async def one_by_one() -> None:
            try:
                for work in works:
                    await work()
            except StorageError as error:
                logger.warning("upkeep of the journal failed: %s", error)

        task = asyncio.create_task(one_by_one(), name="journal-upkeep")
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    async def tidy(self) -> None:
        """Do what could wait."""
        await self.in_pieces(self._journal.tidy)

    async def _catch_up(self) -> None:
        """Have the search know what an earlier process left, or one before there was a search."""
        await self.in_pieces(self._journal.index)
        await self.in_pieces(self._journal.merge)

    async def in_pieces(self, work: Callable[[float], bool]) -> None:
        """Work for as long as there is some, with a rest behind each piece as long as itself."""
        loop = asyncio.get_running_loop()
        for number in count(1):
            begun = loop.time()
            if not await loop.run_in_executor(self._writer, work, PIECE_S):
                return
            if number % PIECES_A_CHECKPOINT == 0:
                # once beside the commits, and what they wrote meanwhile without them: only then
                # does the write-ahead log begin anew
                for thread in (self._readers, self._writer):
                    await loop.run_in_executor(thread, self._journal.checkpoint)
            await asyncio.sleep(loop.time() - begun)

    def wipe_soon(self) -> None:
        """Something was deleted: leave no traces of it, nor of what is deleted next."""
        if self._wiping is None or self._wiping.done():
            self._wiping = self._start(self._wipe_later)

    async def _wipe_later(self) -> None:
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(self._readers, self._journal.traces):
            await asyncio.sleep(self._wipe_after)
            begun = loop.time()
            await self.wipe()
            self._wipe_after = max(WIPE_S, WIPE_RESTS * (loop.time() - begun))

    async def wipe(self) -> None:
        """Take away what was left of sessions that are deleted by now."""
        loop = asyncio.get_running_loop()
        if not (noted := await loop.run_in_executor(self._readers, self._journal.traces)):
            return
        for found in WITHOUT_TRACES:
            await loop.run_in_executor(self._writer, self._journal.merge_all, found)
            await self.in_pieces(self._journal.merge)
        while True:  # most of it beside the commits: they wait for the rest
            await loop.run_in_executor(self._readers, self._journal.checkpoint)
            if await loop.run_in_executor(self._writer, self._journal.empty_wal):
                break
            await asyncio.sleep(BUSY_S)
        await loop.run_in_executor(self._writer, self._journal.forget_traces, noted)

    async def _check(self) -> None:
        """Look through a file that was too large to be checked at the start."""
        loop = asyncio.get_running_loop()
        pieces = self._journal.checking()
        await asyncio.sleep(CHECK_AFTER_S)
        while True:
            begun = loop.time()
            if not await loop.run_in_executor(self._readers, next, pieces, None):
                return
            await asyncio.sleep(CHECK_RESTS * (loop.time() - begun))

    async def close(self) -> None:
        """Finish what is under way, and file what is loose."""
        self.pause()
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        for timer in (self._filing, self._indexing):
            if timer:
                timer.cancel()
        self._later(self._journal.file)
        await asyncio.gather(*self._tasks, return_exceptions=True)
