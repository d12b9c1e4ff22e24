/** The end of the conversation stays in view while it grows, until the reader moves up. */

import { soon } from "../deferred.js";

const UP = new Set(["ArrowUp", "PageUp", "Home"]);
const NEAR = 2; // px: where zoomed, the end is a fraction away

export class Following {
  #scroll;
  #outer;
  #content;
  #button;
  #follows = true;
  #top = 0; // as it was last
  #seen = 0; // how far the session had come when the reader left the end
  #news = false; // whether it has come further

  /**
   * @param {HTMLElement} scroll
   * @param {HTMLElement} outer  scrolls in its place where the window is too low for that
   * @param {HTMLElement} content  whose first child changes when older messages come
   * @param {HTMLButtonElement} button  leads back to the end
   */
  constructor(scroll, outer, content, button) {
    this.#scroll = scroll;
    this.#outer = outer;
    this.#content = content;
    this.#button = button;
    this.#on = true;
    for (const one of [scroll, outer]) one.addEventListener("scroll", () => this.#moved());
    scroll.addEventListener("wheel", ({ deltaY }) => deltaY < 0 && this.#leave(), { passive: true });
    scroll.addEventListener("keydown", ({ key }) => UP.has(key) && this.#leave());
    const grown = new ResizeObserver(() => this.#on && content.firstElementChild && this.#end()); // once it is laid out
    for (const one of [...outer.children, scroll, ...scroll.children]) grown.observe(one);
    button.addEventListener("click", () => {
      this.resume();
      scroll.focus({ preventScroll: true });
    });
  }

  get #on() {
    return this.#follows;
  }

  set #on(on) {
    this.#follows = on;
    this.#scroll.style.overflowAnchor = on ? "none" : ""; // at the end the browser need not look for one
  }

  /** Go to the end, and stay there. */
  resume() {
    this.#on = true;
    this.#end();
  }

  /**
   * Draw, and keep the reader's place: the end, or what stood there before.
   * @param {() => void} draw
   * @param {number} seq  the session's last event
   */
  keep(draw, seq) {
    const first = this.#content.firstElementChild;
    const before = this.#on ? 0 : (first?.getBoundingClientRect().top ?? 0);
    draw();
    if (!this.#on && first?.isConnected && first !== this.#content.firstElementChild) {
      const moved = first.getBoundingClientRect().top - before;
      for (const one of this.#both) one.scrollTop += moved; // one of them can
    }
    if (this.#on) this.#seen = seq;
    this.#news = seq > this.#seen;
    soon(() => this.#placed());
  }

  /** Drawing, layout and painting are a task each, so that a key does not wait for all of them. */
  #placed() {
    if (this.#on && this.#content.firstElementChild) this.#end(); // lays out
    this.#button.hidden = this.#on || this.#below() <= NEAR;
    this.#button.dataset.news = String(this.#news);
  }

  get #both() {
    return [this.#scroll, this.#outer];
  }

  #below() {
    return sum(this.#both.map(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight));
  }

  #above() {
    return sum(this.#both.map(({ scrollTop }) => scrollTop));
  }

  #end() {
    for (const one of this.#both) one.scrollTop = one.scrollHeight;
    this.#top = this.#above();
    this.#button.hidden = true;
  }

  #leave() {
    if (this.#above() > 0) this.#on = false;
  }

  #moved() {
    const top = this.#above();
    if (top < this.#top && this.#below() > NEAR) this.#on = false; // at the end: it only became shorter
    else if (top > this.#top && this.#below() <= NEAR) this.#on = true;
    this.#top = top;
    this.#button.hidden = this.#on || this.#below() <= NEAR;
  }
}

const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);
