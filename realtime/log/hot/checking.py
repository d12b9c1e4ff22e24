"""Whether an engine can keep logs."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from .address import Address
from .line import Away, Ear, EngineError, Line
from .scripts import Script

OLDEST = {"valkey": (7, 2), "redis": (7, 0)}
CONNECTIONS = 3
"""That a worker needs."""

SLOW_S = 0.005
PINGS = 5
HEAR_S = 2.0
REMEDIES = {
    "WRONGPASS": "correct the user and the password in the URL",
    "AUTH <password>": "the engine has no password: take it out of the URL",
    "NOAUTH": "put the user and the password into the URL",
    "CERTIFICATE_VERIFY_FAILED": "VALKEY_TLS=insecure accepts a self-signed certificate",
    "DB index": "end the URL with a database that the engine has, such as /0",
    "LOADING": "it reads its data after a start: try again soon",
    "READONLY": "it is a replica, which takes no writes: use the primary's URL",
    "CLUSTERDOWN": "it is a node of a cluster that is not whole: mend that, or use an engine alone",
}
OTHERWISE = "see that the URL is right, and that the engine runs and lets this machine in"

Info = Mapping[str, str]


@dataclass
class Findings:
    """`name`: the engine and its version. `wrong`: what has to change first, and `notes`: what
    the operator should know; a sentence each."""

    name: str
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def examine(address: Address, prefix: str) -> Findings:
    """Try an engine; nothing stays in it. `prefix` begins its keys. Raises `Away`, which says
    what to do."""
    try:
        async with Line(address, "check") as line:
            try:
                found = judge(await _info(line))
            except EngineError as error:
                found = Findings("an engine", wrong=[_untold(error)])
            if problem := await _trial(address, line, prefix):
                found.wrong.append(problem)
            if (seconds := await _round_trip(line)) > SLOW_S:
                found.notes.append(
                    f"the engine answers after {seconds * 1000:.0f} ms: is it in another region? "
                    "Use one in the server's"
                )
            return found
    except Away as away:
        speaks = "TLS" if address.tls else "no TLS (which is rediss://)"
        otherwise = f"{OTHERWISE}, and that it speaks {speaks} on this port"
        raise Away(f"{away}: {_remedy(away, otherwise)}") from away


def _remedy(error: Exception, otherwise: str) -> str:
    return next((remedy for sign, remedy in REMEDIES.items() if sign in str(error)), otherwise)


def judge(info: Info) -> Findings:
    """What INFO alone tells. Where it lacks a line, a note says so."""
    kind = info.get("server_name", "redis")
    version = info.get(f"{kind}_version") or info.get("redis_version", "0")
    found = Findings(f"{kind.capitalize()} {version}")
    digits = (part for part in version.split(".")[:2])
    oldest = OLDEST.get(kind, OLDEST["redis"])
    if tuple(int(part) if part.isdecimal() else 0 for part in digits) < oldest:
        found.wrong.append(f"{found.name} is too old: upgrade to Valkey 7.2 or Redis 7.0")
    policy = info.get("maxmemory_policy", "")
    if policy.startswith("allkeys-"):
        found.wrong.append(
            f"its maxmemory-policy is {policy}, which may delete data: set it to noeviction"
        )
    elif policy != "noeviction":
        now = f"is {policy}" if policy else "is not told"
        found.notes.append(f"the engine's maxmemory-policy {now}: it should be noeviction")
    if info.get("aof_enabled") != "1":
        found.notes.append(
            "the engine's append-only file is off, so what a restart of it loses can only come "
            "back from servers that run: set appendonly to yes"
        )
    most, used = info.get("maxclients", ""), info.get("connected_clients", "")
    if most.isdecimal() and used.isdecimal() and int(most) - int(used) < CONNECTIONS:
        found.wrong.append(
            f"{used} of its {most} connections are taken and a server needs {CONNECTIONS}: raise "
            "maxclients, or use a larger plan"
        )
    return found


async def troubles(line: Line) -> list[str]:
    """What has to change first, as far as INFO tells; a sentence each. Raises `Away`."""
    try:
        return judge(await _info(line)).wrong
    except EngineError as error:
        return [_untold(error)]


def _untold(error: EngineError) -> str:
    return f"it does not tell its version and its settings ({error}): allow INFO"


async def _info(line: Line) -> dict[str, str]:
    """INFO, and the eviction policy of engines whose INFO lacks it."""
    answer: bytes = await line.call("INFO")
    lines = (text.partition(":") for text in answer.decode().splitlines())
    info = {name: value for name, _, value in lines}
    if "maxmemory_policy" not in info:
        try:
            _, policy = await line.call("CONFIG", "GET", "maxmemory-policy")
            info["maxmemory_policy"] = policy.decode()
        except (EngineError, ValueError):
            pass  # hosts that hide the one often hide the other
    return info


async def _trial(address: Address, line: Line, prefix: str) -> str:
    """Run a script on a scratch key, and hear what it publishes. "": all is well."""
    word, heard = secrets.token_hex(8), asyncio.Event()
    channel = f"{prefix}check:{word}"
    ear = Ear(address, "check-ear", [channel], lambda said: heard.set())
    try:
        await ear.start()
        answer = await Script("check")(line, prefix, word, channel)
        if answer != word.encode():
            return f"a script gave {answer!r} for {word!r}: use Valkey or Redis itself"
        async with asyncio.timeout(HEAR_S):
            await heard.wait()
    except TimeoutError:
        return "nothing published to a channel arrives: allow SUBSCRIBE and PUBLISH"
    except EngineError as error:
        needs = (
            "it must allow EVALSHA, EVAL, TIME, SET, GET, DEL, PUBLISH and all keys and channels "
            f"that begin with {prefix}"
        )
        return f"{error}: {_remedy(error, needs)}"
    except Away as away:
        if "NOPERM" in str(away) or "HELLO" in str(away):
            return f"{away}: it must allow HELLO 3, SUBSCRIBE and channels that begin with {prefix}"
        raise
    finally:
        await ear.close()
    return ""


async def _round_trip(line: Line) -> float:
    """In seconds."""
    took = []
    for _ in range(PINGS):
        begun = time.perf_counter()
        await line.call("PING")
        took.append(time.perf_counter() - begun)
    return median(took)
