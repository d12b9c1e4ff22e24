/** Put a menu that is open next to the button that opened it, within the window. */

const MARGIN = 8; // px

/** @param {HTMLElement} menu @param {HTMLElement} button */
export function beside(menu, button) {
  const { left, right, bottom, top } = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const start = getComputedStyle(menu).direction === "rtl" ? left + 28 - width : right - 28;
  menu.style.left = `${Math.max(MARGIN, Math.min(start, innerWidth - width - MARGIN))}px`;
  menu.style.top = `${bottom + height + MARGIN > innerHeight ? Math.max(MARGIN, top - height) : bottom}px`;
}
