// The sanitiser needs a DOM: the browser test covers it. Here is what comes before it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { blocks } from "../../client/page/markdown.js";

const html = (text) => blocks(text).map((block) => block.html).join("");

const SAMPLE = `# Title

A paragraph with **bold**, \`code\` and 😀.

- one
- two

  more

| a | b |
|--:|---|
| 1 | 2 |

\`\`\`js
const x = 1;

// blank lines inside
\`\`\`

> quoted

last`;

test("raw HTML is shown as text", () => {
  assert.equal(html("a <b onclick=x>b</b>").trim(), "<p>a &lt;b onclick=x&gt;b&lt;/b&gt;</p>");
  for (const source of ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!-- x -->", "<div\n<p>"]) {
    assert.doesNotMatch(html(source), /<(?!\/?p>)/, source);
  }
});

test("images become links, without loading anything", () => {
  const made = html('![a "q"](https://e.example/x.png) ![](https://e.example/y.png)');
  assert.doesNotMatch(made, /<img/);
  assert.match(made, /<a href="https:\/\/e\.example\/x\.png">a &quot;q&quot;<\/a>/);
  assert.match(made, />https:\/\/e\.example\/y\.png<\/a>/);
});

test("task lists have no form elements", () => {
  assert.doesNotMatch(html("- [x] done\n- [ ] open"), /<input/);
});

test("the blocks before the last are the text up to there, whatever it is cut to", () => {
  for (let length = 0; length <= SAMPLE.length; length++) {
    const text = SAMPLE.slice(0, length);
    const settled = blocks(text).slice(0, -1).map((block) => block.raw).join("");
    assert.ok(text.startsWith(settled), JSON.stringify(text));
  }
});

test("blocks before the last three stay as they are while the text grows", () => {
  const whole = blocks(SAMPLE);
  for (let length = 1; length <= SAMPLE.length; length++) {
    const settled = blocks(SAMPLE.slice(0, length)).slice(0, -3);
    assert.deepEqual(settled, whole.slice(0, settled.length), `at ${length}`);
  }
});
