"""What a person sees in the terminal. Nothing here waits for the network."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from ..client import CallAt, Exchange, MessageAt, Stretch
from ..client.reply import common
from ..protocol import OPEN_TOOL

Json = dict[str, Any]
Part = Stretch | CallAt | MessageAt
MARKS = {"completed": ("✓", "green"), "denied": ("✗", "yellow"), "cancelled": ("✗", "yellow")}
MOST = 120  # characters of a call's arguments
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.M)


def plain(text: str) -> str:
    """Without what a terminal obeys: the text is a stranger's."""
    return _CONTROLS.sub("", text)


class Terminal:
    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)

    def note(self, text: str) -> None:
        self._console.print(Text(plain(text), style="dim"), soft_wrap=True)

    def problem(self, text: str) -> None:
        self._console.print(Text(plain(text), style="red"), soft_wrap=True)

    def question(self, text: str) -> None:
        self._console.print(Text(f"› {plain(text)}", style="bold"))

    def approval(self, call: Json) -> None:
        """The question, with the arguments in full."""
        self._console.print(Text(f"{plain(call['name'])} waits for your approval:", style="bold"))
        shown = json.dumps(call.get("arguments"), ensure_ascii=False, indent=2)
        self._console.print(Text(plain(shown)))

    @contextlib.contextmanager
    def waiting(self, why: Callable[[], str]) -> Iterator[None]:
        """Shows `why` nothing happens, as often as it changes."""

        spinner = Spinner("dots")

        def shown() -> RenderableType:
            spinner.update(text=Text(plain(why()), style="dim"))
            return spinner

        with Live(get_renderable=shown, console=self._console, transient=True):
            yield

    @contextlib.contextmanager
    def answer(self) -> Iterator[AnswerView]:
        view = AnswerView(self._console)
        with view.showing():
            yield view


class AnswerView:
    """One answer as it grows. What will not change any more is printed for good; only the end of
    it, the calls that run and a line about what is waited for are drawn again and again."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live
        self._spinner = Spinner("dots")
        self._printed: list[str] = []  # the parts that are printed whole
        self._begun = ""  # what is printed of the text behind them

    @contextlib.contextmanager
    def showing(self) -> Iterator[None]:
        self._live = Live(console=self._console, transient=True, refresh_per_second=12)
        with self._live:
            yield

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._live.update(Text(""))
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def draw(self, run: Exchange, progress: Mapping[str, Json], connection: str) -> None:
        parts = run.message.parts
        self._turn_back(parts)
        self._print(parts, over=run.done is not None)
        rest = parts[len(self._printed) :]
        tail = [rendered(part, len(self._begun), progress) for part in rest]
        if not run.done:
            self._spinner.update(text=Text(plain(connection or waits_for(run)), style="dim"))
            tail.append(self._spinner)
        self._live.update(LastLines(Group(*tail)))

    def _turn_back(self, parts: Sequence[Part]) -> None:
        """Another model may have begun anew before the end of what is printed."""
        now = [content(part) for part in parts] + [""]
        whole = len(self._printed)
        if now[:whole] == self._printed and now[whole].startswith(self._begun):
            return
        self._console.print(Text("Another model begins anew:", style="dim"))
        printed = [*self._printed, self._begun]
        place = next(i for i, (a, b) in enumerate(zip(printed, now, strict=False)) if a != b)
        kept = now[place][: common(printed[place], now[place])]
        self._printed = printed[:place]
        self._begun = kept[: whole_blocks(kept)]

    def _print(self, parts: Sequence[Part], *, over: bool) -> None:
        for part in parts[len(self._printed) :]:
            closed = over or part is not parts[-1]
            if isinstance(part, Stretch):
                fresh = part.text[len(self._begun) :]
                fresh = fresh if closed else fresh[: whole_blocks(fresh)]
                if fresh.strip():
                    self._console.print(markdown(fresh.strip("\n")))
                    self._console.print()
                self._begun += fresh
            elif is_open(part) and not over:
                return
            else:
                self._console.print(rendered(part, 0, {}))
            if not closed and isinstance(part, Stretch):
                return
            self._printed.append(content(part))
            self._begun = ""


def content(part: Part) -> str:
    match part:
        case Stretch():
            return part.text
        case CallAt():
            return str(part.call["tool_call_id"])
    return part.run_id


def is_open(part: Part) -> bool:
    return isinstance(part, CallAt) and part.call["status"] in OPEN_TOOL


def rendered(part: Part, chars: int, progress: Mapping[str, Json]) -> RenderableType:
    match part:
        case Stretch():
            return markdown(part.text[chars:])
        case CallAt():
            return call_line(part.call, progress.get(part.call["tool_call_id"], {}))
    return Text(f"› {plain(part.user['text'] if part.user else '…')}", style="bold")


def markdown(text: str) -> RenderableType:
    return Markdown(plain(text), hyperlinks=False)


def call_line(call: Json, progress: Json) -> Text:
    """One tool call as one line."""
    status = call["status"]
    mark, style = MARKS.get(status, ("…", "dim") if status in OPEN_TOOL else ("✗", "red"))
    arguments = json.dumps(call.get("arguments") or {}, ensure_ascii=False)
    if len(arguments) > MOST:
        arguments = arguments[:MOST] + "…"
    said = f"{mark} {call['name']} {arguments} {status.replace('_', ' ')}"
    if error := call.get("error"):
        said += f": {error['message']}"
    if (fraction := progress.get("fraction")) is not None:
        said += f" {fraction:.0%}"
    said += f" {progress['message']}" if progress.get("message") else ""
    return Text(" ".join(plain(said).split()), style=style)


def waits_for(run: Exchange) -> str:
    note = run.note or {}
    match run.status:
        case "queued":
            return "waiting for its turn"
        case "waiting":
            return f"{run.model} does not answer ({note.get('reason')}), trying again"
        case "awaiting_approval":
            return "waiting for a decision"
    return "" if run.message.text else "thinking"


def whole_blocks(text: str) -> int:
    """How much of growing Markdown is paragraphs and the like that have ended."""
    end = 0
    for found in re.finditer(r"\n\n+(?=[^\s])", text):
        if len(_FENCE.findall(text, 0, found.start())) % 2 == 0:
            end = found.end()
    return end


class LastLines:
    """The last lines of what may be higher than the screen."""

    def __init__(self, content: RenderableType) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._content, options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()
