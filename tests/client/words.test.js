// The page's words: the languages say the same things, and no other module says anything.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import de from "../../client/page/words/de.js";
import en from "../../client/page/words/en.js";

const CLIENT = new URL("../../client/", import.meta.url);
const read = (name) => readFileSync(new URL(name, CLIENT), "utf-8");
const page = readdirSync(new URL("page/", CLIENT)).filter((name) => name.endsWith(".js")).map((name) => `page/${name}`);
const modules = ["app.js", "realtime-chat.js", ...page].map((name) => [name, read(name)]);

const forms = (entry) => (typeof entry === "string" ? { other: entry } : entry);
const values = (text) => [...new Set(text.match(/\{\w+\}/g))].sort().join();

test("each language has the same keys, with the same values in them", () => {
  assert.deepEqual(Object.keys(de), Object.keys(en));
  for (const [key, entry] of Object.entries(en)) {
    if (!entry) continue; // the server's own words
    const [own, other] = [forms(entry), forms(de[key])];
    for (const text of Object.values(other)) assert.equal(values(text), values(own.other), key);
  }
});

test("a plural has all forms of its language", () => {
  for (const [language, entries] of Object.entries({ en, de })) {
    const { pluralCategories } = new Intl.PluralRules(language).resolvedOptions();
    for (const [key, entry] of Object.entries(entries)) {
      if (typeof entry === "object") assert.deepEqual(Object.keys(entry).sort(), [...pluralCategories].sort(), key);
    }
  }
});

test("each key that is used exists, and each that exists is used", () => {
  const used = new Set();
  const begun = [];
  for (const [, text] of modules) {
    for (const [, key] of text.matchAll(/\b(?:words|phrase|wordFor)\((?:[^"`()]*\? )?"(\w+)"/g)) used.add(key);
    for (const [, key] of text.matchAll(/"(\w+)"/g)) if (key in en) used.add(key);
    for (const [, start] of text.matchAll(/`(\w+_)\$\{/g)) begun.push(start);
  }
  assert.deepEqual([...used].filter((key) => !(key in en)), []);
  assert.deepEqual(Object.keys(en).filter((key) => !used.has(key) && !begun.some((start) => key.startsWith(start))), []);
});

test("no other module has a sentence, and the document none but what needs no script", () => {
  const sentence = /(["'`])(?:[A-Z][a-z]+ [^"'`]*|[A-Z][^"'`]*[.…!?]|[^"'`]* (?:the|is|to|of|by) [^"'`]*)\1/;
  const told = /\b(?:title|placeholder|alt|"aria-label"): "[^"]+"/;
  for (const [name, text] of modules) {
    for (const line of text.replace(/\/\*.*?\*\//gs, "").split("\n")) {
      const code = line.replace(/\/\/ .*/, "");
      if (/^(?:import|export .* from)|throw new Error\(["`]/.test(code)) continue;
      assert.doesNotMatch(code, sentence, `${name}: ${line}`);
      assert.doesNotMatch(code, told, `${name}: ${line}`);
    }
  }
  const document = read("index.html").replace(/<(script|noscript|title)[^]*?<\/\1>|<p class="banner late">.*?<\/p>/g, "");
  assert.doesNotMatch(document, /\b(?:aria-label|placeholder|title|alt)="/);
  assert.deepEqual(document.replace(/<[^>]*>/g, "").match(/[a-z]+/gi), null);
});

test("a length of time is told in its two largest units", async () => {
  const { lasting } = await import("../../client/page/format.js");
  const told = [0, 0.02, 0.26, 0.96, 8.4, 184, 3_600, 7_384].map(lasting);
  assert.deepEqual(told, ["0 s", "0.1 s", "0.3 s", "1 s", "8 s", "3 min 4 s", "1 h", "2 h 3 min"]);
});
