"""`python -m realtime chat` at a real terminal and in a pipe, before a real server."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from realtime.cli.terminal import AnswerView
from realtime.client import Exchange
from realtime.client.reply import common
from tests.python_client.terminal import CTRL_C, CTRL_D, PROMPT, Screen, chat, environment
from tests.support.fold import fold
from tests.support.oracle import journal
from tests.support.process import free_port, realtime, server
from tests.support.upstream import numbered
from tests.support.world import world

TOOLS = '''
from realtime.tools import tool

@tool(approval=True)
def analytics_of_payments(query: str) -> str:
    """Look up payments."""
    with open("payments", "a") as file:
        file.write(query + "\\n")
    return "three payments"
'''


async def test_an_answer_and_leaving(tmp_path: Path) -> None:
    async with server(tmp_path) as running, chat(tmp_path, running.url) as screen:
        await screen.says("demo. Ctrl-C stops an answer")
        await screen.enters("My name is Ada.")
        await screen.says("Nice to meet you, Ada")
        await screen.enters("fetch internal user analytics")
        await screen.says('✓ fetch_internal_user_analytics {"query": .*} completed')
        await screen.says("sessions today: 1")
        await screen.says(PROMPT)
        screen.type(CTRL_D)
        await screen.says(rf"Go on later: python -m realtime chat {running.url} --session \S+")
        assert await screen.ended() == 0


def drawn(*texts: str, status: str = "completed") -> str:
    """What an answer that grew to these texts leaves on the screen."""
    file = StringIO()
    view = AnswerView(Console(file=file, width=60, highlight=False))
    run = Exchange("r", ["r"], begun=True, status="started", model="m")
    with view.showing():
        for text in texts:
            run.message.cut(common(run.message.text, text))
            run.message.grow("text", 0, text)
            view.draw(run, {}, "")
        run.done, run.status = {}, status
        view.draw(run, {}, "")
    return re.sub(r"[ \n]+\n", "\n", file.getvalue())


def test_what_was_said_stands_there_once_however_it_came() -> None:
    """What has ended is printed for good; the rest is drawn again until it has."""
    text = (
        "One **bold**\ntwo.\n\n- a\n- b\n\n```\ncode\n\nmore\n```\n\n[here](http://x/) \x1b[31mred"
    )
    whole = drawn(text)
    assert drawn(*(text[:end] for end in range(1, len(text) + 1))) == whole
    for words in ("One bold two.", "• a", "code", "more", "here (http://x/) [31mred"):
        assert whole.count(words) == 1, words
    assert "\x1b" not in whole


def test_what_was_printed_of_a_model_that_another_one_replaced_is_followed_by_its_own() -> None:
    shown = drawn("It is 4.\n\nAnd so", "It is 5.", "It is 5.\n\nReally.")
    assert " ".join(shown.split()) == "It is 4. Another model begins anew: It is 5. Really."


async def left(screen: Screen) -> str:
    """What is said on leaving."""
    screen.type(CTRL_D)
    found = await screen.says(r"Go on later: .* --session \S+")
    return found[0]


async def test_ctrl_c_stops_an_answer_and_a_second_one_leaves(tmp_path: Path) -> None:
    async with server(tmp_path) as running, chat(tmp_path, running.url) as screen:
        await screen.enters("count to 2000")
        await screen.says("1 2 3 4")
        screen.type(CTRL_C)
        await screen.says("Stopped")
        await screen.enters("hello")
        await screen.says("Before that you sent one message")
        await screen.says(PROMPT)
        await screen.interrupted("Go on later")
        assert await screen.ended() == 0
    (entries,) = journal(tmp_path / "realtime.db").values()
    assert [e["status"] for e in entries if e["event"] == "done"] == ["cancelled", "completed"]


async def test_a_stop_without_a_connection_is_made_later_and_a_second_ctrl_c_leaves(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, CONTINUE_AUTOMATICALLY="true") as scene:
        for leaving in (False, True):
            async with chat(tmp_path, scene.url) as screen:
                await screen.enters("tokens 3000 rate 100")
                await screen.says("t000003")
                await scene.kill()
                await screen.says("No connection, trying again")
                screen.type(CTRL_C)
                if leaving:
                    await screen.interrupted("Go on later")
                    assert await screen.ended() == 0
                else:
                    await scene.start()
                    await screen.says("Stopped")


async def test_approvals_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "money.py").write_text(TOOLS)
    payments = tmp_path / "payments"
    async with server(tmp_path, TOOLS="money") as running, chat(tmp_path, running.url) as screen:
        await screen.enters("analytics of Ann")
        await screen.says("analytics_of_payments waits for your approval")
        await screen.says('"query": "of Ann"')
        await screen.says(r"Allow it\? \[y/n\]")
        screen.type("perhaps\n")
        await screen.says(r"Allow it\? \[y/n\]")
        screen.type("n\n")
        await screen.says("Why not")
        screen.type("not today\n")
        await screen.says("✗ analytics_of_payments .* denied: .*not today")
        assert not payments.exists()
        await screen.enters("analytics of Bob")
        await screen.says(r"Allow it\? \[y/n\]")
        screen.type("y\n")
        await screen.says("✓ analytics_of_payments .* completed")
        await screen.says("three payments")
        assert payments.read_text() == "of Bob\n"


async def test_a_session_is_resumed_with_what_was_said(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        async with chat(tmp_path, running.url) as screen:
            await screen.enters("My name is Ada.")
            await screen.says("Nice to meet you, Ada")
            await screen.says(PROMPT)
            words = (await left(screen)).split(" chat ")[1].split()
        async with chat(tmp_path, *words) as screen:
            await screen.says("› My name is Ada")
            await screen.says("Nice to meet you, Ada")
            await screen.enters("What is my name?")
            await screen.says("Your name is Ada")
        async with chat(tmp_path, *words, XDG_STATE_HOME=str(tmp_path / "other")) as screen:
            await screen.says("you have no such session")
            assert await screen.ended() == 1


async def test_a_server_that_is_started_again_in_the_middle(tmp_path: Path) -> None:
    async with (
        world(tmp_path, CONTINUE_AUTOMATICALLY="true") as scene,
        chat(tmp_path, scene.url) as screen,
    ):
        await screen.enters("tokens 60 rate 30")
        await screen.says("t000003")
        await scene.kill()
        await screen.says("No connection, trying again")
        await scene.start()
        await screen.says("t000059 t000060")
        await screen.enters("tokens 3")
        await screen.says("t000003")
        await screen.says(PROMPT)
    (entries,) = journal(scene.path).values()
    assert [run["text"] for run in fold(entries)] == [numbered(60), numbered(3)]


async def test_escape_sequences_of_the_model_are_not_obeyed(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        _, out, _ = await piped(tmp_path, "say \x1b[31mred\x1b]0;title\x07", running.url)
    assert "red" in out
    assert "\x1b" not in out
    assert "\x07" not in out


async def piped(folder: Path, question: str, *words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "realtime", "chat", *words),
        cwd=folder,
        env={**os.environ, **environment(folder)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await child.communicate(question.encode())
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


async def test_a_question_from_a_pipe(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        code, out, err = await piped(tmp_path, "My name is Ada,\nand yours?\n", running.url)
        assert (code, err) == (0, "")
        assert out.endswith("Nice to meet you, **Ada**. I shall remember your name.\n")
        (session_id,) = journal(tmp_path / "realtime.db")
        words = (running.url.removeprefix("http://"), "--session", session_id)
        code, out, err = await piped(tmp_path, "What is my name?", *words)
        assert (code, out, err) == (0, "Your name is **Ada**.\n", "")
        code, out, err = await piped(tmp_path, " \n", running.url)
        assert (code, out) == (1, "")
        assert "There is no question" in err


async def test_an_answer_that_fails_from_a_pipe(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    code, out, err = await piped(tmp_path, "hi", nobody)
    assert (code, out) == (1, "")
    assert f"No server can be reached at {nobody}: Connection refused." in err
    assert "make run" in err
    upstream = {"OPENAI_BASE_URL": nobody, "OPENAI_API_KEY": "none", "OPENAI_MODEL": "m"}
    async with server(tmp_path, **upstream) as running:
        code, out, err = await piped(tmp_path, "hi", running.url)
        assert (code, out.strip()) == (1, "")
        assert "The answer ended failed: " in err


async def test_a_call_that_needs_approval_from_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "money.py").write_text(TOOLS)
    async with server(tmp_path, TOOLS="money") as running:
        code, _, err = await piped(tmp_path, "analytics of Ann", running.url)
        assert code == 1
        assert "analytics_of_payments waits for your approval" in err
        words = re.search(r"realtime chat (\S+) --session (\S+)", err)
        async with chat(tmp_path, words[1], "--session", words[2]) as screen:
            await screen.says(r"Allow it\? \[y/n\]")
            screen.type("y\n")
            await screen.says("three payments")


@pytest.mark.parametrize("word", ["chat", "--session", "--token"])
async def test_the_help_lists_it(tmp_path: Path, word: str) -> None:
    words = ("--help",) if word == "chat" else ("chat", "--help")
    code, said = await realtime(*words, cwd=tmp_path)
    assert (code, word in said) == (0, True)
