/** Who we are to the server: a user with a token of their own, or a guest that it made. */

const KEY = "realtime.token";
const NAME = "realtime.name";
const SETTLE_MS = 200; // until what one tab stored is seen by the others

export class Identity {
  #own;
  #storage;
  #given; // the guest token of the last handshake, null where there was none; undefined after a token of our own

  /**
   * @param {string | (() => string | undefined | Promise<string | undefined>) | undefined} own
   * @param {import("./storage.js").Keep} storage  which other tabs may share
   */
  constructor(own, storage) {
    this.#own = own;
    this.#storage = storage;
  }

  /** A fresh token of our own, if there is a function that makes them. */
  async renewed() {
    return typeof this.#own === "function" ? this.#own() : undefined;
  }

  /** Whether the server has given us a guest token. */
  get guest() {
    return this.#storage.getItem(KEY) !== null;
  }

  /** What a guest wants to be called; "" is nothing. */
  get name() {
    return this.#storage.getItem(NAME) ?? "";
  }

  set name(name) {
    this.#storage.setItem(NAME, name);
  }

  async token() {
    const own = typeof this.#own === "function" ? await this.#own() : this.#own;
    return own ?? this.#storage.getItem(KEY) ?? undefined;
  }

  /** The token for a handshake, whose answer is to be `accept`ed. */
  async show() {
    const before = this.#storage.getItem(KEY);
    const token = await this.token();
    this.#given = (token ?? null) === before ? before : undefined;
    return token;
  }

  /**
   * Keep the guest token that the server answered with. Tabs that begin at the same time become
   * one guest, the one that was stored last.
   * @returns {Promise<boolean>} false: another tab was first; connect again as the guest it is
   */
  async accept(token) {
    const stored = this.#storage.getItem(KEY);
    if (!token || token === stored) return true;
    const guest = this.#given !== undefined;
    if (guest && stored !== this.#given) return false;
    this.#storage.setItem(KEY, token);
    if (guest && "onstorage" in globalThis) await new Promise((seen) => setTimeout(seen, SETTLE_MS));
    return !guest || this.#storage.getItem(KEY) === token;
  }
}
