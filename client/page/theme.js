/** Light, dark, or as the system is. */

const KEY = "realtime.theme";

/** @param {HTMLSelectElement} select @param {import("../storage.js").Keep} storage */
export function theme(select, storage) {
  const wear = () => void (document.documentElement.dataset.theme = select.value);
  const kept = storage.getItem(KEY);
  if ([...select.options].some(({ value }) => value === kept)) select.value = kept;
  wear();
  select.addEventListener("change", () => {
    storage.setItem(KEY, select.value);
    wear();
  });
}
