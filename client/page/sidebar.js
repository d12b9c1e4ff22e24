/** The frame of the list of sessions: a drawer on phones, its search, its archive, and the choice of colours. */

import { $ } from "./element.js";

const TYPING_MS = 200;
const THEME = "realtime.theme";

/**
 * @param {HTMLElement} element
 * @param {object} parts
 * @param {(q: string) => void} parts.search  "" for all
 * @param {(archived: boolean) => void} parts.archived
 * @returns {{close: () => void}}
 */
export function sidebar(element, parts) {
  const search = $("search");
  const archived = $("archived");
  const narrow = matchMedia("(max-width: 48rem)");
  let typing;

  function show(open) {
    document.body.toggleAttribute("data-drawer", open && narrow.matches);
    $("open-sidebar").setAttribute("aria-expanded", String(open));
    $("main").inert = open && narrow.matches;
  }

  function close() {
    const inside = element.contains(document.activeElement);
    show(false);
    if (inside && narrow.matches) $("open-sidebar").focus();
  }

  function look() {
    archived.setAttribute("aria-pressed", "false");
    parts.search(search.value.trim());
  }

  $("open-sidebar").addEventListener("click", () => {
    show(true);
    $("close-sidebar").focus();
  });
  $("close-sidebar").addEventListener("click", close);
  $("shade").addEventListener("click", close);
  narrow.addEventListener("change", () => show(false));
  element.addEventListener("keydown", ({ key }) => key === "Escape" && close());
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(look, TYPING_MS);
  });
  archived.addEventListener("click", () => {
    const on = archived.getAttribute("aria-pressed") === "false";
    archived.setAttribute("aria-pressed", String(on));
    search.value = "";
    parts.archived(on);
  });
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    show(true);
    search.focus();
    search.select();
  });
  return { close };
}

/** Light, dark, or as the system is. @param {HTMLSelectElement} select @param {import("../storage.js").Keep} storage */
export function theme(select, storage) {
  const wear = () => void (document.documentElement.dataset.theme = select.value);
  const kept = storage.getItem(THEME);
  if ([...select.options].some(({ value }) => value === kept)) select.value = kept;
  wear();
  select.addEventListener("change", () => {
    storage.setItem(THEME, select.value);
    wear();
  });
}
