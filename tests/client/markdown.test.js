// What becomes of Markdown, before there is a DOM; the browser tests see how it is drawn.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Answer, plainText } from "../../client/page/answer.js";
import { painterOf } from "../../client/page/colours.js";
import { grouped } from "../../client/page/grow.js";
import { decided } from "../../client/page/markdown.js";

/** The plans as something like HTML. */
function shown(plans) {
  return plans.map((plan) => {
    if (typeof plan === "string") return plan;
    if (plan.text !== undefined && plan.view) return `{${plan.language}: ${plan.text}}`;
    if (plan.view && plan.children) return `<table>${shown(plan.children())}</table>`;
    if (plan.view) return plan.display ? `{{${plan.source}}}` : `{${plan.source}}`;
    const { href, checked } = plan.attributes ?? {};
    const attributes = (href ? ` ${href}` : "") + (checked === "" ? " checked" : "");
    return `<${plan.tag}${attributes}>${shown(plan.children?.() ?? [])}</${plan.tag}>`;
  }).join("");
}

const html = (text, final = true) => shown(new Answer().plan(text, final));

/** What is shown after each character, each change once. */
function states(text) {
  const answer = new Answer();
  const seen = [];
  for (let length = 1; length <= text.length; length++) {
    const now = shown(answer.plan(text.slice(0, length), false));
    if (now !== seen.at(-1)) seen.push(now);
  }
  return seen;
}

test("raw HTML is shown as text, but for a line break", () => {
  assert.equal(html("a <b onclick=x>b</b>"), "<p>a <b onclick=x>b</b></p>");
  assert.deepEqual(new Answer().plan("<script>alert(1)</script>", true)[0].children(), ["<script>alert(1)</script>"]);
  assert.equal(html("a<br>b"), "<p>a<br></br>b</p>");
});

test("images become links, without loading anything", () => {
  assert.equal(html("![a](https://e.example/x.png)"), "<p><a https://e.example/x.png>a</a></p>");
  assert.equal(html("![](https://e.example/y.png)"), "<p><a https://e.example/y.png>https://e.example/y.png</a></p>");
});

test("links have the addresses of the web and of mail, wherever they are defined", () => {
  assert.equal(html("[a](javascript:x) [b][r] [c] www.d.example\n\n[r]: https://e.example 'T'"),
    "<p><a>a</a> <a https://e.example>b</a> [c] <a https://www.d.example>www.d.example</a></p>");
});

test("emphasis holds beside ideographs", () => {
  assert.equal(html("这是**「强调」**的"), "<p>这是<strong>「强调」</strong>的</p>");
  assert.equal(html("これは**「強調」**です。"), "<p>これは<strong>「強調」</strong>です。</p>");
  assert.equal(html("他说**“好”**了"), "<p>他说<strong>“好”</strong>了</p>");
  assert.equal(html("2 * 3 * 4 and snake_case_name"), "<p>2 * 3 * 4 and snake_case_name</p>");
});

test("a single tilde strikes nothing through", () => {
  assert.equal(html("~5 and ~6, ~~gone~~"), "<p>~5 and ~6, <del>gone</del></p>");
});

test("tasks are boxes that nobody can tick", () => {
  const [list] = new Answer().plan("- [x] done\n- [ ] open", true);
  assert.deepEqual(list.children()[0].attributes, { class: "task" });
  assert.deepEqual(list.children()[0].children()[0].attributes, { type: "checkbox", disabled: "", "aria-label": "Done", checked: "" });
  assert.equal(shown([list]), "<ul><li><input checked></input><p>done</p></li><li><input></input><p>open</p></li></ul>");
});

test("formulas are told from money", () => {
  assert.equal(html("It costs $5 and $10, US$ 6 or $7-$8; $HOME/$USER."), "<p>It costs $5 and $10, US$ 6 or $7-$8; $HOME/$USER.</p>");
  assert.equal(html("\\(a\\,b\\) and $x^2$ and $$y$$"), "<p>{a\\,b} and {x^2} and {{y}}</p>");
  assert.equal(html("so\n\\[\na\nb\n\\]\n> $$\n> c\n> $$"), "<p>so</p>{{a\nb}}<blockquote>{{c}}</blockquote>");
});

test("notes are numbered in the order of their definitions", () => {
  assert.equal(html("a[^x] b[^y]\n\n[^x]: One *two*\n[^y]: Three"),
    "<p>a<sup>1</sup> b<sup>2</sup></p><p><sup>1</sup> One <em>two</em></p><p><sup>2</sup> Three</p>");
  assert.equal(html("a[^x]"), "<p>a[^x]</p>");
  const grown = new Answer();
  for (const final of [false, true]) assert.equal(shown(grown.plan("a[^x]\n\nb", final)).includes("[^x]"), final, "by its end it is none");
});

