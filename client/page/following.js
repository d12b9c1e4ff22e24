/** The end of the conversation stays in view while it grows, until the reader moves up. */

const UP = new Set(["ArrowUp", "PageUp", "Home"]);
const NEAR = 2; // px: where zoomed, the end is a fraction away

export class Following {
  #scroll;
  #content;
  #button;
  #on = true;
  #due = false;
  #top = 0; // as it was last
  #seen = 0; // how far the session had come when the reader left the end

  /**
   * @param {HTMLElement} scroll
   * @param {HTMLElement} content  whose first child changes when older messages come
   * @param {HTMLButtonElement} button  leads back to the end
   */
  constructor(scroll, content, button) {
    this.#scroll = scroll;
    this.#content = content;
    this.#button = button;
    scroll.addEventListener("scroll", () => this.#moved());
    scroll.addEventListener("wheel", ({ deltaY }) => deltaY < 0 && this.#leave(), { passive: true });
    scroll.addEventListener("keydown", ({ key }) => UP.has(key) && this.#leave());
    button.addEventListener("click", () => {
      this.resume();
      scroll.focus({ preventScroll: true });
    });
  }

  /** Go to the end, and stay there. */
  resume() {
    this.#on = true;
    this.#end();
  }

  pause() {
    this.#on = false;
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
    if (this.#on) this.#endSoon();
    else if (first?.isConnected && first !== this.#content.firstElementChild) {
      this.#scroll.scrollTop += first.getBoundingClientRect().top - before;
    }
    if (this.#on) this.#seen = seq;
    this.#button.hidden = this.#on || this.#below() <= NEAR;
    this.#button.dataset.news = String(seq > this.#seen);
  }

  #below() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    return scrollHeight - scrollTop - clientHeight;
  }

  /** With the next frame, which lays out what was drawn anyway. */
  #endSoon() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      if (this.#on) this.#end();
    });
  }

  #end() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#top = this.#scroll.scrollTop;
    this.#button.hidden = true;
  }

  #leave() {
    if (this.#scroll.scrollTop > 0) this.#on = false;
  }

  #moved() {
    const { scrollTop } = this.#scroll;
    if (scrollTop < this.#top && this.#below() > NEAR) this.#on = false; // at the end: it only became shorter
    else if (scrollTop > this.#top && this.#below() <= NEAR) this.#on = true;
    this.#top = scrollTop;
    this.#button.hidden = this.#on || this.#below() <= NEAR;
  }
}
