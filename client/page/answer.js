/** What a tree of Markdown looks like: plans for `grow.js`, and its words for a screen reader. */

import { CodeBlock } from "./code-block.js";
import { FormulaView } from "./formula-view.js";
import { Growing, decided } from "./markdown.js";
import { words } from "./words.js";

const DEPTH = 40; // of blocks and of emphasis; what is nested deeper is shown as it is written
const MARKS = new Set([
  "CodeMark", "EmphasisMark", "FormulaMark", "HeaderMark", "LinkMark", "ListMark", "NoteLabel", "QuoteMark",
  "StrikethroughMark", "TableDelimiter", "TaskMarker",
]);
const ENTITIES = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", reg: "®", trade: "™", hellip: "…",
  mdash: "—", ndash: "–", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", laquo: "«", raquo: "»", bull: "•",
  middot: "·", times: "×", divide: "÷", deg: "°", plusmn: "±", euro: "€", pound: "£", sect: "§", para: "¶",
  larr: "←", rarr: "→", uarr: "↑", darr: "↓", le: "≤", ge: "≥", ne: "≠", infin: "∞", emsp: "\u2003", ensp: "\u2002",
};
const PLAIN = { Emphasis: "em", StrongEmphasis: "strong", Strikethrough: "del" };
/** What may be open at the end of a text: where it opens, and what it is until it is closed. */
const OPENING = /(?<bold>\*\*\*?|__)(?=\S)|(?<struck>~~)(?=\S)|(?<![\w*_])(?<em>[*_])(?=[^\s*_])|(?<code>`+)(?=[^`])|(?<formula>\$\$)|(?<![\w\]])(?<link>!?\[)(?=[^\s\]^])/;
const TO_CLOSE = 400; // characters within which the end is awaited
const LONG = 3000; // characters of a paragraph's end that are read again and again
const ROWS = 40; // of a table's
const WHOLE = new Set(["Emphasis", "StrongEmphasis", "InlineCode", "Link"]);

/** A Markdown text that grows, and the plan of its elements. */
export class Answer {
  #growing = new Growing();
  #text = "";
  #source = ""; // what the parser is shown of it
  #final = false;
  #links = new Map();
  #notes = new Map();
  #known = ""; // the definitions, as they were for the last plan
  #plans = new WeakMap(); // of blocks that are behind the end, by their trees
  #rows = new Map(); // of a table's row, by what it says: an object that stays with it
  /**
   * The settled beginning of a long block at the end: the parser is not shown `from..to` of the
   * text, and the plans of it stand before those of the rest.
   */
  #settled = null;
  #settling = null; // what the next plan begins with

