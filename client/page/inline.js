/** What stands within a block: plans of texts, emphasis, code, formulas and links. */

import { FormulaView } from "./formula-view.js";

export const DEPTH = 40; // of blocks and of emphasis; what is nested deeper is shown as it is written
export const MARKS = new Set([
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

/**
 * @typedef {{source: string, final: boolean, links: Map<string, string>, notes: Map<string, number>}} Reading
 *   What is read: the text that the tree is of, whether nothing follows, the addresses of links by
 *   their labels, and the numbers of notes by theirs.
 */

export class Inline {
  #reading;

  /** @param {Reading} reading */
  constructor(reading) {
    this.#reading = reading;
  }

  #slice = ({ from, to }) => this.#reading.source.slice(from, to);

  /** The texts and elements of a leaf. At the end of a text what is open is taken as closed. */
  plans(node, end, depth, from = node.from, to = node.to, start = true, stop = true) {
    const plans = [];
    let open = plans; // where the next one goes
    let at = from;
    let rest = false; // is code or a formula without an end
    const awaited = end >= 0 && to >= end;
    const unfinished = () => {
      open.push({ tag: "code", children: () => [this.#reading.source.slice(at, to)] });
      rest = true;
    };
    const text = (until) => {
      if (until <= at || rest) return;
      const raw = this.#reading.source.slice(at, until);
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
    if (PLAIN[name]) return [{ tag: PLAIN[name], children: () => this.plans(node, end, depth + 1) }];
    switch (name) {
      case "Escape": return [this.#reading.source[node.from + 1]];
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
    const code = this.#reading.source.slice(firstChild.to, lastChild.from).replace(/\n[ \t>]*/g, " ");
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
    const number = this.#reading.notes.get(label) ?? (this.#reading.final ? null : label); // it is defined at the end, as a rule
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
    const words = () => this.plans(node, end, depth + 1, open.to, close.from);
    const label = node.getChild("LinkLabel");
    const reference = label && label.to - label.from > 2 ? this.#slice(label) : this.#reading.source.slice(open.to - 1, close.to);
    const href = address || marks.length > 2 ? unescaped(address ? this.#slice(address) : "") : this.#reading.links.get(normal(reference));
    if (href === undefined) return [this.#reading.source.slice(open.from, open.to), ...words(), this.#reading.source.slice(close.from, node.to)];
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

export const normal = (label) => label.slice(1, -1).trim().replace(/\s+/g, " ").toLowerCase();
export const noteLabel = (mark) => /^\[\^([^\]]*)/.exec(mark)[1].toLowerCase();
export const unescaped = (text) => text.replace(/^<|>$/g, "").replace(/\\([!-/:-@[-`{-~])/g, "$1").replace(/&#?\w+;/g, entity);
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
