"""The directions of imports, and that each service is touched in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "realtime"

# What a module may import of ours. A name stands for the module and all below it.
CORE = {
    *("protocol", "log.rows", "log.fold", "models", "provider_state", "answer", "state"),
    "session",
}
ALLOWED = {
    "protocol": set(),
    "models": {"protocol", "models"},
    "log.rows": set(),
    "log.fold": {"protocol"},
    "log": {"protocol", "log"},
    "provider_state": {"protocol", "models"},
    "answer": {"protocol", "models", "provider_state"},
    "state": {"protocol", "models", "answer", "log.rows"},
    "session": {"protocol", "provider_state", "state"},
    "user": set(),
    "tools": {"protocol", "models", "tools", "user"},
    "example": {"tools"},
    "calls": {"protocol", "models", "provider_state", "answer", "tools"},
    "usage": {"protocol", "models"},
    "context": {"models", "usage"},
    "runs": CORE | {"calls", "tools", "usage", "context"},
    "limits": {"protocol"},
    "budget": {"protocol", "limits"},
    "driver": CORE | {"log", "runs", "calls", "tools", "budget", "usage", "user"},
    "actor": CORE | {"log", "driver", "budget"},
    "hub": CORE | {"log", "driver", "actor", "tools", "budget"},
    "summary": CORE | {"log", "hub"},
    "admin": CORE | {"log"},
    "metrics": {"edge", "hub", "log", "memory", "models"},
    "retention": CORE | {"log", "hub", "driver"},
    "supabase": {"protocol", "log.rows", "supabase"},
    "auth": {"auth", "user"},
    "model_settings": set(),
    "origin": set(),
    "consistency": {"config", "model_settings"},
    "config": {"model_settings", "origin", "consistency"},
    "logs": {"protocol"},
    "memory": set(),
    "garbage": set(),
    "edge": CORE | {"edge", "auth", "hub", "actor", "log", "limits", "memory", "origin"},
}
BUILDERS = {"app", "parts", "check", "operate", "providers", "__main__"}
SERVICES = {
    "socketio": {"edge.transport"},
    "engineio": {"edge.transport"},
    "openai": {"models"},
    "supabase": {"supabase"},
    "mcp": {"tools.mcp"},
    "sqlite3": {"log.journal", "log.database", "log.quarantine", "log.loose"},
}


def modules() -> dict[str, Path]:
    names = {}
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names[name.removesuffix(".__init__") if name != "__init__" else ""] = path
    return {name: path for name, path in names.items() if name}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, place: str) -> bool:
    return name == place or name.startswith(place + ".")


@pytest.mark.parametrize("name", sorted(set(modules()) - BUILDERS))
def test_imports_go_one_way(name: str) -> None:
    rules = [rule for rule in ALLOWED if within(name, rule)]
    assert rules, f"say in ALLOWED what realtime.{name} may import"
    allowed = ALLOWED[max(rules, key=len)]
    ours = {
        item.removeprefix("realtime.")
        for item in imports(modules()[name])
        if within(item, "realtime")
    }
    wrong = {item for item in ours if not any(within(item, place) for place in allowed)}
    assert not wrong


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_touched_in_one_place(service: str) -> None:
    for name, path in modules().items():
        if any(within(item, service) for item in imports(path)):
            assert any(within(name, place) for place in SERVICES[service]), name


def test_the_core_has_no_clock_and_no_loop() -> None:
    for name in ("protocol", "state", "session", "answer", "log.rows", "log.fold"):
        assert not imports(modules()[name]) & {"asyncio", "time", "socket", "threading"}, name
