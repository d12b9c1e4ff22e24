/** The links that let others into the session: made one by one, shown, copied, and all revoked. */

import { copyButton } from "./icon-button.js";
import { h } from "./element.js";
import { words } from "./words.js";

const KEY = "realtime.links";

export class SharePanel {
  #panel;
  #button;
  #client;
  #parts;
  #session = null; // whose links are shown
  #access = h("select", { "data-testid": "share-access", "aria-label": words("whoever_has_it") },
    ...["full", "read"].map((value) => h("option", { value }, words(`access_${value}`))));
  #make = h("button", { type: "submit", class: "primary", "data-testid": "make-link" }, words("make_link"));
  #links = h("ul", { class: "links" });
  #revoke = h("button", { type: "button", class: "grave", "data-testid": "unshare", onclick: () => this.#parts.attempt(this.#unshare()) }, words("unshare"));

  /**
   * @param {HTMLElement} panel
   * @param {HTMLButtonElement} button  shows and hides it
   * @param {import("../session.js").SessionClient} client
   * @param {object} parts
   * @param {(promise: Promise<void>) => void} parts.attempt  says what goes wrong
   * @param {(text: string) => void} parts.toast
   * @param {import("../storage.js").Keep} parts.tab  keeps the links that were made here
   * @param {URL} parts.server  where the links lead
   */
  constructor(panel, button, client, parts) {
    this.#panel = panel;
    this.#button = button;
    this.#client = client;
    this.#parts = parts;
    const close = h("button", { type: "button", class: "quiet icon", "aria-label": words("close"), onclick: () => this.#close() }, "✕");
    const onsubmit = (event) => {
      event.preventDefault();
      parts.attempt(this.#share());
    };
    panel.append(
      h("form", { class: "actions", onsubmit }, h("span", { class: "hint" }, words("whoever_has_it")), this.#access, this.#make),
      close, this.#links, h("p", { class: "actions" }, h("span", { class: "hint" }, words("unshare_said")), this.#revoke));
    panel.addEventListener("keydown", ({ key }) => key === "Escape" && this.#close());
    client.subscribe(() => this.#session !== client.state.session_id && this.#show(null));
  }

  /** Show the panel, or hide it. */
  toggle() {
    this.#show(this.#panel.hidden ? this.#client.state.session_id : null);
    if (this.#session) this.#access.focus();
  }

  open() {
    if (!this.#session) this.toggle();
  }

  /** @param {string | null} session_id  whose links to show, while it is the one on the page */
  #show(session_id) {
    this.#session = session_id;
    this.#panel.hidden = !session_id;
    this.#button.setAttribute("aria-expanded", String(Boolean(session_id)));
    if (session_id) this.#draw();
  }

  #close() {
    this.#show(null);
    this.#button.focus();
  }

  get #made() {
    return this.#parts.tab.read(KEY)?.[this.#session] ?? [];
  }

  set #made(links) {
    this.#parts.tab.setItem(KEY, JSON.stringify({ ...this.#parts.tab.read(KEY), [this.#session]: links }));
    this.#draw();
  }

  #draw() {
    this.#links.replaceChildren(...this.#made.map(({ access, link }) => {
      const label = words("link_to", { access: words(`access_${access}`) });
      const field = h("input", { value: link, readOnly: true, "data-testid": "share-link", "aria-label": label, onfocus: () => field.select() });
      return h("li", { class: "actions" }, h("span", { class: "hint" }, label), field, copyButton(() => link));
    }));
  }

  async #share() {
    const session = this.#session;
    const access = this.#access.value;
    this.#make.disabled = true;
    const share = await this.#client.share(access).finally(() => (this.#make.disabled = false));
    if (session !== this.#session) return;
    const link = new URL(`#${new URLSearchParams({ session, share })}`, this.#parts.server).href;
    this.#made = [{ access, link }, ...this.#made];
    this.#links.querySelector("input").focus();
  }

  async #unshare() {
    await this.#client.unshare();
    this.#made = [];
    this.#close();
    this.#parts.toast(words("unshared"));
  }
}
