/** A table, which scrolls sideways by itself. One that gets long keeps the columns that it has by then, and gives them the width that is free. */

import { element, grow } from "./grow.js";

const LONG = 32; // rows

export class TableView {
  #table = element("table", { dir: "auto", role: "table" });
  #kept = [];
  #rows = 0;
  element = element("div", { class: "table", tabindex: "0" });

  constructor() {
    this.element.append(this.#table);
  }

  /** @param {{rows: number, grows: boolean, children: () => import("./grow.js").Plan[]}} plan  `grows`: more of it may come */
  update({ rows, grows, children }) {
    if (grows && this.#rows >= LONG && !this.element.classList.contains("long")) this.#hold();
    this.#rows = rows;
    grow(this.#table, this.#kept, children());
  }

  /** Each row is then laid out by itself, not all of them for each word that is added. */
  #hold() {
    const widths = Array.from(this.#table.rows[0].cells, (cell) => cell.getBoundingClientRect().width);
    if (!widths.every(Boolean)) return; // it is not shown
    const least = `min(8rem, ${100 / widths.length}%)`; // a narrow one may get words
    this.#table.style.setProperty("--columns", widths.map((width) => `minmax(${least}, ${width}fr)`).join(" "));
    this.#table.style.setProperty("--width", `${widths.reduce((one, other) => one + other)}px`);
    this.element.classList.add("long");
  }
}
