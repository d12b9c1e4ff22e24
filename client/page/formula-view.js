/** A formula in MathML. Until it is complete and its library is there, and where it is wrong, as it is written. */

import { element } from "./grow.js";

const LONGEST = 4000; // characters

let library; // asked for by the first formula
let columns, widths; // watch those in lines of their own

/** What is wider than its column scrolls, by the keyboard too. */
function scroll(seen) {
  for (const { target } of seen) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
}

/** Note by how much a sheet of paper has to make it smaller. */
function measure(seen) {
  for (const { target, contentRect } of seen) target.parentElement?.style.setProperty("--wide", contentRect.width);
}

export class FormulaView {
  element = element("span", { class: "formula" });
  #drawn = "";

  /** @param {{source: string, display: boolean, open: boolean}} plan */
  update({ source, display, open }) {
    const key = `${display} ${open} ${source}`;
    if (this.#drawn === key) return;
    this.#drawn = key;
    this.element.className = display ? "formula display" : "formula";
    const code = element("code");
    code.textContent = source.trim();
    this.#show(display, code);
    if (open || source.length > LONGEST) return;
    library ??= import("temml");
    library.then(({ default: temml }) => this.#drawn === key && this.#draw(temml, source, display), () => {});
  }

  #draw(temml, source, display) {
    const made = document.createElement("span");
    try {
      temml.render(source, made, { displayMode: display, throwOnError: true, strict: false, maxSize: [10, 10], maxExpand: 200 });
      this.#show(display, ...listed(made.childNodes));
    } catch {
      // it stays as it is written
    }
  }

  #show(display, ...nodes) {
    this.element.replaceChildren(...nodes);
    if (!display) return;
    columns ??= new ResizeObserver(scroll);
    widths ??= new ResizeObserver(measure);
    columns.observe(this.element); // anew: what is in it may be wider than before
    widths.observe(nodes[0]);
  }
}

/** A copy of what the library made, of elements and attributes that an answer may have. */
function listed(nodes, depth = 0) {
  if (depth > 200) throw new Error("The formula is nested too deep.");
  return [...nodes].map((node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    const attributes = Object.fromEntries([...node.attributes].map(({ name, value }) => [name, value]));
    if (node.style?.color) attributes.mathcolor = node.style.color;
    if (node.style?.border) attributes.class = "boxed";
    const copy = element(node.localName, attributes);
    copy.append(...listed(node.childNodes, depth + 1));
    return copy;
  });
}
