/** F6 leads from one region of the page to the next, Shift+F6 back. */

import { $ } from "./element.js";

const ENTRIES = ["search", "more", "scroll", "message-box"]; // where one comes in
const REGIONS = ["sidebar", "top", "scroll", "composer"];

export function regions() {
  addEventListener("keydown", (event) => {
    if (event.key !== "F6" || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const there = ENTRIES.map($).filter((entry) => entry.checkVisibility({ visibilityProperty: true }) && !entry.disabled);
    const at = REGIONS.findIndex((id) => $(id).contains(document.activeElement));
    const now = there.indexOf($(ENTRIES[at]));
    const step = event.shiftKey ? -1 : 1;
    const next = now < 0 ? (event.shiftKey ? there.length - 1 : 0) : (now + step + there.length) % there.length;
    there[next]?.focus();
  });
}