  /** @param {string} text @param {boolean} final  nothing follows @returns {import("./grow.js").Plan[]} */
  plan(text, final) {
    const grows = !final && text.startsWith(this.#text);
    this.#settled = grows ? (this.#settling ?? this.#settled) : null;
    this.#settling = null;
    if (!text.startsWith(this.#text)) this.#plans = new WeakMap();
    this.#text = text;
    this.#source = this.#spliced(final ? text : decided(text));
    if (final && !this.#final) this.#known = ""; // what is not defined by now never is
    this.#final = final;
    let tree = this.#growing.parse(this.#source);
    if (this.#define(tree) && this.#settled) {
      this.#settled = null;
      this.#source = final ? text : decided(text);
      tree = this.#growing.parse(this.#source);
    }
    const end = final ? -1 : this.#source.trimEnd().length;
    return this.#blocks(tree.topNode, end, 0);
  }

  #spliced(text) {
    const { from, to } = this.#settled ?? { from: 0, to: 0 };
    return text.slice(0, from) + text.slice(to);
  }

  /** The settled plans of a block, if it is the one that has some. */
  #before = (from) => (this.#settled?.from === from ? this.#settled.plans : []);

  #settle(from, to, plans) {
    const gone = this.#settled?.from === from ? this.#settled.to - from : 0;
    this.#settling = { from, to: to + gone, plans };
  }

  /**
   * Read the definitions of links and notes, wherever they stand. New ones change earlier blocks.
   * @returns {boolean} whether there are new ones
   */
  #define(tree) {
    if (!this.#known && !/^[ \t>]*\[[^\]\n]{1,300}\]:/m.test(this.#source)) return false;
    this.#links.clear();
    this.#notes.clear();
    tree.iterate({
      enter: (node) => {
        if (node.name === "LinkReference") {
          const { node: { firstChild } } = node;
          const address = node.node.getChild("URL");
          const label = normal(this.#slice(firstChild));
          if (address && !this.#links.has(label)) this.#links.set(label, unescaped(this.#slice(address)));
        }
        if (node.name === "Note") {
          const label = noteLabel(this.#slice(node.node.firstChild));
          if (!this.#notes.has(label)) this.#notes.set(label, this.#notes.size + 1);
        }
        return !["Paragraph", "Table", "FencedCode"].includes(node.name);
      },
    });
    const known = JSON.stringify([...this.#links, ...this.#notes]);
    if (known === this.#known) return false;
    this.#known = known;
    this.#rows.clear();
    this.#plans = new WeakMap();
    return true;
  }

  #slice = ({ from, to }) => this.#source.slice(from, to);

  #blocks(parent, end, depth) {
    const plans = [];
    for (let node = parent.firstChild; node; node = node.nextSibling) {
      const plan = MARKS.has(node.name) ? null : this.#planned(node, end, depth);
      if (plan) plans.push(plan);
    }
    return plans;
  }

  /** An unchanged block has the tree that it had, and then the plan that it had. */
  #planned(node, end, depth) {
    const { tree } = node;
    if (!tree || (end >= 0 && node.to >= end)) return this.#block(node, end, depth);
    if (!this.#plans.has(tree)) this.#plans.set(tree, this.#block(node, end, depth));
    return this.#plans.get(tree);
  }

  #block(node, end, depth) {
    if (depth > DEPTH) return this.#slice(node);
    const leaf = (tag, attributes) => ({ tag, attributes, children: () => this.#inline(node, end, 0) });
    const box = (tag, attributes) => ({ tag, attributes, children: () => this.#blocks(node, end, depth + 1) });
    const { name } = node;
    const heading = /^(?:ATX|Setext)Heading(\d)$/.exec(name);
    const dir = depth ? {} : { dir: "auto" };
    if (heading) return leaf(`h${heading[1]}`, dir);
    switch (name) {
      case "Paragraph": return { ...leaf("p", dir), children: () => this.#paragraph(node, end, depth) };
      case "Task": return leaf("p", {});
      case "Blockquote": return box("blockquote", { dir: "auto" });
      case "BulletList": return box("ul", { dir: "auto", class: this.#spacing(node) });
      case "OrderedList": return box("ol", { dir: "auto", class: this.#spacing(node), start: this.#start(node) });
      case "ListItem": return this.#item(node, end, depth);
      case "Table": return this.#table(node, end, depth);
      case "HorizontalRule": return { tag: "hr" };
      case "FencedCode": case "CodeBlock": return this.#code(node);
      case "FormulaBlock": return this.#formulaBlock(node, end);
      case "Note": return this.#note(node, end);
      case "LinkReference": return null;
      default: return { tag: "p", children: () => [this.#slice(node)] };
    }
  }

  /** A long one settles up to where an element begins, so that what was drawn of it is not touched. */
  #paragraph(node, end, depth) {
    const { from, to } = node;
    const before = this.#before(from);
    if (depth || to !== end || to - from < LONG) return [...before, ...this.#inline(node, end, 0)];
    let cut = from;
    for (let part = node.lastChild; part && cut === from; part = part.prevSibling) {
      const fit = WHOLE.has(part.name) && to - part.from > LONG / 3 && /\s(?!```|\*\*\*|\[\^)\S/.test(this.#source.slice(part.from - 1, part.from + 3));
      if (fit) cut = part.from;
    }
    if (cut === from) return [...before, ...this.#inline(node, end, 0)];
    const settled = [...before, ...this.#inline(node, end, 0, from, cut, !before.length, false)];
    this.#settle(from, cut, settled);
    return [...settled, ...this.#inline(node, end, 0, cut)];
  }

  /** A list with a blank line between its items is set wider. */
  #spacing(list) {
    for (let item = list.firstChild; item?.nextSibling; item = item.nextSibling) {
      const { to } = item;
      if (item.nextSibling.from - to > 1 && /\n[ \t>]*\n/.test(this.#source.slice(to - 1, item.nextSibling.from))) return "loose";
    }
    return "tight";
  }

  #start = (list) => String(parseInt(this.#slice(list.firstChild.firstChild), 10));

  #item(node, end, depth) {
    const marker = node.getChild("Task")?.getChild("TaskMarker");
    const children = () => this.#blocks(node, end, depth + 1);
    if (!marker) return { tag: "li", children };
    const checked = /x/i.test(this.#slice(marker));
    const attributes = { type: "checkbox", disabled: "", "aria-label": words(checked ? "task_done" : "task_open") };
    const box = { tag: "input", attributes: checked ? { ...attributes, checked: "" } : attributes };
    return { tag: "li", attributes: { class: "task" }, children: () => [box, ...children()] };
  }

  #code(node) {
    const info = node.getChild("CodeInfo");
    const [language] = info ? unescaped(this.#slice(info)).split(/[\s{,]/) : [""];
    const text = node.getChildren("CodeText").map(this.#slice).join("").replace(/\n$/, "");
    return { view: CodeBlock, text, language };
  }

  #formulaBlock(node, end) {
    const source = node.getChildren("FormulaText").map(this.#slice).join("\n").trim();
    return { view: FormulaView, source, display: true, open: node.to === end && !node.getChild("FormulaMark") };
  }

  #table(node, end, depth) {
    const rows = [];
    for (let row = node.firstChild; row; row = row.nextSibling) rows.push(row);
    const [head, rule, ...read] = rows;
    const aligned = this.#slice(rule).replace(/^[\s>]*\||\|\s*$/g, "").split("|").map((cell) => {
      const [left, right] = [/^\s*:/.test(cell), /:\s*$/.test(cell)];
      return right ? { align: left ? "center" : "right" } : {};
    });
    const line = (row, tag) => ({
      tag: "tr",
      children: () => {
        const cells = this.#cells(row);
        return aligned.map((attributes, index) => ({ tag, attributes, children: () => (cells[index] ? this.#inline(cells[index], end, 0) : []) }));
      },
    });
    const group = (tag, lines) => ({ tag, children: () => lines });
    const body = () => {
      const from = read[0].from;
      const lines = [...this.#before(from), ...read.map((row) => this.#row(row, line(row, "td"), end))];
      if (read.length > ROWS && !depth && node.to === end) this.#settle(from, read.at(-ROWS / 2).from, lines.slice(0, -ROWS / 2));
      return [group("tbody", lines)];
    };
    const table = { tag: "table", attributes: { dir: "auto" }, children: () => [group("thead", [line(head, "th")]), ...(read.length ? body() : [])] };
    return { tag: "div", attributes: { class: "table", tabindex: "0" }, children: () => [table] };
  }

  /** A row is read anew with its table, so it is known by what it says. */
  #row(row, plan, end) {
    if (end >= 0 && row.to >= end) return plan;
    const words = this.#slice(row);
    if (!this.#rows.has(words)) this.#rows.set(words, {});
    return { ...plan, same: this.#rows.get(words) };
  }

  #cells(row) {
    const cells = [];
    let first = true;
    let cell = null;
    for (let part = row.firstChild; part; part = part.nextSibling) {
      if (part.name === "TableCell") cell = part;
      else if (part.name === "TableDelimiter") {
        if (!first || cell) cells.push(cell);
        first = false;
        cell = null;
      }
    }
    return cell ? [...cells, cell] : cells;
  }

  #note(node, end) {
    const label = noteLabel(this.#slice(node.firstChild));
    const number = { tag: "sup", children: () => [String(this.#notes.get(label) ?? label)] };
    return { tag: "p", attributes: { class: "note", dir: "auto" }, children: () => [number, " ", ...this.#inline(node, end, 0)] };
  }

  /** The texts and elements of a leaf. At the end of a text what is open is taken as closed. */
  #inline(node, end, depth, from = node.from, to = node.to, start = true, stop = true) {
    const plans = [];
    let open = plans; // where the next one goes
    let at = from;
    let rest = false; // is code or a formula without an end
    const awaited = end >= 0 && to >= end;
    const unfinished = () => {
      open.push({ tag: "code", children: () => [this.#source.slice(at, to)] });
      rest = true;
    };
    const text = (until) => {
      if (until <= at || rest) return;
      const raw = this.#source.slice(at, until);
      const early = Math.max(0, to - TO_CLOSE - at);
      const found = awaited && OPENING.exec(raw.slice(early));
      if (!found) return void open.push(shown(raw));
      open.push(shown(raw.slice(0, early + found.index)));
      at += early + found.index + found[0].length;
      const { code, formula, link, bold, struck } = found.groups;
      if (code || formula) return void unfinished();
      if (!link) {
        const inside = [];
        open.push({ tag: bold ? "strong" : struck ? "del" : "em", children: () => inside });
        open = inside;
      }
      text(until);
    };
    for (let child = node.firstChild; child; child = child.nextSibling) {
      if (child.from < from || child.to > to) continue;
      text(child.from);
      if (!rest && awaited && child.name === "Escape" && to - child.from < TO_CLOSE && /\\[([]/.test(this.#slice(child))) {
        at = child.to;
        unfinished();
      }
      if (rest) break;
      const plan = MARKS.has(child.name) ? null : this.#span(child, end, depth);
      if (plan) open.push(...plan);
      at = child.to;
    }
    text(to);
    return trimmed(plans, start, stop);
  }

  #span(node, end, depth) {
    const { name } = node;
    if (depth > DEPTH) return [this.#slice(node)];
    if (PLAIN[name]) return [{ tag: PLAIN[name], children: () => this.#inline(node, end, depth + 1) }];
    switch (name) {
      case "Escape": return [this.#source[node.from + 1]];
      case "Entity": return [entity(this.#slice(node))];
      case "HardBreak": return [{ tag: "br" }];
      case "InlineCode": return [{ tag: "code", children: () => [this.#codeText(node)] }];
      case "Formula": return [this.#formula(node)];
      case "NoteMark": return this.#noteMark(node);
      case "Autolink": case "URL": return this.#address(node);
      case "Link": case "Image": return this.#link(node, end, depth);
      default: return [this.#slice(node)];
    }
  }

  #codeText(node) {
    const { firstChild, lastChild } = node;
    const code = this.#source.slice(firstChild.to, lastChild.from).replace(/\n[ \t>]*/g, " ");
    const bare = code.startsWith(" ") && code.endsWith(" ") && code.trim() ? code.slice(1, -1) : code;
    return node.parent?.name === "TableCell" ? bare.replace(/\\\|/g, "|") : bare;
  }

  #formula(node) {
    const source = this.#slice(node);
    const mark = /^(?:\$\$|\\.)/.test(source) ? 2 : 1;
    const display = source.startsWith("$$") || source.startsWith("\\[");
    return { view: FormulaView, source: source.slice(mark, -mark), display, open: false };
  }

  #noteMark(node) {
    const label = noteLabel(this.#slice(node));
    const number = this.#notes.get(label) ?? (this.#final ? null : label); // it is defined at the end, as a rule
    return number ? [{ tag: "sup", attributes: { class: "note-mark" }, children: () => [String(number)] }] : [this.#slice(node)];
  }

  #address(node) {
    const url = this.#slice(node.name === "Autolink" ? node.getChild("URL") : node);
    const whole = /^(?:https?:|mailto:)/i.test(url) ? url : url.includes("@") && !url.includes("/") ? `mailto:${url}` : `https://${url}`;
    return [anchor(whole, null, () => [url])];
  }

  #link(node, end, depth) {
    const address = node.getChild("URL");
    const marks = node.getChildren("LinkMark");
    const [open, close] = marks;
    if (!close) return [this.#slice(node)];
    const words = () => this.#inline(node, end, depth + 1, open.to, close.from);
    const label = node.getChild("LinkLabel");
    const reference = label && label.to - label.from > 2 ? this.#slice(label) : this.#source.slice(open.to - 1, close.to);
    const href = address || marks.length > 2 ? unescaped(address ? this.#slice(address) : "") : this.#links.get(normal(reference));
    if (href === undefined) return [this.#source.slice(open.from, open.to), ...words(), this.#source.slice(close.from, node.to)];
    const title = node.getChild("LinkTitle");
    const image = node.name === "Image" && open.to === close.from;
    return [anchor(href, title && unescaped(this.#slice(title).slice(1, -1)), image ? () => [href] : words)];
  }
}

const anchor = (href, title, children) => ({
  tag: "a",
  attributes: /^(?:https?:\/\/|mailto:)/i.test(href) ? { href, target: "_blank", rel: "noopener noreferrer", ...(title ? { title } : {}) } : {},
  children,
});

const normal = (label) => label.slice(1, -1).trim().replace(/\s+/g, " ").toLowerCase();
const noteLabel = (mark) => /^\[\^([^\]]*)/.exec(mark)[1].toLowerCase();
const unescaped = (text) => text.replace(/^<|>$/g, "").replace(/\\([!-/:-@[-`{-~])/g, "$1").replace(/&#?\w+;/g, entity);
const shown = (text) => text.replace(/[ \t]{0,9}\n[ \t]*/g, "\n");

function entity(text) {
  const [, hex, decimal, name] = /^&(?:#x([\da-f]{1,6})|#(\d{1,7})|(\w+));$/i.exec(text) ?? [];
  if (name) return ENTITIES[name] ?? text;
  const code = hex ? parseInt(hex, 16) : Number(decimal);
  return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000) ? String.fromCodePoint(code) : text;
}

/** Neighbouring texts as one, without the blanks around them all. */
function trimmed(plans, start, stop) {
  const joined = [];
  for (const plan of plans) {
    if (typeof plan === "string" && typeof joined.at(-1) === "string") joined[joined.length - 1] += plan;
    else joined.push(plan);
  }
  if (start && typeof joined[0] === "string") joined[0] = joined[0].trimStart();
  if (stop && typeof joined.at(-1) === "string") joined[joined.length - 1] = joined.at(-1).trimEnd();
  return joined.filter((plan) => plan !== "");
}

const APART = new Set(["p", "h1", "h2", "h3", "h4", "h5", "h6", "li", "tr", "blockquote", "hr"]);

/** @param {string} text  Markdown @returns {string} what a person would read out of it */
export function plainText(text) {
  const words = (plans) => plans.map((plan) => {
    if (typeof plan === "string") return plan;
    if (plan.view) return plan.text === undefined ? plan.source : `\n${plan.text}\n`;
    if (plan.tag === "br") return "\n";
    const inside = words(plan.children?.() ?? []);
    if (plan.tag === "td" || plan.tag === "th") return `${inside}, `;
    return APART.has(plan.tag) ? `\n${inside}\n` : inside;
  }).join("");
  return words(new Answer().plan(text, true)).replace(/, *\n/g, "\n").replace(/\s*\n\s*/g, "\n").trim();
}
