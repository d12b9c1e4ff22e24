"""What is configurable, emitted or served is documented, and nothing else is."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import msgspec
import pytest
from openai.types.shared import chat_model

from realtime.__main__ import settings_help
from realtime.app import create_app
from realtime.config import Settings
from realtime.edge.commands import Commands
from realtime.edge.errors import STATUS
from realtime.edge.list_commands import ListCommands
from realtime.edge.runner import MAX_HEADER
from realtime.edge.transport import MAX_FRAME
from realtime.log.journal.migrations import MIGRATIONS
from realtime.models import ErrorKind
from realtime.models.local import LocalModel
from realtime.protocol import (
    COMMANDS,
    EPHEMERAL,
    EVENTS,
    ActiveRun,
    Approval,
    CitedSource,
    DoneStatus,
    Error,
    ErrorCode,
    Event,
    FinishReason,
    Handshake,
    Options,
    Person,
    Present,
    Progress,
    QueuedRun,
    RunStatus,
    SessionPayload,
    ToolStatus,
    Usage,
)
from realtime.runs.chain import FALLS_BACK
from realtime.tools.mcp.config import McpServer

ROOT = Path(__file__).parent.parent
PROTOCOL = (ROOT / "PROTOCOL.md").read_text("utf-8")
FAILURES = (ROOT / "docs/failures.md").read_text("utf-8")
MODELS = (ROOT / "docs/models.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def section(text: str, title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.S | re.M)
    assert found, title
    return found[1]


def rows(text: str) -> dict[str, str]:
    """The tables of a text: the names in the first cell, the rest of the row."""
    found = {}
    for first, rest in re.findall(r"^\| (`.*?`[^|]*) \|(.*)\|$", text, re.M):
        for name in re.findall(r"`([^`]+)`", first):
            found[name] = rest
    return found


def names(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell))


def own_fields(kind: type[msgspec.Struct]) -> set[str]:
    return set(kind.__struct_fields__) - set(Event.__struct_fields__)


def marked(kind: type[msgspec.Struct], names: set[str]) -> set[str]:
    """The fields, with `?` where one is left out when it is false or empty."""
    infos = {info.name: info for info in msgspec.structs.fields(kind)}
    left_out = kind.__struct_config__.omit_defaults
    return {f"{n}?" if left_out and not infos[n].required else n for n in names}


def written(text: str) -> set[str]:
    """Names in back quotes, each with its `?`."""
    return {name + mark for name, mark in re.findall(r"`(\w+)`(\??)", text)}


def shape(text: str, first: str) -> set[str]:
    """The fields of `{first, …}`."""
    found = re.search(rf"`\{{({first}.*?)\}}`", text, re.S)
    assert found, first
    return {item.strip().strip('"').replace('"?', "?") for item in found[1].split(",")}


def test_every_command_stands_there_with_its_fields() -> None:
    table = rows(section(PROTOCOL, "Commands"))
    assert set(table) == set(COMMANDS)
    for name, kind in COMMANDS.items():
        payload = re.search(r"`\{(.*?)\}`", table[name])
        assert payload, name
        given = {item.strip() for item in payload[1].split(",") if item.strip()}
        defaults = {info.name: info.required for info in msgspec.structs.fields(kind)}
        assert given == {n if required else f"{n}?" for n, required in defaults.items()}, name


def test_every_event_stands_there_with_its_fields() -> None:
    table = rows(section(PROTOCOL, "Events"))
    assert set(table) == set(EVENTS) | set(EPHEMERAL)
    for name, kind in EVENTS.items():
        cell = re.sub(r"\([^)]*\)|; `seq` 1", "", table[name])
        assert written(cell) == marked(kind, own_fields(kind)), name
    assert written(table["presence"]) == marked(Present, set(Present.__struct_fields__))
    assert shape(section(PROTOCOL, "Events"), "user_id, name") == {"user_id", "name?"}
    assert set(Person.__struct_fields__) == {"user_id", "name"}
    progress = set(Progress.__struct_fields__)
    assert written(re.sub(r"\([^)]*\)", "", table["progress"])) == marked(Progress, progress)


def test_the_session_payload_and_the_handshake_stand_there() -> None:
    table = rows(section(PROTOCOL, "Connecting"))
    assert set(table) == set(SessionPayload.__struct_fields__) | set(Handshake.__struct_fields__)
    cells = re.findall(r"^\| (`[^|]*) \|[^|]*\|$", section(PROTOCOL, "Connecting"), re.M)
    fields = set(SessionPayload.__struct_fields__)
    assert set().union(*map(written, cells)) == marked(SessionPayload, fields)


@pytest.mark.parametrize(
    ("kind", "title", "first"),
    [
        (ActiveRun, "Connecting", "run_id, message_id, status"),
        (QueuedRun, "Connecting", "run_id, message_id, client_msg_id"),
        (Usage, "Events", "input_tokens"),
        (Approval, "Events", "expires_at"),
        (CitedSource, "Events", "url"),
        (Options, "Commands", "model"),
        (Error, "Errors", '"code"'),
    ],
)
def test_a_field_that_may_be_left_out_is_marked(
    kind: type[msgspec.Struct], title: str, first: str
) -> None:
    assert shape(section(PROTOCOL, title), first) == marked(kind, set(kind.__struct_fields__))


@pytest.mark.parametrize("literal", [RunStatus, DoneStatus, FinishReason, ToolStatus])
def test_every_status_stands_there(literal: object) -> None:
    missing = set(typing.get_args(literal)) - names(section(PROTOCOL, "Events"))
    assert not missing


def test_the_largest_frame_stands_there() -> None:
    assert f"{MAX_FRAME // 1024} KB ({MAX_FRAME:,} bytes)" in section(PROTOCOL, "Connecting")
    assert f"{MAX_HEADER // 1024} KB" in section(PROTOCOL, "HTTP")


def test_every_error_code_stands_there() -> None:
    assert set(rows(section(PROTOCOL, "Errors"))) == set(typing.get_args(ErrorCode))


def test_every_status_of_an_error_is_as_it_stands_there() -> None:
    assert set(STATUS) == set(typing.get_args(ErrorCode))
    told = re.search(r"the status of their code: (.*?)\. ", section(PROTOCOL, "HTTP"), re.S)
    assert told
    shown = re.findall(r"(\d{3}) ((?:`\w+`(?:,| and)?\s*)+)", told[1])
    assert len(shown) == 8
    for status, codes in shown:
        assert {STATUS[code] for code in names(codes)} == {int(status)}, codes


def test_every_error_code_in_the_code_is_one_of_them() -> None:
    raised = set()
    for path in (ROOT / "realtime").rglob("*.py"):
        raised |= set(re.findall(r'ProtocolError\(\s*"(\w+)"', path.read_text("utf-8")))
    assert raised
    assert raised <= set(typing.get_args(ErrorCode))


def test_every_route_stands_there(settings: Settings) -> None:
    app = create_app(settings)
    served = {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.method in ("GET", "PATCH", "DELETE")
        and route.resource
        and route.resource.canonical  # "" is the way to "/" below a prefix
        and "socket.io" not in route.resource.canonical
    }
    assert served == set(rows(section(PROTOCOL, "HTTP")))


SETTINGS = list(Settings.documentation())
"""Name, default and meaning of each, in their order."""


def test_the_page_on_configuration_has_every_setting_with_its_default_and_meaning() -> None:
    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    table = re.findall(r"^\| `([A-Z_]+)` \| (.*?) ?\| (.*) \|$", page, re.M)
    assert [(name, default, cell.replace("`", "")) for name, default, cell in table] == SETTINGS


def test_the_example_file_has_every_setting_with_its_default_and_meaning() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    entries = re.findall(r"((?:^# (?!---).*\n)+)#([A-Z_]+)=(.*)$", example, re.M)
    shown = [
        (name, default, re.sub(r"\n# ", " ", comment[2:].strip()))
        for comment, name, default in entries
    ]
    assert shown == SETTINGS


def test_the_page_on_configuration_and_the_example_file_have_the_same_groups() -> None:
    def groups(text: str, title: str, name: str) -> list[str]:
        found = re.findall(rf"^(?:{title}(.+)|{name})", text, re.M)
        return [group or setting for group, setting in found]

    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    example = (ROOT / ".env.example").read_text("utf-8")
    assert groups(page, "## ", r"\| `([A-Z_]+)`") == groups(example, "# --- ", r"#([A-Z_]+)=")


def test_the_help_has_every_setting_with_its_default_and_meaning() -> None:
    printed = re.findall(r"^  ([A-Z_]+)=(.*)\n((?:      .*(?:\n|$))+)", settings_help(), re.M)
    assert [(name, value, " ".join(text.split())) for name, value, text in printed] == SETTINGS


def test_a_default_that_is_written_out_changes_nothing() -> None:
    written = Settings.load({name: default for name, default, _ in SETTINGS}, None)
    for name, _, _ in SETTINGS:
        assert getattr(written, name.lower()) == getattr(Settings(), name.lower()), name


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md")]


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.S)


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", without_code(text), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = without_code(page.read_text("utf-8"))
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


def test_the_readme_fits_three_screens() -> None:
    assert len(README.splitlines()) <= 130


def test_the_commands_have_handlers() -> None:
    handlers = {name for kind in (Commands, ListCommands) for name in vars(kind)}
    assert {f"_{name}" for name in COMMANDS} <= handlers


def test_the_page_on_tools_shows_the_example_as_it_is() -> None:
    page = (ROOT / "docs" / "add-a-tool.md").read_text("utf-8")
    example = (ROOT / "realtime" / "example.py").read_text("utf-8")
    shown = re.findall(r"```python\n(.*?)```", section(page, "The example"), re.S)
    assert len(shown) > 4
    places = [example.find(part) for part in shown]
    assert -1 not in places
    assert places == sorted(places)


def test_the_page_on_tools_shows_tools_that_load() -> None:
    page = (ROOT / "docs" / "add-a-tool.md").read_text("utf-8")
    shown = re.findall(r"```python\n(.*?)```", page.split("## Your own", 1)[1], re.S)
    scope: dict[str, object] = {}
    for part in shown:
        exec(part, scope)
    names = {value.__tool__.spec.name for value in scope.values() if hasattr(value, "__tool__")}
    assert names == {"order_status", "refund", "pick_date", "convert", "chart", "read_page"}
    files = re.search(r"```json\n(.*?)```", page, re.S)
    assert files
    servers = msgspec.json.decode(files[1])["mcpServers"]
    assert len(msgspec.convert(servers, dict[str, McpServer])) == 3


def test_no_model_is_named_that_will_be_gone() -> None:
    """By the dates that the client of OpenAI knows."""
    told = re.sub(r"\s+", " ", Path(chat_model.__file__).read_text("utf-8"))
    gone = set()
    for models, date in re.findall(
        r'- ((?:"[^"]+",? )*"[^"]+"): Announced shutdown date: ([\d-]+)', told
    ):
        if date < "2027-06":
            gone |= set(re.findall(r'"([^"]+)"', models))
    assert "gpt-4.1-mini" in gone
    assert Settings().openai_model in typing.get_args(chat_model.ChatModel)
    named = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, gone))})(?![\w.-])")
    places = [ROOT / ".env.example", *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    for path in [*places, *ROOT.glob("realtime/**/*.py"), *ROOT.glob("bench/**/*.py")]:
        assert not named.findall(path.read_text("utf-8")), path


def test_every_key_of_an_mcp_server_stands_on_the_page_on_tools() -> None:
    page = section((ROOT / "docs" / "add-a-tool.md").read_text("utf-8"), "Tools of MCP servers")
    for info in msgspec.structs.fields(McpServer):
        assert f"`{info.name}`" in page or f'"{info.name}"' in page, info.name


def test_every_figure_stands_on_the_page_on_monitoring() -> None:
    page = (ROOT / "docs/monitoring.md").read_text("utf-8")
    source = (ROOT / "realtime/edge/http/metrics.py").read_text("utf-8")
    made = re.findall(
        r"""(?:gauge|counter|histogram)\(\s*"(\w+)"|"realtime_(\w+_seconds)",""", source
    )
    assert set(re.findall(r"`realtime_(\w+)", page)) == {one or other for one, other in made}


def test_every_kind_of_failure_stands_there() -> None:
    table = rows(FAILURES)
    assert set(typing.get_args(ErrorKind)) <= set(table)
    told = names(section(PROTOCOL, "Events"))
    assert told >= FALLS_BACK


def test_every_version_of_the_journal_stands_there() -> None:
    table = rows((ROOT / "docs/upgrade.md").read_text("utf-8"))
    assert [*table] == [str(number) for number in range(1, len(MIGRATIONS) + 1)]


def test_every_test_that_is_named_is_there() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "Makefile"]
    named = {
        path for page in pages for path in re.findall(r"tests/[\w/.-]*\w", page.read_text("utf-8"))
    }
    assert len(named) > 10
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_examples_of_models_can_be_used() -> None:
    lines = dict(re.findall(r"^(FALLBACKS|PRICES)=(.*)$", MODELS, re.M))
    settings = Settings.load({**lines, "OPENAI_API_KEY": "sk", "GROQ_API_KEY": "gsk"}, None)
    assert [entry.name for entry in settings.fallbacks][-1] == "local"
    assert LocalModel.name in (settings.prices or {})
