/** The link that lets others into the session. */

import { root } from "./address.js";
import { $ } from "./element.js";

export class SharePanel {
  #client;
  #parts;
  #session = null;

  /**
   * @param {import("../session.js").SessionClient} client
   * @param {object} parts
   * @param {(promise: Promise<void>) => void} parts.attempt  says what goes wrong
   * @param {(text: string) => void} parts.say  to a screen reader
   * @param {(text: string) => void} parts.toast
   */
  constructor(client, parts) {
    this.#client = client;
    this.#parts = parts;
    const copy = () => parts.attempt(this.#copy());
    $("copy-link").addEventListener("click", () => ($("share-panel").hidden ? copy() : this.#show(null)));
    $("close-share").addEventListener("click", () => this.#close());
    $("share-panel").addEventListener("keydown", ({ key }) => key === "Escape" && this.#close());
    $("share-access").addEventListener("change", copy);
    $("unshare").addEventListener("click", () => parts.attempt(this.#unshare()));
  }

  /** Make a link and show it. */
  open() {
    this.#parts.attempt(this.#copy());
  }

  /** @param {boolean} usable  whether commands can be sent now */
  draw(usable) {
    $("copy-link").disabled = !usable;
    $("copy-link").hidden = this.#client.access !== "owner";
    this.#show(this.#session);
  }

  /** @param {string | null} session_id  whose link to show, while it is the one on the page */
  #show(session_id) {
    const shown = session_id !== null && session_id === this.#client.state.session_id;
    this.#session = session_id;
    $("share-panel").hidden = !shown;
    $("copy-link").setAttribute("aria-expanded", String(shown));
  }

  #close() {
    this.#show(null);
    $("copy-link").focus();
  }

  async #copy() {
    const { session_id } = this.#client.state;
    const share = await this.#client.share($("share-access").value);
    const link = new URL(`#${new URLSearchParams({ session: session_id, share })}`, root).href;
    $("share-link").value = link;
    this.#show(session_id);
    const copied = await navigator.clipboard?.writeText(link).then(() => true, () => false);
    const label = copied ? "Link copied" : "Copy this link";
    $("share-label").textContent = label;
    this.#parts.say(label);
    if (!copied) $("share-link").select();
  }

  async #unshare() {
    await this.#client.unshare();
    this.#close();
    this.#parts.toast("Every link to this session that was given is void.");
  }
}
