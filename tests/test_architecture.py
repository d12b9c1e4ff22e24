"""The directions of imports, that each service is touched in one place, and that tests speak to
public names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from docs.map import TARGET, draw

ROOT = Path(__file__).parent.parent / "realtime"

# What the modules of a folder may import of ours, beside those of their own folder.
ALLOWED = {
    "protocol": set(),
    "package": set(),
    "redaction": set(),
    "config": {"package"},
    "models": {"protocol", "redaction"},
    "core": {"models", "protocol"},
    "tools": {"core", "models", "protocol", "redaction"},
    "limits": {"core", "protocol"},
    "runs": {"tools", "core", "models", "protocol"},
    "log": {"core", "protocol"},
    "supabase": {"core", "package", "protocol"},
    "auth": {"core", "package"},
    "files": {"log", "core", "protocol"},
    "extensions": {"log", "tools", "core", "package", "protocol"},
    "live": {"extensions", "files", "runs", "log", "limits", "tools", "core", "models", "protocol"},
    "cluster": {"live", "log", "limits", "core", "protocol"},
    "background": {"live", "runs", "limits", "core", "models", "protocol"},
    "edge": {
        *("live", "extensions", "files", "runs", "log", "limits", "auth", "config", "core"),
        *("package", "protocol"),
    },
    "tracing": {"runs", "tools", "core", "models", "package", "protocol"},
    "example": {"tools"},
    "client": {"protocol"},
}
BUILDERS = {"app", "build", "cli", "__main__"}
SERVICES = {
    "socketio": {"edge.transport", "client.link"},
    "engineio": {"edge.transport"},
    "openai": {"models"},
    "supabase": {"supabase"},
    "mcp": {"tools.mcp"},
    "sqlite3": {"log.journal"},
    "hiredis": {"log.hot"},
    "prometheus_client": {"edge.http.metrics"},
    "opentelemetry": {"tracing"},
}
PURE = ("protocol", "core")
WATCHES_PRIVATE_NAMES = {"abuse/test_seams.py"}


def modules() -> dict[str, Path]:
    names = {}
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names[name.removesuffix(".__init__") if name != "__init__" else ""] = path
    return {name: path for name, path in names.items() if name}


def imports(path: Path) -> set[str]:
    """What a module imports, by its full name; ours as `realtime.…`."""
    package = ("realtime", *path.relative_to(ROOT).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, place: str) -> bool:
    return name == place or name.startswith(place + ".")


def folder(name: str) -> str:
    return name.partition(".")[0]


def picture() -> str:
    """Of the folders; modules that lie outside of one are left out."""
    folders = {name for name in ALLOWED if (ROOT / name).is_dir()}
    return draw({name: ALLOWED[name] & folders for name in sorted(folders)}, SERVICES)


@pytest.mark.parametrize("name", sorted({folder(name) for name in modules()} - BUILDERS))
def test_imports_go_one_way(name: str) -> None:
    assert name in ALLOWED, f"say in ALLOWED what realtime/{name} may import"
    for module, path in modules().items():
        if folder(module) == name:
            ours = {item for item in imports(path) if within(item, "realtime")}
            wrong = {folder(item.removeprefix("realtime.")) for item in ours}
            assert wrong <= ALLOWED[name] | {name}, module


def test_imports_of_ours_are_relative() -> None:
    """The installed package has another name."""
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(within(alias.name, "realtime") for alias in node.names), name
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert not within(node.module or "", "realtime"), name


def test_there_are_no_circles() -> None:
    left = dict(ALLOWED)
    while done := [name for name, others in left.items() if not others & left.keys()]:
        for name in done:
            del left[name]
    assert not left


def test_the_picture_shows_these_rules() -> None:
    assert TARGET.read_text("utf-8") == picture(), "draw it again: python -m docs.map"


def test_few_files_lie_outside_of_a_folder() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 6


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_touched_in_one_place(service: str) -> None:
    for name, path in modules().items():
        if any(within(item, service) for item in imports(path)):
            assert any(within(name, place) for place in SERVICES[service]), name


def test_a_class_has_its_name_to_itself() -> None:
    """Private ones aside."""
    places: dict[str, list[str]] = {}
    for module, path in modules().items():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_the_log_does_not_know_the_journal() -> None:
    for name, path in modules().items():
        if within(name, "log") and not within(name, "log.journal"):
            assert not any(within(item, "realtime.log.journal") for item in imports(path)), name


def test_the_core_has_no_clock_and_no_loop() -> None:
    clocks = {"asyncio", "time", "socket", "threading"}
    for name, path in modules().items():
        if folder(name) in PURE:
            assert not {folder(item) for item in imports(path)} & clocks, name


def is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.endswith("__") for part in name.split("."))


def own_names(tree: ast.Module) -> set[str]:
    """What the file's own classes and functions define."""
    own = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
    return own


def private_names(path: Path) -> set[str]:
    """The private names that a file takes from elsewhere; `self._own` is its own affair."""
    tree = ast.parse(path.read_text("utf-8"))
    own, found = own_names(tree), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            of_itself = isinstance(node.value, ast.Name) and node.value.id == "self"
            if not (of_itself and node.attr in own):
                found.add(node.attr)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attr"):
            texts = (arg.value for arg in node.args if isinstance(arg, ast.Constant))
            found |= {text for text in texts if isinstance(text, str)}
    return {name for name in found if is_private(name)}


def test_tests_speak_to_public_names() -> None:
    """Of other packages, the names that the transport replaces are watched in one file."""
    tests = Path(__file__).parent
    reached = {
        path.relative_to(tests).as_posix(): names
        for path in sorted(tests.rglob("*.py"))
        if (names := private_names(path))
    }
    assert not {name: reached[name] for name in reached.keys() - WATCHES_PRIVATE_NAMES}
