/**
 * Markdown as a tree that grows with its text. No DOM and no HTML: a tag in the source is text
 * like any other, except for `<br>`.
 */

import { TreeFragment } from "@lezer/common";
import { Autolink, InlineContext, Strikethrough, Table, TaskList, parser } from "@lezer/markdown";

const PUNCTUATION = /[\p{P}\p{S}]/u;
const IDEOGRAPHIC = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\u3000-\u303f\uff00-\uffef]/u;
const NOTE = /^\[\^([^\]\s]{1,80})\]:[ \t]*/;
const DEEPEST = 40; // blocks in blocks
const FAILED_LINKS = 200;

/** `**` beside ideographs, which have no spaces between their words, opens and closes all the same. */
const emphasis = {
  name: "Emphasis",
  parse(cx, next, start) {
    if (next !== 42 && next !== 95) return -1;
    let end = start + 1;
    while (cx.char(end) === next) end++;
    const before = kind(cx.slice(start - 1, start));
    const after = kind(cx.slice(end, end + 1));
    const opens = flanks(before, after);
    const closes = flanks(after, before);
    const star = next === 42;
    return cx.addDelimiter(
      star ? InlineContext.emphasisAsterisk : InlineContext.emphasisUnderscore, start, end,
      opens && (star || !closes || before === "punctuation"),
      closes && (star || !opens || after === "punctuation"),
    );
  },
};

function kind(character) {
  if (/^\s*$/.test(character)) return "space";
  if (IDEOGRAPHIC.test(character)) return "ideograph";
  return PUNCTUATION.test(character) ? "punctuation" : "letter";
}

const flanks = (outside, inside) => inside !== "space" && (inside !== "punctuation" || outside !== "letter");

/** `<br>`, which models write in tables, and `<https://…>`. */
const angles = {
  name: "Angles",
  parse(cx, next, start) {
    if (next !== 60) return -1;
    const [whole, address] = /^<(?:br ?\/?|((?:https?:\/\/|mailto:)[^\s<>]+))>/i.exec(cx.slice(start, start + 2000)) ?? [];
    if (!whole) return -1;
    const end = start + whole.length;
    if (!address) return cx.addElement(cx.elt("HardBreak", start, end));
    return cx.addElement(cx.elt("Autolink", start, end, [cx.elt("URL", start + 1, end - 1)]));
  },
};

/** Blanks that end no line are passed over at once: each would be searched for its line's end. */
const blanks = {
  name: "Blanks",
  before: "Escape",
  parse(cx, next, start) {
    if (next !== 32) return -1;
    let end = start + 1;
    while (cx.char(end) === 32) end++;
    return cx.char(end) === 10 ? -1 : end;
  },
};

/** Each `[a](` without an end is searched for its end, so a line of thousands is given up. */
const failures = new WeakMap();
const linkGuard = {
  name: "LinkGuard",
  before: "LinkEnd",
  parse(cx, next, start) {
    if (next !== 93 || cx.char(start + 1) !== 40) return -1;
    const failed = failures.get(cx) ?? 0;
    if (failed > FAILED_LINKS) return start + 1;
    if (cx.slice(start, cx.end).indexOf(")") < 0) failures.set(cx, failed + 1);
    return -1;
  },
};

const FORMULA = /^(?:\$\$([^]+?)\$\$|\\\[([^]+?)\\\]|\\\(([^]+?)\\\)|\$(?![\s\d$])((?:[^$\\\n]|\\.){0,200}?[^\s$\\])\$(?!\w))/;

