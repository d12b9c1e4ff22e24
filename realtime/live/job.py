"""What a run starts from: the session's conversation and options, and the server's services."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from ..core.rows import StorageError
from ..core.session import Session, new_id
from ..core.state import RunState
from ..core.usage import Meter, estimate, priced
from ..core.user import User
from ..files.store import pieces
from ..models import Item, Request, ToolResult, UserText
from ..models.fitting import CONTINUE
from ..protocol import File, Progress, ProtocolError, ToolCall, Usage
from ..runs.calls import Hooks
from ..runs.execute import Job
from ..tools import Full, NewFile, ToolContext
from .options import merged
from .services import Services

logger = logging.getLogger(__name__)


def job_of(
    run: RunState,
    calls: Sequence[ToolCall],
    session: Session,
    services: Services,
    *,
    before_call: Callable[[Request, Usage | None], None],
    decided: Callable[[str], Awaitable[ToolCall]],
) -> Job:
    """`calls`: those of its last step, where the run goes on after a crash. `before_call` and
    `decided` are as in `Job` and `Hooks`."""
    own = session.options
    instructions = services.instructions if own.instructions is None else own.instructions
    used = used_before(run, session, services) if calls else None

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
        message_id=run.answer.message_id,
        instructions=instructions,
        context=_context(run, session, last_step=not calls),
        lengths=run.answer.length,
        new_id=new_id,
        hooks=Hooks(
            asker=run.asker,
            context=lambda tool_call_id, reporter: ToolContext(
                session_id=session.session_id,
                run_id=run.run_id,
                user=User(run.asker),
                owner_id=session.user_id,
                tool_call_id=tool_call_id,
                store=services.log.keeper,
                report=reporter.report,
            ),
            told=lambda *report: services.on_progress(Progress(session.session_id, *report)),
            decided=decided,
            keep=keep,
            attach=attach,
        ),
        before_call=before_call,
        meter=Meter(services.prices, used),
        read=lambda file: services.files.read(session.session_id, file.id),
        options=merged(services.options, own),
        summary=session.summary,
        show_reasoning=services.show_reasoning,
        calls=list(calls),
        states=run.answer.states,
        session_id=session.session_id,
        user_id=run.asker,
        steps=run.answer.steps,
        made=len(run.answer.calls),
        after_calls=bool(run.answer.last_step()),
    )


def _context(run: RunState, session: Session, *, last_step: bool) -> list[Item]:
    """What the model is asked: where it is to continue, that is asked of it at the end."""
    items = session.context(last_step=last_step)
    if run.user is None and items and not isinstance(items[-1], UserText | ToolResult):
        items.append(UserText(CONTINUE, ours=True))
    return items


def used_before(run: RunState, session: Session, services: Services) -> Usage:
    """What a run used whose model calls nobody here has seen."""
    return priced(estimate(run, session.started), run.model, services.prices)