test("what stands behind the fence of a formula is shown", () => {
  for (const [open, close] of [["\\[", "\\]"], ["$$", "$$"]]) {
    const text = `${open}\nx\n${close} where *x* is one.\n\nAnd on.`;
    const all = "<div>{{x}}<p>where <em>x</em> is one.</p></div><p>And on.</p>";
    assert.equal(html(text), all);
    const grown = new Answer();
    for (let length = 1; length <= text.length; length++) shown(grown.plan(text.slice(0, length), false));
    assert.equal(shown(grown.plan(text, true)), all);
  }
  assert.equal(html("$$\nx = 1 $$."), "<div>{{x = 1}}<p>.</p></div>");
});

test("tables have a cell in each column", () => {
  assert.equal(html("| a | b |\n|--|--|\n| `x\\|y` |\n|| z |"),
    "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td><code>x|y</code></td><td></td></tr>" +
    "<tr><td></td><td>z</td></tr></tbody></table>");
});

test("a row without cells is not filled with thousands", () => {
  const wide = `|${"a|".repeat(1000)}\n|${"-|".repeat(1000)}\n${"|b\n".repeat(1000)}`;
  const [{ attributes }] = new Answer().plan("| a | b | c |\n|--|--|--|\n| d |", true)[0].children()[1].children()[0].children().slice(1);
  assert.deepEqual(attributes, { colspan: "2", role: "cell" });
  assert.equal(html(wide).match(/<t[dh]>/g).length, 1000 + 2 * 1000);
});

test("code in quotes and lists is what it says", () => {
  assert.equal(html("> ```py\n> a\n>\n> b\n> ```"), "<blockquote>{py: a\n\nb}</blockquote>");
  assert.equal(html("- x\n\n  ```\n  a\n    b\n  ```"), "<ul><li><p>x</p>{: a\n  b}</li></ul>");
});

const SAMPLE = `# Title

A **bold** word, \`code\`, *em*, ~~no~~ and [a link](https://e.example/x_(y) "T").

- one
- **two**
  - [x] three

| a | b |
|--:|---|
| 1 | **2** |

\`\`\`js
const x = 1;
\`\`\`

> quoted \\(x\\)

1. last
`;

test("what is unfinished is shown as if it were closed", () => {
  const raw = /\*|`|~|\||\]|\[|\\|#|^<p>-|<p>\d/;
  for (const state of states(SAMPLE)) {
    assert.doesNotMatch(state.replace(/\{js: [^}]*\}/g, "").replace(/<\/?[^>]*>/g, (tag) => (tag === "<p>" ? tag : "")), raw);
  }
  assert.deepEqual(states("a **b c** d").slice(1), ["<p>a <strong>b</strong></p>", "<p>a <strong>b </strong></p>", "<p>a <strong>b c</strong></p>", "<p>a <strong>b c</strong> d</p>"]);
  assert.deepEqual(states("x [y](https://z.example)").slice(-2), ["<p>x y</p>", "<p>x <a https://z.example>y</a></p>"]);
});

test("a text that grew is what it would be at once", () => {
  const long = "word **bold** and `code` then more of it ".repeat(300);
  const table = `| a | b |\n|---|---|\n${"| 1 | **x** |\n".repeat(200)}`;
  const open = `a **b ${"word *em* and more ".repeat(400)} c** d`;
  for (const text of [SAMPLE.repeat(3), long, open, table, `${table}\n\n${long}\n\n[r]: https://e.example\n`]) {
    const answer = new Answer();
    for (let length = 0; length <= text.length; length += 37) shown(answer.plan(text.slice(0, length), false));
    assert.equal(shown(answer.plan(text, true)), html(text));
    assert.equal(shown(answer.plan(text, true)), html(text), "again");
  }
});

test("long blocks that follow one another are what they would be at once", () => {
  const paragraph = "word **bold** and `code` then more of it ".repeat(100);
  const table = (words) => `| a | b |\n|---|---|\n${Array.from({ length: 90 }, (_, n) => `| row ${n} | ${words} |\n`).join("")}`;
  const [one, other] = [table("**x**"), table("for `y`")];
  const blocks = [paragraph, one, other, `${paragraph}\n---`, `${paragraph}\n===`, `${paragraph} a | b\n--|--\n1 | 2`, "- item\n".repeat(50)];
  for (const first of blocks) {
    for (const second of blocks.slice(0, 4)) {
      const text = `${first}\n\n${second}\n\nThe _end_.\n\n${one}\n${paragraph}`;
      const answer = new Answer();
      for (let length = 150; length < text.length; length += 400) {
        const now = shown(answer.plan(text.slice(0, length), false));
        if (length % 7 === 3) assert.equal(now, html(text.slice(0, length), false));
      }
      assert.equal(shown(answer.plan(text, true)), html(text));
    }
  }
});

test("half of a link is found without trying everything", () => {
  for (const text of ["[x](", "f(g(h[i](", "](a(b)", "](( "]) decided(`${text.repeat(600)} and more words`); // and ends
  for (const [text, shown] of [["see [x](http://a(b)c", "see [x"], ["[x](a \"tit", "[x"], ["[x](a) y", "[x](a) y"], ["f[x](y(z(1", "f[x](y(z(1"]]) assert.equal(decided(text), shown);
});

