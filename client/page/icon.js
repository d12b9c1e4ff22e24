/** Small drawings for buttons and states. They say nothing to a screen reader: their button does. */

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  again: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.4M20 4v5.4h-5.4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  cross: "M6 6l12 12M18 6L6 18",
  edit: "M4 20l1-4.5L16 4.5 19.5 8 8.5 19zM13.5 7l3.5 3.5",
  fork: "M7 4v16M7 12c0-4 10-2 10-8M14 7l3-3 3 3",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  question: "M12 6v7.5M12 18h.01",
  thumb: "M7 11v9H4v-9zM7 11l4-8c1.6 0 2.6 1 2.6 2.6V9H19a1.6 1.6 0 0 1 1.6 1.9l-1.4 7.4a2 2 0 0 1-2 1.7H7",
  top: "M12 19V5M6 11l6-6 6 6",
};

/** @param {keyof PATHS} name @returns {SVGElement} */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "path"));
  svg.firstChild.setAttribute("d", PATHS[name]);
  return svg;
}
