"""`python -m realtime --check`: try each part and say how it is, and what to do."""

from __future__ import annotations

from contextlib import aclosing

from ..auth.supabase import SupabaseTokens
from ..build.parts import (
    auth_secrets,
    load_extensions,
    load_tools,
    make_authenticator,
    make_tracing,
    make_webhook,
    supabase_of,
    try_mcp,
)
from ..build.providers import default_options, make_chain
from ..config import Settings
from ..core.rows import StorageError
from ..extensions import NotDelivered
from ..log.journal import Journal
from ..log.journal.database import InUse
from ..models import ModelError, Request, ToolSpec, UserText
from ..protocol import Options
from ..runs.chain import Link
from ..tools import Toolbox

CHECK_FAILED = 3


class Report:
    """What is printed, a line a part; `failures` counts what does not work."""

    def __init__(self) -> None:
        self.failures = 0

    def ok(self, part: str) -> None:
        print(f"ok    {part}")

    def failed(self, part: str, problem: object) -> None:
        self.failures += 1
        print(f"FAIL  {part}: {problem}")

    def note(self, text: str) -> None:
        """Something that works, or was not tried, and that the operator should know."""
        print(f"note  {text}")


async def check(settings: Settings) -> int:
    """Try each part and say how it is. It may run beside a server."""
    report = Report()
    report.ok("settings")
    for note in settings.notes():
        report.note(note)
    box = load_tools(settings)
    names = ", ".join(spec.name for spec in box.specs)
    report.ok(f"tools: {', '.join(settings.tools) or 'none'}" + (f" ({names})" if names else ""))
    for one in load_extensions(settings).items:
        report.ok(f"extension {one.name}: {', '.join(one.methods)}")
    await check_mcp(settings, box, report)
    if tracing := make_tracing(settings):
        await tracing.stop()
        report.ok("traces, which nothing was sent of")
    await check_auth(settings, report)
    if not settings.engine_url:
        check_journal(settings, report)
    chain = await make_chain(settings)
    try:
        for link in chain.links:
            await check_model(link, box.specs, default_options(settings), report)
    finally:
        await chain.close()
    await check_engine(settings, report)
    await check_supabase(settings, report)
    await check_webhook(settings, report)
    return CHECK_FAILED if report.failures else 0


async def check_auth(settings: Settings, report: Report) -> None:
    auth = make_authenticator(settings, auth_secrets(settings))
    if settings.auth == "guest":
        return
    report.note(f"auth {settings.auth}: not tested with a user's token")
    if not isinstance(auth, SupabaseTokens):
        report.ok(f"auth {settings.auth}")
        return
    part = f"auth supabase, issuer {auth.issuer}"
    wrong = await auth.check()
    await auth.close()
    for why in wrong:
        report.failed(part, why)
    if not wrong:
        report.ok(part)


def check_journal(settings: Settings, report: Report) -> None:
    part = f"journal {settings.database_path}"
    try:
        try:
            Journal(settings.database_path).close()
            report.ok(part)
        except InUse:
            Journal(settings.database_path, owner=False).close()
            report.ok(f"{part} (in use by a running server)")
    except StorageError as error:
        report.failed(part, error)


async def check_mcp(settings: Settings, box: Toolbox, report: Report) -> None:
    """Try each server, and put its tools in the box."""
    if not settings.mcp_config:
        return
    async with aclosing(try_mcp(settings, box)) as trials:
        async for trial in trials:
            part = f"MCP server {trial.name}"
            if trial.problem:
                report.failed(part, trial.problem)
            else:
                report.ok(f"{part}: {trial.tools} tools")


async def check_model(
    link: Link, tools: tuple[ToolSpec, ...], options: Options, report: Report
) -> None:
    """Reach it, and ask it one small thing as a session would: with the tools and options."""
    model = link.model
    part = f"model {model.label}"
    question = (UserText("Answer with one word: which colour is the sky?"),)
    request = Request("Answer with one word.", question, tools, options)
    try:
        notice = await model.check()
        async with aclosing(link.stream(request)) as stream:
            async for events in stream:
                if events:
                    break
            else:
                report.failed(part, "it gave no answer to a test question")
                return
    except ModelError as error:
        report.failed(part, error.report)
        return
    report.ok(f"{part}, which answers")
    if notice:
        report.note(notice)


async def check_engine(settings: Settings, report: Report) -> None:
    if not settings.engine_url:
        return
    from ..log.hot.address import Address
    from ..log.hot.checking import examine

    address = Address.parse(settings.engine_url, verify=settings.valkey_tls == "verify")
    part = f"engine {address.label}"
    try:
        found = await examine(address, settings.engine_prefix)
    except StorageError as error:
        report.failed(part, error)
        return
    for problem in found.wrong:
        report.failed(part, problem)
    for note in found.notes:
        report.note(note)
    if not found.wrong:
        report.ok(f"{part} ({found.name})")


async def check_webhook(settings: Settings, report: Report) -> None:
    webhook = make_webhook(settings)
    if webhook is None:
        return
    part = "WEBHOOK_URL"
    try:
        await webhook.check()
        report.ok(f"{part}, which took a message of the type check")
    except NotDelivered as error:
        report.failed(part, f"a message of the type check was not taken: {error}")
    finally:
        await webhook.close()


async def check_supabase(settings: Settings, report: Report) -> None:
    if not settings.supabase_url:
        if settings.platform_disk and not settings.engine_url:
            report.failed(
                "Supabase", "not set up, and this platform wipes the disk at each restart"
            )
        return
    from ..supabase import SupabaseError

    part = f"Supabase {settings.supabase_url}"
    try:
        supabase = await supabase_of(settings)
        try:
            wrong = await supabase.check()
            if supabase.bucket:
                await supabase.bucket.prepare()
        finally:
            await supabase.close()
    except SupabaseError as error:
        report.failed(part, error)
        return
    for problem in wrong:
        report.failed(part, problem)
    if not wrong:
        report.ok(part)
