/** Elements: made, filled and placed. */

const MARGIN = 8; // px, around a menu

/** Show a text in an element, or hide the element where there is none. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
  element.hidden = !value;
}

/**
 * Whether a key sends what is written: Enter without Shift, and not to end a composition. Keyboards
 * on a screen have no other way to a new line, so there a button sends.
 */
export const sends = ({ key, shiftKey, isComposing, keyCode }) =>
  key === "Enter" && !shiftKey && !isComposing && keyCode !== 229 && // Safari ends a composition first
  !matchMedia("(hover: none)").matches;

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

/** What is written in an edit form within that, and nowhere else. @param {HTMLElement} element @returns {string} */
export function unsaved(element) {
  const { value = "", defaultValue } = element.querySelector(".edit-form textarea") ?? {};
  return value === defaultValue ? "" : value;
}

/** Put a menu that is open next to the button that opened it, within the window. @param {HTMLElement} menu @param {HTMLElement} button */
export function beside(menu, button) {
  const { left, right, bottom, top } = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const start = getComputedStyle(menu).direction === "rtl" ? left + 28 - width : right - 28;
  menu.style.left = `${Math.max(MARGIN, Math.min(start, innerWidth - width - MARGIN))}px`;
  menu.style.top = `${bottom + height + MARGIN > innerHeight ? Math.max(MARGIN, top - height) : bottom}px`;
}