/** A single `$` is one only where it cannot be money or a variable of the shell. */
const formula = {
  name: "Formula",
  before: "Escape",
  parse(cx, next, start) {
    if (next !== 36 && next !== 92) return -1;
    if (next === 36 && /[\w$\\]/.test(cx.slice(start - 1, start))) return -1;
    if (next === 92 && !/[[(]/.test(cx.slice(start + 1, start + 2))) return -1;
    const found = FORMULA.exec(cx.slice(start, Math.min(cx.end, start + 4000)));
    return found ? cx.addElement(cx.elt("Formula", start, start + found[0].length)) : -1;
  },
};

const FENCES = { "$$": "$$", "\\[": "\\]" };
const fence = (line) => FENCES[line.text.slice(line.pos, line.pos + 2)];

/** A formula that has lines to itself. It ends with its fence, or with the paragraph. What stands behind the fence goes along. */
const formulaBlock = {
  name: "FormulaBlock",
  before: "FencedCode",
  endLeaf: (cx, line) => Boolean(fence(line)) && !line.text.slice(line.pos + 2).includes(fence(line)),
  parse(cx, line) {
    const close = fence(line);
    if (!close || line.text.slice(line.pos + 2).includes(close)) return false;
    const from = cx.lineStart + line.pos;
    const rows = [cx.elt("FormulaText", from + 2, cx.lineStart + line.text.length)];
    const { depth } = cx;
    let to = cx.lineStart + line.text.length;
    while (cx.nextLine() && cx.depth === depth && line.pos < line.text.length) {
      const at = line.text.indexOf(close, line.pos);
      const start = cx.lineStart + line.pos;
      to = at < 0 ? cx.lineStart + line.text.length : cx.lineStart + at + 2;
      rows.push(...line.markers, cx.elt("FormulaText", start, at < 0 ? to : to - 2));
      if (at < 0) continue;
      rows.push(cx.elt("FormulaMark", to - 2, to));
      const rest = line.text.slice(at + 2).trim();
      if (rest) {
        const begin = cx.lineStart + line.text.indexOf(rest, at + 2);
        to = begin + rest.length;
        rows.push(cx.elt("Paragraph", begin, to, cx.parser.parseInline(rest, begin)));
      }
      cx.nextLine();
      break;
    }
    cx.addElement(cx.elt("FormulaBlock", from, to, rows));
    return true;
  },
};

/** `[^1]` in a text, and `[^1]: what it says`. */
const noteMark = {
  name: "NoteMark",
  before: "Link",
  parse(cx, next, start) {
    if (next !== 91 || cx.char(start + 1) !== 94) return -1;
    const found = /^\[\^[^\]\s]{1,80}\]/.exec(cx.slice(start, start + 90));
    return found ? cx.addElement(cx.elt("NoteMark", start, start + found[0].length)) : -1;
  },
};

const note = {
  name: "Note",
  before: "LinkReference",
  endLeaf: (cx, line) => NOTE.test(line.text.slice(line.pos)),
  leaf: (cx, { content }) => (NOTE.test(content) ? { nextLine: () => false, finish: finishNote } : null),
};

function finishNote(cx, leaf) {
  const [label] = NOTE.exec(leaf.content);
  const from = leaf.start + label.length;
  cx.addLeafElement(leaf, cx.elt("Note", leaf.start, leaf.start + leaf.content.length, [
    cx.elt("NoteLabel", leaf.start, from),
    ...cx.parser.parseInline(leaf.content.slice(label.length), from),
  ]));
  return true;
}

/** What is nested deeper than anybody writes is a line of text. */
const shallow = {
  name: "Shallow",
  before: "LinkReference",
  parse(cx, line) {
    if (cx.depth < DEEPEST) return false;
    const from = cx.lineStart + line.pos;
    const to = cx.lineStart + line.text.length;
    if (from < to) cx.addElement(cx.elt("Paragraph", from, to, cx.parser.parseInline(line.text.slice(line.pos), from)));
    cx.nextLine();
    return true;
  },
};

const markdown = parser.configure([
  { remove: ["HTMLBlock", "HTMLTag"] },
  Table, TaskList, Strikethrough, Autolink,
  {
    defineNodes: [
      "Formula", { name: "FormulaBlock", block: true }, "FormulaText", "FormulaMark",
      "NoteMark", { name: "Note", block: true }, "NoteLabel",
    ],
    parseInline: [blanks, emphasis, formula, noteMark, linkGuard, angles],
    parseBlock: [shallow, formulaBlock, note],
  },
]);

/** Parses a text again and again while it grows, and reads only its last block anew. */
export class Growing {
  text = "";
  tree = markdown.parse("");
  #fragments = [];

  /** @param {string} text @returns {import("@lezer/common").Tree} unchanged blocks are the same objects */
  parse(text) {
    const old = this.text;
    const shorter = Math.min(old.length, text.length);
    let same = old.startsWith(text.slice(0, shorter)) ? shorter : 0;
    while (same < shorter && old.charCodeAt(same) === text.charCodeAt(same)) same++;
    const change = { fromA: same, toA: old.length, fromB: same, toB: text.length };
    this.#fragments = TreeFragment.applyChanges(TreeFragment.addTree(this.tree, this.#fragments), [change], 2);
    this.tree = markdown.parse(text, this.#fragments);
    this.text = text;
    return this.tree;
  }
}

const UNDECIDED = /^(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*(?:[-=*+_]+|\d{1,9}[.)]?|#{1,6}|\[\^?[^\]]*\]?:?|(?:`{3,}|~{3})[^\n`]*)?$/;
const HALF_LINK = 2000; // characters, with its address
const HALF_ADDRESS = /^(?:[^()\s]|\([^()\s]*\))*(?:\([^()\s]*)?(?:\s+(?:"[^"\n]*"?)?)?$/;
const HALF_MARK = /(?:[*_~`]+|\[\^[^\]\s]*|!?\[|\]|[\\$<&])$/;
const MARK = 100; // characters: the label of a note is the longest
const row = (line) => /^[ \t>]*\|/.test(line);

/**
 * A text that still grows without what its end may turn into: the marker of a list, the head
 * of a table before it has one, half of a link, emphasis that is being closed.
 * @param {string} text @returns {string} a beginning of it
 */
export function decided(text) {
  const lines = text.slice(-HALF_LINK).split("\n").reverse();
  if (text.length > HALF_LINK) lines.pop(); // it may have begun earlier
  const [last = "…", before = "", prior = ""] = lines;
  let cut = 0;
  if (row(last) ? !row(before) : !last && row(before) && !row(prior)) cut = last.length || before.length + 1;
  else if (row(last) && row(before) && !row(prior) && /^[ \t>|:-]*$/.test(last)) cut = last.length + before.length + 1;
  else if (UNDECIDED.test(last.trimEnd())) cut = last.length;
  if (cut) return text.slice(0, text.length - cut);
  const tail = text.slice(-HALF_LINK);
  const link = tail.lastIndexOf("](");
  const kept = link >= 0 && HALF_ADDRESS.test(tail.slice(link + 2)) ? text.slice(0, link - tail.length) : text;
  return kept.slice(0, -MARK) + kept.slice(-MARK).replace(HALF_MARK, "");
}
