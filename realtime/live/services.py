"""What every run of this server works with."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from aiohttp import web

from ..core.state import RunState
from ..core.usage import Prices
from ..extensions import Extensions
from ..files.store import Files
from ..limits.budget import Budget
from ..log.log import Log
from ..protocol import Options, Progress
from ..runs.chain import Chain
from ..runs.trace import NOBODY, Trace
from ..tools import Toolbox
from .count import RunCount
from .people import People


class Services(msgspec.Struct, frozen=True):
    """The same for all sessions. `options` hold where a session has none of its own;
    `on_progress` shows devices how far a tool call is."""

    log: Log
    chain: Chain
    tools: Toolbox
    instructions: str
    budget: Budget
    count: RunCount
    on_progress: Callable[[Progress], None]
    files: Files
    people: People
    extensions: Extensions
    app: web.Application
    """What tools find their own things in."""
    options: Options = Options()
    prices: Prices = {}
    show_reasoning: bool = True
    client_tools: bool = False
    """Whether clients may declare tools of their own."""
    continue_automatically: bool = True
    trace: Callable[[str, RunState, str | None], Trace] = lambda session_id, run, parent: NOBODY
    """A run begins, or goes on, in a session; the last is the `traceparent` it was asked with."""
