/** From one region of the page to the next, and back. */

const REGIONS = ["sidebar", "top", "scroll", "composer"];
const ENTRIES = ["search", "more", "scroll", "message-box"]; // where one comes in

/** @param {(id: string) => HTMLElement} $ @param {boolean} back */
export function onward($, back) {
  const there = ENTRIES.map($).filter((entry) => entry.checkVisibility({ visibilityProperty: true }) && !entry.disabled);
  const now = there.indexOf($(ENTRIES[REGIONS.findIndex((id) => $(id).matches(":focus-within"))]));
  const next = now < 0 ? (back ? -1 : 0) : (now + (back ? -1 : 1)) % there.length;
  there.at(next)?.focus();
}
