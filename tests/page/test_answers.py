"""How an answer is drawn while it comes: what was drawn stays, and what is unfinished looks
finished."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from realtime.protocol import utf16_len
from tests.page.acting import live, opened, start
from tests.page.stage import OWNER, Stage

WATCH = """() => {
  const root = document.querySelector(".markdown");
  window.gone = [];
  new MutationObserver((changes) => {
    for (const { target, removedNodes } of changes) {
      for (const node of removedNodes) gone.push(`${node.nodeName} of ${target.nodeName}`);
    }
  }).observe(root, { childList: true, subtree: true });
}"""
SAMPLES = {
    "list": "- one **bold** item\n- two\n  - nested\n  - more\n\n1. first\n2. a `code`\n3. third\n",
    "table": "| a | b |\n|---|--:|\n" + "| **x** | `1` |\n| y | 2 |\n" * 40,
    "code": "```python\ndef f(x):\n    return '''a\n  b''' # c\n" + "x = f(1)\n" * 60 + "```\n",
    "paragraph": "Some **bold** words, `code`, *more* of it and [a link](https://e.example). " * 80,
    "quote": "> One *thing*\n> said\n>\n> > and another\n\nThe end.\n",
}


class Talk:
    """A question whose answer a test writes piece by piece."""

    def __init__(self, stage: Stage, page: Page) -> None:
        self.stage = stage
        self.page = page
        self.text = ""
        self.answer = page.locator(".markdown").last

    async def says(self, text: str, size: int = 7) -> None:
        for at in range(0, len(text), size):
            delta = text[at : at + size]
            await self.stage.plays("token", kind="text", offset=utf16_len(self.text), delta=delta)
            self.text += delta

    async def is_drawn(self) -> None:
        """Something of what was said is on the page."""
        await expect(self.answer).to_contain_text(re.findall(r"[a-zA-Z]+", self.text)[0])

    async def frame(self) -> None:
        await self.page.evaluate("new Promise((done) => requestAnimationFrame(() => done()))")

    async def ends(self) -> None:
        await self.stage.plays("done", status="completed", text=self.text, model="large")
        await expect(self.page.locator(".message.assistant").last).to_have_attribute(
            "aria-busy", "false"
        )
        await expect(self.answer).not_to_be_empty()  # what draws it has come
        await self.frame()


@pytest.fixture
async def talk(aiohttp_server: Any, chromium: Browser) -> AsyncIterator[Talk]:
    stage = Stage()
    host = await aiohttp_server(stage.app)
    context = await chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    await page.goto(str(host.make_url("/")))
    await start(page)
    await live(page)
    await stage.plays("user_message", message_id="q", client_msg_id="c", text="Go on", user_id="u")
    await stage.plays("run", status="started")
    yield Talk(stage, page)
    assert complaints == []


@pytest.mark.parametrize("shape", SAMPLES)
async def test_what_is_drawn_is_appended_to_and_never_drawn_again(talk: Talk, shape: str) -> None:
    text = SAMPLES[shape]
    await talk.says(text[:60])
    await expect(talk.answer).not_to_be_empty()
    if shape == "code":  # until its language is known a line has no colours
        await expect(talk.answer.locator(".code-keyword").first).to_be_visible()
    await talk.page.evaluate(WATCH)
    await talk.says(text[60:])
    await talk.ends()
    gone = await talk.page.evaluate("gone")
    # a line of code and a word that is becoming bold change while they are written
    assert [
        one for one in gone if not re.fullmatch(r"#text of (SPAN|P|TD|LI)|SPAN of SPAN", one)
    ] == []
    drawn = await talk.answer.inner_text()
    assert not re.search(r"\*\*|`|\|", drawn)


async def test_a_selection_and_a_sideways_scroll_outlast_the_answer(talk: Talk) -> None:
    await talk.says(f"A settled paragraph.\n\n```js\nconst long = '{'x' * 300}';\n")
    await expect(talk.answer.locator(".code-keyword")).to_be_visible()
    await talk.page.evaluate(
        """() => {
          getSelection().selectAllChildren(document.querySelector(".markdown p"));
          window.pre = document.querySelector(".markdown pre");
          pre.scrollLeft = 100;
        }"""
    )
    await talk.says("const more = 1;\n```\n\nAnd more.\n\n- a\n- b\n")
    await talk.ends()
    left = await talk.page.evaluate("[String(getSelection()), pre.isConnected, pre.scrollLeft]")
    assert left == ["A settled paragraph.", True, 100]


async def test_what_comes_at_once_is_drawn_in_pieces(talk: Talk) -> None:
    await talk.says("Hello.\n\n")
    await talk.is_drawn()
    await talk.page.evaluate(
        """() => {
          const root = document.querySelector(".markdown");
          let before = root.textContent.length;
          window.pieces = [];
          window.torn = 0;
          new MutationObserver(() => {
            torn += !root.textContent.isWellFormed();
            pieces.push(root.textContent.length - before);
            before = root.textContent.length;
          }).observe(root, { childList: true, subtree: true, characterData: true });
        }"""
    )
    await talk.says("- an item of a list\n- **another** one 😀\n" * 300 + "\nThe end.", size=10_000)
    await talk.ends()
    await expect(talk.answer).to_contain_text("The end.")
    assert await talk.answer.locator("li").count() == 600
    pieces = await talk.page.evaluate("pieces")
    assert max(pieces) <= 400
    assert len(pieces) > 20
    assert await talk.page.evaluate("torn") == 0, "no half of a character"


async def test_a_caret_stands_behind_a_paragraph_until_it_ends(talk: Talk) -> None:
    await talk.says("A first one.\n\nA second one")
    last = talk.answer.locator("p").last
    await expect(last).to_have_text("A second one")
    caret = "(p) => getComputedStyle(p, '::after').content"
    assert await last.evaluate(caret) != "none"
    assert await talk.answer.locator("p").first.evaluate(caret) == "none"
    await talk.ends()
    assert await last.evaluate(caret) == "none"


async def test_a_long_table_keeps_its_columns_and_is_one_table(talk: Talk) -> None:
    widths = "(table) => [...table.rows[0].cells].map((cell) => cell.getBoundingClientRect().width)"
    await talk.says("| name | price |\n|---|--:|\n")
    await talk.says("| an apple | 1.20 |\n" * 50, size=200)
    table = talk.answer.get_by_role("table")
    await expect(talk.answer.locator(".table")).to_have_class("table long")
    held = await table.evaluate(widths)
    room = await table.evaluate("(table) => table.parentElement.clientWidth")
    assert sum(held) == pytest.approx(room, abs=1), "and the width that is free"
    await talk.says(f"| {'a word ' * 30} | {'9' * 30} |\n" * 50)
    await talk.ends()
    await expect(talk.answer.get_by_role("row")).to_have_count(101)
    assert await table.evaluate(widths) == held
    last = await table.evaluate(widths.replace("rows[0]", "rows[100]"))
    assert last == held, "what is wide stands in lines"
    wire = await talk.page.context.new_cdp_session(talk.page)
    nodes = (await wire.send("Accessibility.getFullAXTree"))["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node["ignored"]]
    assert roles.count("columnheader") == 2
    assert roles.count("table") == 1
    assert roles.count("row") > 1


async def test_a_long_word_stays_in_its_cell(talk: Talk) -> None:
    row = f"| `{'0123456789abcdef' * 4}` | https://e.example/{'a' * 60} | 12 MB |\n"
    await talk.says(f"| hash | from | size |\n|---|---|---|\n{row}")
    await talk.ends()
    over = await talk.answer.locator("td").evaluate_all(
        """(cells) => cells.map((cell) => {
          const words = document.createRange();
          words.selectNodeContents(cell);
          return words.getBoundingClientRect().right - cell.getBoundingClientRect().right;
        })"""
    )
    assert len(over) == 3
    assert max(over) <= 0


async def test_two_long_tables_and_a_heading_are_drawn_whole(talk: Talk) -> None:
    rows = [f"| row {number} | **for** `it` |\n" for number in range(90)]
    table = f"| a | b |\n|---|---|\n{''.join(rows)}\n"
    title = "A **long** heading of `words` " * 250
    await talk.says(f"{table}{table}{title}\n---\nThe end.", size=3000)
    await talk.ends()
    await expect(talk.answer).to_contain_text("The end.")
    await expect(talk.answer.locator("tbody tr")).to_have_count(180)
    assert len(await talk.answer.locator("h2").inner_text()) == len(
        title.replace("*", "").replace("`", "").strip()
    )


async def test_no_state_shows_signs_of_markdown(talk: Talk) -> None:
    await talk.says("Hello.\n\n")
    await talk.is_drawn()
    await talk.page.evaluate(
        """() => {
          window.states = new Set();
          const note = () => {
            const copy = document.querySelector(".markdown").cloneNode(true);
            for (const code of copy.querySelectorAll(".code")) code.remove();
            states.add(copy.textContent);
          };
          new MutationObserver(note).observe(document.querySelector(".markdown"),
            { childList: true, subtree: true, characterData: true });
        }"""
    )
    text = (
        "Some **bold** and *soft* `code`, [a link](https://e.example) ~~gone~~.\n\n"
        "| a | b |\n|---|---|\n| 1 | **2** |\n\n- one\n- **two**\n\n```js\nlet a;\n```\n\n# End\n"
    )
    for at in range(0, len(text), 3):
        await talk.says(text[at : at + 3])
        await talk.frame()
    await talk.ends()
    states = await talk.page.evaluate("[...states]")
    assert len(states) > 10
    assert [state for state in states if re.search(r"[*`|~\[\]#]", state)] == []


async def test_each_block_has_the_direction_of_its_text(talk: Talk) -> None:
    await talk.says("English first.\n\nهذا نص عربي.\n\n- עברית\n- English\n\n> نص")
    await talk.ends()
    directions = await talk.answer.evaluate(
        "(root) => [...root.firstChild.children].map((block) => getComputedStyle(block).direction)"
    )
    assert directions == ["ltr", "rtl", "rtl", "rtl"]


async def test_tasks_have_a_box_and_no_bullet(talk: Talk) -> None:
    await talk.says("- [x] done\n- [ ] open\n- other\n")
    await talk.ends()
    items = talk.answer.locator("li")
    styles = [
        await items.nth(n).evaluate("(li) => getComputedStyle(li).listStyleType") for n in range(3)
    ]
    assert styles == ["none", "none", "disc"]
    boxes = talk.answer.get_by_role("checkbox")
    assert [await boxes.nth(n).is_checked() for n in range(2)] == [True, False]


async def asked_for(talk: Talk, text: str, library: str) -> list[str]:
    """Says what needs no such library, and none is loaded. What the page asks for from then on."""
    asked: list[str] = []
    talk.page.on("request", lambda request: asked.append(request.url))
    await talk.says(text)
    await talk.is_drawn()
    assert not any(library in url for url in asked)
    return asked


async def test_code_is_coloured_copied_and_wrapped(talk: Talk) -> None:
    asked = await asked_for(talk, "Words first.\n\n", "languages")
    source = "def f():\n    return '''a\n\n  b'''\n" + "\n".join(f"x{n} = {n}" for n in range(99))
    await talk.says(f"```python\n{source}\n```\n", size=40)
    await talk.ends()
    block = talk.answer.locator(".code")
    await expect(block.locator(".language")).to_have_text("python")
    await expect(block.locator(".code-keyword").first).to_have_text("def")
    await expect(block.locator(".code-string").nth(1)).to_have_text("  b'''")
    await expect(block.locator(".code-number")).to_have_count(99)
    assert sum("languages" in url for url in asked) == 1

    await block.get_by_role("button", name="Copy").click()
    await expect(block.get_by_role("button", name="Copied")).to_be_visible()
    assert await talk.page.evaluate("navigator.clipboard.readText()") == source
    await block.locator("pre code").evaluate("(code) => getSelection().selectAllChildren(code)")
    assert await talk.page.evaluate("String(getSelection())") == source

    wrap = block.get_by_role("button", name="Wrap lines")
    await expect(wrap).to_have_attribute("aria-pressed", "false")
    await wrap.click()
    await expect(wrap).to_have_attribute("aria-pressed", "true")
    space = await block.locator("pre code").evaluate("(code) => getComputedStyle(code).whiteSpace")
    assert space == "pre-wrap"


async def test_formulas_are_mathml_and_money_is_text(talk: Talk) -> None:
    await asked_for(talk, "It costs $5 and $10.\n\n", "temml")
    await talk.says(
        "So \\(x^2\\,\\) is\n\n\\[\n\\frac{a}{b}\n\\]\n\nand $$\\wrong{$$ or \\(\\color{red}y\\).\n"
    )
    await talk.ends()
    await expect(talk.answer.locator("math")).to_have_count(3)
    await expect(talk.answer.locator("math[display=block] mfrac")).to_have_text("ab")
    await expect(talk.answer.locator("[mathcolor]")).to_have_text("y")
    await expect(talk.answer.locator(".formula code")).to_have_text("\\wrong{")
    await expect(talk.answer.locator("p").first).to_have_text("It costs $5 and $10.")
    namespace = await talk.answer.locator("math").first.evaluate("(math) => math.namespaceURI")
    assert namespace.endswith("MathML")


async def test_links_that_are_defined_at_the_end_are_links(talk: Talk) -> None:
    await talk.says("See [the page][1] and the note[^n].\n\nMore.\n\n")
    await talk.is_drawn()
    await talk.says("[1]: https://e.example\n[^n]: It *says* so.\n")
    await talk.ends()
    await expect(talk.answer.get_by_role("link", name="the page")).to_have_attribute(
        "href", "https://e.example"
    )
    await expect(talk.answer.locator("sup.note-mark")).to_have_text("1")
    await expect(talk.answer.locator(".note")).to_have_text("1 It says so.")


@pytest.mark.parametrize(
    "piece",
    [
        ">",
        "> ",
        "[",
        "![",
        "*",
        "**a ",
        "*a",
        "_a",
        "`",
        "~~a",
        "- ",
        "[a](",
        "|",
        "\\(",
        "$$",
        "<",
        "&",
        "[^a",
        "1. ",
    ],
)
async def test_ten_thousand_of_a_kind_are_shown(talk: Talk, piece: str) -> None:
    await talk.says("Before.\n\n" + piece * 10_000, size=20_000)
    await talk.says(f"{piece * 100}\n\nAfter.\n", size=20)
    await talk.ends()
    await expect(talk.answer).to_contain_text("Before.")
    await expect(talk.answer).to_contain_text("After.")
    assert await talk.page.evaluate("1 + 1") == 2


async def test_an_answer_is_read_out_once_and_as_words(talk: Talk) -> None:
    await talk.page.evaluate(
        """() => {
          window.told = [];
          const region = document.getElementById("announcer");
          const note = () => told.push(region.textContent);
          new MutationObserver(note).observe(region, { childList: true });
        }"""
    )
    await talk.says(
        "## A **title**\n\n- one `x`\n- [two](https://e.example)\n\n| a |\n|---|\n| 1 |\n"
    )
    await talk.ends()
    await expect(talk.page.locator("#announcer")).to_have_text(re.compile("A title"))
    assert await talk.page.evaluate("told") == ["A title\none x\ntwo\na\n1"]


async def test_an_answer_without_words_is_told_too_and_a_dropped_message_is_not(
    stage: Stage, chromium: Browser
) -> None:
    page = await opened(chromium, stage.url)
    more = {"run_id": "r2", "user_id": OWNER}
    question = {"message_id": "q2", "client_msg_id": "c2", "text": "And then?"}
    await stage.plays("user_message", **more, **question)
    await stage.plays("run", **more, message_id="a2", status="queued", model="large")
    await stage.plays("done", **more, message_id="a2", status="cancelled", model="large")
    await expect(page.get_by_test_id("queue")).to_be_hidden()
    await stage.plays("done", status="failed", model="large", text="")
    await expect(page.locator("#announcer")).to_have_text("The answer ended: failed.")


async def test_an_answer_is_text_where_its_modules_do_not_come(
    aiohttp_server: Any, chromium: Browser
) -> None:
    stage = Stage()
    host = await aiohttp_server(stage.app)
    page = await chromium.new_page()
    await page.route("**/vendor/lezer-markdown*", lambda route: route.abort())
    await page.goto(str(host.make_url("/")))
    await start(page)
    await live(page)
    await stage.plays("user_message", message_id="q", client_msg_id="c", text="Go on", user_id="u")
    await stage.plays("token", kind="text", offset=0, delta="As **it** is")
    await expect(page.locator(".markdown")).to_have_text("As **it** is")
