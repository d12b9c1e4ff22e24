/** Elements: made and filled. */

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
