"""What a run is carried out with: the session's options, and the server's services."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from ..core.continuing import to_take_up
from ..core.rows import StorageError
from ..core.session import new_id
from ..core.state import RunState, State
from ..core.usage import Meter, estimate, priced
from ..core.user import User
from ..files.store import pieces
from ..models import Request
from ..protocol import File, Options, Progress, ProtocolError, ToolCall, Usage
from ..runs.calls import Hooks
from ..runs.execute import Job
from ..runs.trace import Trace
from ..tools import Full, NewFile, ToolContext
from .options import merged
from .services import Services

logger = logging.getLogger(__name__)


def job_of(
    run: RunState,
    session: State,
    services: Services,
    *,
    before_call: Callable[[Request, Usage], Awaitable[None]],
    take_in: Callable[[], Awaitable[None]],
    decided: Callable[[str], Awaitable[ToolCall]],
    stays: Callable[[], bool],
    trace: Trace,
) -> Job:
    """`before_call`, `take_in`, `decided`, `stays` and `trace` are as in `Job` and `Hooks`."""
    own = options_of(run, session)
    held = to_take_up(run)
    before = held.used if held else None
    if held is None and run.status != "started":
        before = used_before(run, session, services)

    said = session.last_said(run.asker)

    def asker() -> User:
        """As they are known by now: after a restart, from their return on."""
        return services.people.find(run.asker, said.name if said else None)

    def used(model: str, usage: Usage) -> None:
        services.chain.count.used(model, usage)
        trace.used(usage)

    async def keep(tool_call_id: str, output: Full) -> str | None:
        """A reference of the output, once it is stored; none where it cannot be."""
        output_ref = new_id()
        try:
            await services.log.keeper.add_output(
                session.session_id, output_ref, output.kind, output.data
            )
        except StorageError as error:
            logger.warning(
                "a tool's output could not be stored: %s", error, extra={"call": tool_call_id}
            )
            return None
        return output_ref

    async def attach(tool_call_id: str, made: NewFile) -> File | None:
        try:
            return await services.files.add(
                session.session_id, run.asker, made.name, made.type, pieces(made.data)
            )
        except (ProtocolError, StorageError) as error:
            logger.warning(
                "a tool's file could not be stored: %s", error, extra={"call": tool_call_id}
            )
            return None

    return Job(
        asker=asker,
        instructions=services.instructions if own.instructions is None else own.instructions,
        new_id=new_id,
        before_call=before_call,
        take_in=take_in,
        hooks=Hooks(
            asker=run.asker,
            context=lambda tool_call_id, reporter: ToolContext(
                session_id=session.session_id,
                run_id=run.run_id,
                user=asker(),
                owner_id=session.user_id,
                tool_call_id=tool_call_id,
                store=services.log.keeper,
                report=reporter.report,
                app=services.app,
            ),
            told=lambda *report: services.on_progress(Progress(session.session_id, *report)),
            decided=decided,
            keep=keep,
            attach=attach,
            trace=trace,
        ),
        meter=Meter(services.prices, before, used=used),
        read=lambda file: services.files.read(session.session_id, file.id),
        options=merged(services.options, own),
        show_reasoning=services.show_reasoning,
        stays=stays,
    )


def options_of(run: RunState, session: State) -> Options:
    """What the session and this run ask for."""
    return merged(session.options, run.options) if run.options else session.options


def used_before(run: RunState, session: State, services: Services) -> Usage:
    """What a run used whose model calls nobody here has seen."""
    return priced(estimate(run, session), run.model, services.prices)
