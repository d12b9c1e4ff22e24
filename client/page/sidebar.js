/** The frame of the list of sessions: a drawer on phones, its search, its archive, and the choice of colours. */

const TYPING_MS = 200;
const THEME = "realtime.theme";

/**
 * @param {(id: string) => any} $
 * @param {HTMLElement} container  shows the drawer
 * @param {object} parts
 * @param {EventTarget} parts.keys  where Ctrl K is heard
 * @param {(q: string) => void} parts.search  "" for all
 * @param {(archived: boolean) => void} parts.archived
 * @param {AbortSignal} parts.signal  the end of it
 * @returns {{close: () => void}}
 */
export function sidebar($, container, parts) {
  const element = $("sidebar");
  const search = $("search");
  const archived = $("archived");
  const narrow = () => $("open-sidebar").checkVisibility(); // there it is a drawer
  let typing;

  function show(open) {
    container.toggleAttribute("data-drawer", open && narrow());
    $("open-sidebar").setAttribute("aria-expanded", String(open));
    $("main").inert = open && narrow();
  }

  function close() {
    const inside = element.matches(":focus-within");
    show(false);
    if (inside && narrow()) $("open-sidebar").focus();
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
  const resized = new ResizeObserver(() => narrow() || show(false));
  resized.observe(container);
  parts.signal.addEventListener("abort", () => resized.disconnect());
  element.addEventListener("keydown", ({ key }) => key === "Escape" && close());
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(look, TYPING_MS);
  });
  element.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const stops = [search, ...element.querySelectorAll(".session a")];
    const at = stops.indexOf(event.target);
    if (!step || at < 0 || !stops[at + step]) return;
    event.preventDefault();
    stops[at + step].focus();
  });
  archived.addEventListener("click", () => {
    const on = archived.getAttribute("aria-pressed") === "false";
    archived.setAttribute("aria-pressed", String(on));
    search.value = "";
    parts.archived(on);
  });
  parts.keys.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    show(true);
    search.focus();
    search.select();
  }, { signal: parts.signal });
  return { close };
}

/** Light, dark, or as the system is. @param {HTMLSelectElement} select @param {import("../storage.js").Keep} storage @param {HTMLElement} wearer */
export function theme(select, storage, wearer) {
  const wear = () => void (wearer.dataset.theme = select.value);
  const kept = storage.getItem(THEME);
  if ([...select.options].some(({ value }) => value === kept)) select.value = kept;
  wear();
  select.addEventListener("change", () => {
    storage.setItem(THEME, select.value);
    wear();
  });
}
