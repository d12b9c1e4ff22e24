"""`python -m realtime --check`: try each part and say how it is, and what to do."""

from __future__ import annotations

from realtime.auth.supabase import SupabaseTokens
from realtime.config import Settings
from realtime.models import ModelError
from realtime.parts import auth_secret, load_tools, make_authenticator, open_journal
from realtime.providers import make_chain

CHECK_FAILED = 3


async def check(settings: Settings) -> int:
    """Try each part and say how it is."""
    failures = 0

    def report(part: str, problem: object = None) -> None:
        nonlocal failures
        failures += problem is not None
        verdict = "ok  " if problem is None else "FAIL"
        print(f"{verdict}  {part}" + (f": {problem}" if problem else ""))

    report("settings")
    load_tools(settings)
    report(f"tools: {', '.join(settings.tools) or 'none'}")
    auth = make_authenticator(settings, auth_secret(settings))
    if isinstance(auth, SupabaseTokens):
        for why in await auth.check() or (None,):
            report(f"auth supabase, issuer {auth.issuer}", why)
        await auth.close()
    elif settings.auth != "guest":
        report(f"auth {settings.auth}")
    open_journal(settings).close()
    report(f"journal {settings.database_path}")
    chain = await make_chain(settings)
    for model in chain.models:
        try:
            await model.check()
            report(f"model {model.label}")
        except ModelError as error:
            report(f"model {model.label}", error)
    await chain.close()
    if settings.supabase_url:
        from realtime.supabase import Supabase, SupabaseError

        try:
            supabase = await Supabase.connect(settings.supabase_url, settings.supabase_key)
            try:
                wrong = await supabase.check()
            finally:
                await supabase.close()
            for problem in wrong:
                report(f"Supabase {settings.supabase_url}", problem)
            if not wrong:
                report(f"Supabase {settings.supabase_url}")
        except SupabaseError as error:
            report(f"Supabase {settings.supabase_url}", error)
    elif settings.platform_disk:
        report("Supabase", "not set up, and this platform wipes the disk at each restart")
    return CHECK_FAILED if failures else 0
