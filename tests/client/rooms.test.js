/** What a front end takes away is whole: the modules right in client/, but for the page's own. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

const ROOT = new URL("../../client/", import.meta.url);
const modules = (folder) => readdirSync(new URL(folder, ROOT)).filter((name) => name.endsWith(".js"));
const core = modules("./").filter((name) => !["app.js", "embed.js", "realtime-chat.js"].includes(name));
const imports = (path) =>
  [...readFileSync(new URL(path, ROOT), "utf8").matchAll(/^(?:import|export)\b[^;]*?from "(.+?)";$/gm)].map(([, name]) => name);

test("the core imports itself, and no package and nothing of the page", () => {
  for (const name of core) {
    const wrong = imports(name).filter((other) => !core.includes(other.replace(/^\.\//, "")));
    assert.deepEqual(wrong, [], name);
  }
});

test("the core touches no document: what it needs of a browser is given to it", () => {
  for (const name of core) {
    const code = readFileSync(new URL(name, ROOT), "utf8").replace(/\/\*[^]*?\*\/|\/\/.*/g, "");
    assert.doesNotMatch(code, /\b(localStorage|sessionStorage|document\.(?!visibilityState|hidden)\w+|window\.(?!document)\w+|requestAnimationFrame)\b/, name);
  }
});

test("the page takes from the core, and the core's modules have one place each", () => {
  for (const name of modules("./page/")) {
    const given = imports(`page/${name}`).filter((other) => other.startsWith("../"));
    assert.deepEqual(given.filter((other) => !core.includes(other.slice(3))), [], name);
  }
});

test("the guide for front ends names every module of the core", () => {
  const guide = readFileSync(new URL("../docs/front-end.md", ROOT), "utf8");
  const [table] = guide.match(/^\| module \|[^]*?\n\n/m);
  const named = [...table.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) => cell.match(/[\w-]+\.js/g));
  assert.deepEqual(named.sort(), core.sort());
});
