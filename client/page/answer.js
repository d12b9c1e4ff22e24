/** What a tree of Markdown looks like: plans for `grow.js`, and its words for a screen reader. */

import { CodeBlock } from "./code-block.js";
import { FormulaView } from "./formula-view.js";
import { grouped } from "./grow.js";
import { DEPTH, Inline, MARKS, normal, noteLabel, unescaped } from "./inline.js";
import { Growing, decided } from "./markdown.js";
import { TableView } from "./table-view.js";
import { words } from "./words.js";

const LONG = 3000; // characters of a paragraph's end that are read again and again
const ROWS = 40; // of a table's
const TOGETHER = 8; // blocks of a quote
const PART = 32; // items of a list, and rows
const NEAR = 3; // parts of a table at its end, which the reader may see
const OPENS = /[*_~`[\]<$\\&]/; // what begins an element
const WHOLE = new Set(["Emphasis", "StrongEmphasis", "InlineCode", "Link"]);

/** A Markdown text that grows, and the plan of its elements. */
export class Answer {
  #growing = new Growing();
  #text = "";
  #reading = { source: "", final: false, links: new Map(), notes: new Map() }; // `source`: what the parser is shown
  #inline = new Inline(this.#reading);
  #known = ""; // the definitions, as they were for the last plan
  #plans = new WeakMap(); // of blocks that are behind the end, by their trees
  #groups = new WeakMap(); // of plans that stand together, by their first ones
  #rows = new Map(); // of a table's row, by what it says: an object that stays with it
  /**
   * The settled beginnings of long blocks: the parser is not shown `from..to` of the text, and the plans of it
   * stand before those of what it is shown there, which is `at` in the source. Only the last one grows.
   */
  #settled = [];
  #settling = null; // what `#settled` becomes with the next text

  /** @param {string} text @param {boolean} final  nothing follows @returns {import("./grow.js").Plan[]} */
  plan(text, final) {
    const grows = text.startsWith(this.#text);
    const settled = this.#settling ?? this.#settled;
    const open = final ? settled.findIndex(({ closed }) => !closed) : -1;
    this.#settled = grows ? settled.slice(0, open < 0 ? undefined : open) : [];
    this.#settling = null;
    if (!grows) this.#plans = new WeakMap();
    this.#text = text;
    if (final && !this.#reading.final && (this.#known || text.includes("[^"))) {
      this.#forget(); // what is not defined by now never is
      this.#settled = [];
    }
    this.#reading.final = final;
    const shown = final ? text : decided(text);
    let tree = this.#parse(shown);
    const defines = this.#define(tree);
    if (this.#settled.length && (defines || !this.#stands(tree))) {
      this.#settled = [];
      tree = this.#parse(shown);
    }
    const end = final ? -1 : this.#reading.source.trimEnd().length;
    return this.#blocks(tree.topNode, end, 0);
  }

  /** Without what is settled. */
  #parse(text) {
    let [source, end] = ["", 0];
    for (const { from, to } of this.#settled) {
      source += text.slice(end, from);
      end = to;
    }
    this.#reading.source = source + text.slice(end);
    return this.#growing.parse(this.#reading.source);
  }

  /** Whether what is settled still begins a paragraph, or the rows of a table: the next lines may make it something else. */
  #stands({ topNode }) {
    const begins = new Set();
    for (let node = topNode.firstChild; node; node = node.nextSibling) {
      if (node.name === "Paragraph") begins.add(node.from);
      if (node.name === "Table") begins.add(node.firstChild.nextSibling?.nextSibling?.from);
    }
    return this.#settled.every(({ at }) => begins.has(at));
  }

  /** The settled plans of the block that begins there, if it has some. */
  #before = (at) => this.#settled.find((one) => one.at === at)?.plans ?? [];

  /** `at..until`: where in the source; `closed`: whatever follows, they are what the text says. */
  #settle(at, until, plans, closed) {
    const others = this.#settled.filter((one) => one.at !== at);
    const from = at + others.reduce((hidden, { from, to }) => hidden + to - from, 0);
    const before = this.#settled[others.length] ?? { to: from, plans: [], closed: true };
    plans.slice(before.plans.length).forEach(read);
    this.#settling = [...others, { at, from, to: before.to + until - at, plans, closed: closed && before.closed }];
  }

  /**
   * Read the definitions of links and notes, wherever they stand. New ones change earlier blocks.
   * @returns {boolean} whether there are new ones
   */
  #define(tree) {
    if (!this.#known && !/^[ \t>]*\[[^\]\n]{1,300}\]:/m.test(this.#reading.source)) return false;
    this.#reading.links.clear();
    this.#reading.notes.clear();
    tree.iterate({
      enter: (node) => {
        if (node.name === "LinkReference") {
          const { node: { firstChild } } = node;
          const address = node.node.getChild("URL");
          const label = normal(this.#slice(firstChild));
          if (address && !this.#reading.links.has(label)) this.#reading.links.set(label, unescaped(this.#slice(address)));
        }
        if (node.name === "Note") {
          const label = noteLabel(this.#slice(node.node.firstChild));
          if (!this.#reading.notes.has(label)) this.#reading.notes.set(label, this.#reading.notes.size + 1);
        }
        return !["Paragraph", "Table", "FencedCode"].includes(node.name);
      },
    });
    const known = JSON.stringify([...this.#reading.links, ...this.#reading.notes]);
    if (known === this.#known) return false;
    this.#forget();
    this.#known = known;
    return true;
  }

  #forget() {
    this.#known = "";
    this.#rows.clear();
    this.#plans = new WeakMap();
    this.#groups = new WeakMap();
  }

  #slice = ({ from, to }) => this.#reading.source.slice(from, to);

  #blocks(parent, end, depth) {
    const plans = [];
    for (let node = parent.firstChild; node; node = node.nextSibling) {
      if (!MARKS.has(node.name)) plans.push(...this.#planned(node, end, depth));
    }
    return plans;
  }

  /** An unchanged block has the tree that it had, and then the plans that it had. */
  #planned(node, end, depth) {
    const { tree } = node;
    if (!tree || (end >= 0 && node.to >= end)) return this.#block(node, end, depth);
    if (!this.#plans.has(tree)) this.#plans.set(tree, this.#block(node, end, depth));
    return this.#plans.get(tree);
  }

  /** @returns {import("./grow.js").Plan[]} one, but for a long list */
  #block(node, end, depth) {
    if (node.name === "BulletList" && depth <= DEPTH) return this.#list(node, end, depth, "ul", () => ({}));
    if (node.name === "OrderedList" && depth <= DEPTH) {
      const first = parseInt(this.#slice(node.firstChild.firstChild), 10);
      return this.#list(node, end, depth, "ol", (at) => ({ start: String(first + at * PART) }));
    }
    const plan = this.#single(node, end, depth);
    return plan ? [plan] : [];
  }

  #single(node, end, depth) {
    if (depth > DEPTH) return this.#slice(node);
    const leaf = (tag, attributes) => ({ tag, attributes, children: () => this.#inline.plans(node, end, 0) });
    const { name } = node;
    const heading = /^(?:ATX|Setext)Heading(\d)$/.exec(name);
    const dir = depth ? {} : { dir: "auto" };
    if (heading) return leaf(`h${heading[1]}`, dir);
    switch (name) {
      case "Paragraph": return { ...leaf("p", dir), children: () => this.#paragraph(node, end, depth) };
      case "Task": return leaf("p", {});
      case "Blockquote": return { tag: "blockquote", attributes: { dir: "auto" }, children: () => this.#quoted(this.#blocks(node, end, depth + 1)) };
      case "ListItem": return this.#item(node, end, depth);
      case "Table": return this.#table(node, end, depth);
      case "HorizontalRule": return { tag: "hr" };
      case "FencedCode": case "CodeBlock": return this.#code(node);
      case "FormulaBlock": return this.#formulaBlock(node, end, depth);
      case "Note": return this.#note(node, end);
      case "LinkReference": return null;
      default: return { tag: "p", children: () => [this.#slice(node)] };
    }
  }

  /** A long one settles up to where an element begins, so that what was drawn of it is not touched. */
  #paragraph(node, end, depth) {
    const { from, to } = node;
    const before = this.#before(from);
    if (depth || to !== end || to - from < LONG) return [...before, ...this.#inline.plans(node, end, 0)];
    let cut = from;
    for (let part = node.lastChild; part && cut === from; part = part.prevSibling) {
      const fit = WHOLE.has(part.name) && to - part.from > LONG / 3 && /\s(?!```|\*\*\*|\[\^)\S/.test(this.#reading.source.slice(part.from - 1, part.from + 3));
      if (fit) cut = part.from;
    }
    if (cut === from) return [...before, ...this.#inline.plans(node, end, 0)];
    const settled = [...before, ...this.#inline.plans(node, end, 0, from, cut, !before.length, false)];
    this.#settle(from, cut, settled, this.#closed(node, cut));
    return [...settled, ...this.#inline.plans(node, end, 0, cut)];
  }

  /** Whether nothing before `to` could be the beginning of what ends behind it. */
  #closed(node, to) {
    let at = node.from;
    for (let part = node.firstChild; part && at < to; part = part.nextSibling) {
      if (OPENS.test(this.#reading.source.slice(at, part.from))) return false;
      at = part.to;
    }
    return true;
  }

  /** What is quoted, the beginning of a long quote by itself. */
  #quoted(plans) {
    const behind = grouped(plans.slice(TOGETHER), TOGETHER, this.#groups, () => ({ tag: "div", attributes: { class: "blocks" } }));
    return [...plans.slice(0, TOGETHER), ...behind];
  }

  /** A long list is several, each of which goes on where the one before ends. */
  #list(node, end, depth, tag, more) {
    const spacing = this.#spacing(node);
    return grouped(this.#blocks(node, end, depth + 1), PART, this.#groups, (at, behind) => {
      return { tag, attributes: { dir: "auto", class: behind ? `${spacing} part` : spacing, ...more(at) } };
    });
  }

  /** A list with a blank line between its items is set wider. */
  #spacing(list) {
    for (let item = list.firstChild; item?.nextSibling; item = item.nextSibling) {
      const { to } = item;
      if (item.nextSibling.from - to > 1 && /\n[ \t>]*\n/.test(this.#reading.source.slice(to - 1, item.nextSibling.from))) return "loose";
    }
    return "tight";
  }

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

  #formulaBlock(node, end, depth) {
    const source = node.getChildren("FormulaText").map(this.#slice).join("\n").trim();
    const formula = { view: FormulaView, source, display: true, open: node.to === end && !node.getChild("FormulaMark") };
    const behind = node.getChild("Paragraph");
    return behind ? { tag: "div", children: () => [formula, ...this.#block(behind, end, depth + 1)] } : formula;
  }

  #table(node, end, depth) {
    const rows = [];
    for (let row = node.firstChild; row; row = row.nextSibling) rows.push(row);
    const [head, rule, ...read] = rows;
    const aligned = this.#slice(rule).replace(/^[\s>]*\||\|\s*$/g, "").split("|").map((cell) => {
      const [left, right] = [/^\s*:/.test(cell), /:\s*$/.test(cell)];
      return right ? { align: left ? "center" : "right" } : {};
    });
    const line = (row, tag, role) => ({
      tag: "tr",
      attributes: { role: "row" },
      children: () => {
        const cells = this.#cells(row).slice(0, aligned.length);
        const plans = cells.map((cell, index) => ({ tag, attributes: { ...aligned[index], role }, children: () => (cell ? this.#inline.plans(cell, end, 0) : []) }));
        const missing = aligned.length - cells.length;
        return missing ? [...plans, { tag, attributes: { colspan: String(missing), role } }] : plans; // one for all: there may be thousands
      },
    });
    const top = { tag: "thead", attributes: { role: "rowgroup" }, children: () => [line(head, "th", "columnheader")] };
    const grows = node.to === end;
    if (!read.length) return { view: TableView, rows: 0, grows, children: () => [top] };
    const from = read[0].from;
    const before = this.#before(from);
    const children = () => {
      const lines = [...before, ...read.map((row) => this.#row(row, line(row, "td", "cell"), end))];
      if (read.length > ROWS && !depth && grows) this.#settle(from, read.at(-ROWS / 2).from, lines.slice(0, -ROWS / 2), true);
      const group = (at, behind) => ({ tag: "tbody", attributes: { class: behind < NEAR ? "" : "past", role: "rowgroup" } });
      return [top, ...grouped(lines, PART, this.#groups, group)];
    };
    return { view: TableView, rows: before.length + read.length, grows, children };
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
    const number = { tag: "sup", children: () => [String(this.#reading.notes.get(label) ?? label)] };
    return { tag: "p", attributes: { class: "note", dir: "auto" }, children: () => [number, " ", ...this.#inline.plans(node, end, 0)] };
  }
}

/** Read what is in a plan now, since its text will not be there any more. */
function read(plan) {
  const children = plan.children?.();
  if (!children) return;
  children.forEach(read);
  plan.children = () => children;
}

const APART = new Set(["p", "h1", "h2", "h3", "h4", "h5", "h6", "li", "tr", "blockquote", "hr"]);

/** @param {string} text  Markdown @returns {string} what a person would read out of it */
export function plainText(text) {
  const words = (plans) => plans.map((plan) => {
    if (typeof plan === "string") return plan;
    if (plan.view && !plan.children) return plan.text === undefined ? plan.source : `\n${plan.text}\n`;
    if (plan.tag === "br") return "\n";
    const inside = words(plan.children?.() ?? []);
    if (plan.tag === "td" || plan.tag === "th") return `${inside}, `;
    return APART.has(plan.tag) ? `\n${inside}\n` : inside;
  }).join("");
  const said = words(new Answer().plan(text, true)).replace(/[^\S\n]+/g, " "); // many blanks would be tried one by one
  return said.replace(/, ?\n/g, "\n").replace(/\s*\n\s*/g, "\n").trim();
}