test("what is decided is a beginning of the text, and all of it once it has ended", () => {
  const code = "```py\nif x:\n    # why\n    - 1 | [a](b c) ** 2\n    | x |\n    ``\n```\n";
  for (const sample of [SAMPLE, code]) {
    let before = "";
    for (let length = 0; length <= sample.length; length++) {
      const text = sample.slice(0, length);
      const shown = decided(text);
      assert.ok(text.startsWith(shown), JSON.stringify(text));
      assert.ok(shown.trimEnd().length >= before.length, `less is shown: ${JSON.stringify(text)}`);
      before = shown.trimEnd();
    }
  }
  for (const piece of ["-  ", "1.  ", "> ", "](", "](a", "[^", "[a](b ", "~`"]) decided(`${piece.repeat(3000)}x`); // and ends
  assert.equal(html("a *"), "<p>a *</p>");
  const wide = `${"x ".repeat(3000)}| y ${"z ".repeat(999)}`;
  assert.equal(decided(wide), wide, "a long line is no head of a table");
});

test("no text takes for ever", () => {
  const many = (piece) => piece.repeat(Math.ceil(50_000 / piece.length));
  for (const text of [many("[\n"), `a \` ${many("b")}\` c`, `a${many(" ")}b`, many("&a"), many("- \n"), many("|\n"), many("1. "), many("> - ")]) {
    assert.notEqual(html(text, false) + html(text), "");
  }
});

test("read out, an answer is words", () => {
  assert.equal(plainText(SAMPLE), "Title\nA bold word, code, em, no and a link.\none\ntwo\nthree\na, b\n1, 2\nconst x = 1;\nquoted x\nlast");
});

test("a painter gives back each line, and goes on where the last one ended", async () => {
  const painter = (await painterOf("Python"))();
  const texts = (parts) => parts.map((part) => part.text ?? part).join("");
  assert.equal(texts(painter.line('x = """a')), 'x = """a');
  assert.deepEqual(painter.fork().line("b").map(({ attributes }) => attributes.class), ["code-string"]);
  assert.deepEqual(painter.line('b"""').map(({ attributes }) => attributes.class), ["code-string"]);
  assert.deepEqual(painter.line("def f():").slice(0, 1).map(({ attributes }) => attributes.class), ["code-keyword"]);
  assert.equal(await painterOf("no such language"), null);
});

test("plans come in groups, and a group in which nothing changed is the same one", () => {
  const answer = new Answer();
  const known = new WeakMap();
  const groups = (text) => grouped(answer.plan(text, false), 8, known, (at, behind) => ({ tag: "div", attributes: { class: behind ? "past" : "" } }));
  const text = Array.from({ length: 20 }, (_, n) => `block ${n}`).join("\n\n");
  const before = groups(text);
  assert.deepEqual(before.map((group) => group.children().length), [8, 8, 4]);
  const after = groups(`${text} and more\n\nblock 20`);
  assert.deepEqual(after.map((group, at) => group === before[at]), [true, true, false]);
  assert.equal(shown(after.flatMap((group) => group.children())), html(`${text} and more\n\nblock 20`, false));
  const list = groups(`${text} and more\n\nblock 20\n\n${"- item\n".repeat(9)}\nblock 21\n\nblock 22`);
  assert.deepEqual(list.map((group) => group.children().length), [8, 8, 6, 2], "a list weighs what is in it");
  assert.ok(list[1] === after[1]);
});

test("a long list, quote or table stands in parts, and those that are behind the end stay the same", () => {
  const numbered = (count) => Array.from({ length: count }, (_, n) => `${n + 5}. item ${n}\n`).join("");
  const answer = new Answer();
  const before = answer.plan(numbered(70), false);
  assert.deepEqual(before.map(({ attributes }) => [attributes.start, attributes.class]), [["5", "tight part"], ["37", "tight part"], ["69", "tight"]]);
  const after = answer.plan(`${numbered(100)}\nAnd then.`, false);
  assert.deepEqual(after.map(({ tag }) => tag), ["ol", "ol", "ol", "ol", "p"]);
  assert.ok(after[1] === before[1]);
  assert.deepEqual(new Answer().plan("- a\n\n- b\n", true).map(({ attributes }) => attributes.class), ["loose"]);

  const quote = new Answer();
  const parts = (count) => quote.plan("> word\n>\n".repeat(count), false)[0].children();
  const short = parts(20);
  assert.deepEqual(short.map(({ tag }) => tag), [..."pppppppp", "div", "div"]);
  const long = parts(30);
  assert.deepEqual(long.map(({ tag }) => tag), [..."pppppppp", "div", "div", "div"]);
  assert.ok(long[8] === short[8]);

  const table = new Answer();
  const bodies = (count) => table.plan(`| a |\n|---|\n${"| 1 |\n".repeat(count)}`, false)[0].children();
  assert.deepEqual(bodies(30).map(({ tag }) => tag), ["thead", "tbody"]);
  bodies(90);
  const [, first] = bodies(91);
  assert.equal(first.children().length, 32);
  assert.ok(bodies(92)[1] === first);
});
