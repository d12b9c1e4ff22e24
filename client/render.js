/** What the model wrote and what its tools did, as elements. Nothing here trusts either. */

import DOMPurify from "dompurify";
import { blocks } from "./markdown.js";

const SANE = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li",
    "ol", "p", "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["href", "title", "align", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  ADD_URI_SAFE_ATTR: ["align", "start"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

/** @param {string} html @returns {DocumentFragment} what is left of it */
export function sanitised(html) {
  const fragment = DOMPurify.sanitize(html, SANE);
  for (const link of fragment.querySelectorAll("a")) {
    if (!link.getAttribute("href")) link.removeAttribute("href"); // or it leads to this page
    if (!link.hasAttribute("href")) continue;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
  return fragment;
}

/**
 * An element. Strings among `children` become text, never markup.
 * @param {string} tag
 * @param {Record<string, any>} [properties]  `class`, `data` (an object), listeners as
 *   `onclick`, and any other property of the element; attributes with a dash in the name
 * @param {...(Node | string)} children
 */
export function h(tag, { class: name, data, ...properties } = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  Object.assign(element.dataset, data);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

/**
 * Markdown that grows. While it does, only its last blocks are parsed and drawn again:
 * what comes later cannot change the blocks before them, but for a link's definition,
 * for which the end draws all of it once more.
 */
export class MarkdownView {
  element = h("div", { class: "markdown" });
  #text = "";
  #settled = 0; // length of the text in the blocks that stay
  #blocks = []; // {raw, element}
  #final = false;

  update(source, final) {
    const text = source.replace(/\r\n?/g, "\n");
    if (text === this.#text && final === this.#final) return;
    const grows = text.startsWith(this.#text) && !(final && !this.#final);
    if (!grows) this.#clear();
    this.#text = text;
    this.#final = final;
    this.#draw();
  }

  #clear() {
    this.element.replaceChildren();
    this.#blocks = [];
    this.#settled = 0;
  }

  #draw() {
    const fresh = blocks(this.#text.slice(this.#settled));
    const open = this.#blocks.splice(0);
    fresh.forEach((block, index) => {
      const old = open[index];
      if (old?.raw === block.raw) return void this.#blocks.push(old);
      const element = old?.element ?? this.element.appendChild(h("div", { class: "block" }));
      element.replaceChildren(sanitised(block.html));
      this.#blocks.push({ raw: block.raw, element });
    });
    for (const { element } of open.slice(fresh.length)) element.remove();
    // the last blocks may yet become something else: a heading, a longer list, a table
    const settled = this.#blocks.splice(0, Math.max(0, this.#blocks.length - 3));
    this.#settled += settled.reduce((length, { raw }) => length + raw.length, 0);
  }
}

const STATUS = {
  streaming: "being written",
  ready: "ready",
  awaiting_approval: "waits for your approval",
  running: "running",
  completed: "completed",
  failed: "failed",
  denied: "denied",
  expired: "expired",
  cancelled: "cancelled",
};

/** One tool call: its name, arguments, status and result. */
export class ToolCard {
  #name = h("span", { class: "tool-name" });
  #status = h("span", { class: "tool-status" });
  #progress = h("p", { class: "tool-progress", hidden: true });
  #arguments = new Field("Arguments");
  #result = new Field("Result");
  #actions = h("div", { class: "actions", hidden: true });
  element = h(
    "section",
    { class: "tool-card", "aria-label": "Tool call" },
    h("header", {}, this.#name, this.#status),
    this.#arguments.element,
    this.#progress,
    this.#result.element,
    this.#actions,
  );

  /** @param {(tool_call_id: string, decision: "approve" | "deny") => void} decide */
  constructor(decide) {
    for (const [decision, label] of [["approve", "Approve"], ["deny", "Deny"]]) {
      const onclick = () => decide(this.element.dataset.toolCallId, decision);
      this.#actions.append(h("button", { type: "button", onclick, data: { decision } }, label));
    }
  }

  /** @param {import("./reducer.js").ToolCall} call */
  update(call, progress, writable) {
    Object.assign(this.element.dataset, { status: call.status, toolCallId: call.tool_call_id });
    this.#name.textContent = call.name;
    this.#status.textContent = STATUS[call.status] ?? call.status;
    this.#arguments.update(call.arguments);
    this.#result.update(
      call.error ? `${call.error.message} (${call.error.code})` : (call.output ?? call.output_ref),
    );
    this.#progress.hidden = !progress || call.status !== "running";
    this.#progress.textContent = progress?.message ?? "";
    this.#actions.hidden = !writable || call.status !== "awaiting_approval";
  }
}

/** A value of unknown shape under a heading, as text. Nothing to show: nothing shown. */
class Field {
  #pre = h("pre", { tabIndex: 0 });

  constructor(label) {
    this.element = h("details", { open: true, hidden: true }, h("summary", {}, label), this.#pre);
    this.#pre.setAttribute("aria-label", label);
  }

  update(value) {
    this.element.hidden = value === undefined || value === null;
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    if (this.#pre.textContent !== text) this.#pre.textContent = text ?? "";
  }
}
