/**
 * Messages on their way: kept, also across a reload, until the server has committed them.
 *
 * A retry carries the same `client_msg_id`, so the server takes each message once. They
 * are posted one after the other: their order is the order in which they were said.
 *
 * @typedef {{client_msg_id: string, session_id: string | null, text: string, options: object,
 *   status: "waiting" | "sending" | "acked" | "failed", seq?: number,
 *   error?: {code: string, message: string}, retry_at?: number}} Outgoing
 *   `retry_at`: when one that was refused for now is posted again, ms since the Unix epoch
 */

const KEY = "realtime.outbox";

export class Outbox {
  /** @type {Outgoing[]} */
  entries = [];
  #promises = new Map();
  #flushing = false;
  #wake = () => {};

  /**
   * @param {object} parts
   * @param {Pick<Storage, "getItem" | "setItem">} parts.storage
   * @param {(entry: Outgoing) => Promise<object>} parts.post  the ack, or an error with
   *   `code`, `retryable` and perhaps `retry_after_ms`
   * @param {() => string | null} parts.live  the session that messages can be posted to now
   * @param {() => void} parts.changed
   */
  constructor({ storage, post, live, changed }) {
    Object.assign(this, { storage, post, live, changed });
    const stored = JSON.parse(storage.getItem(KEY) ?? "[]");
    this.entries = stored.map((entry) => ({ ...entry, status: "waiting" }));
  }

  /** @returns {Promise<object>} the ack */
  add(session_id, text, options) {
    const entry = { client_msg_id: crypto.randomUUID(), session_id, text, options, status: "waiting" };
    const promise = new Promise((resolve, reject) =>
      this.#promises.set(entry.client_msg_id, { resolve, reject }),
    );
    promise.catch(() => {}); // the entry shows the error too; nobody has to listen here
    this.entries = [...this.entries, entry];
    this.#keep();
    this.flush();
    return promise;
  }

  /** Messages said before there was a session belong to the one that came. */
  adopt(session_id) {
    for (const entry of this.entries) if (!entry.session_id) this.#set(entry, { session_id });
  }

  /** Try a refused message again, under its old id; one that waits for its time, now. */
  retry(client_msg_id) {
    const entry = this.#get(client_msg_id);
    if (entry?.status === "failed") this.#set(entry, { status: "waiting", error: undefined });
    this.#wake();
    this.flush();
  }

  /** Give a refused or waiting message up. */
  drop(client_msg_id) {
    this.entries = this.entries.filter((entry) => entry.client_msg_id !== client_msg_id);
    this.#keep();
  }

  /** What the log holds now is no longer on its way. */
  prune(last_seq) {
    const left = this.entries.filter((entry) => !(entry.status === "acked" && entry.seq <= last_seq));
    if (left.length < this.entries.length) this.entries = left;
  }

  /** Post what waits for the live session, until done or offline. */
  async flush() {
    if (this.#flushing) return;
    this.#flushing = true;
    try {
      for (let tries = 0, entry; (entry = this.#next()); ) {
        this.#set(entry, { status: "sending" });
        try {
          const ack = await this.post(entry);
          this.#set(entry, { status: "acked", seq: ack.seq, error: undefined });
          this.#settle(entry, "resolve", ack);
          tries = 0;
        } catch (error) {
          if (!error.retryable) {
            this.#set(entry, { status: "failed", error });
            this.#settle(entry, "reject", error);
            continue;
          }
          const offline = error.code === "offline";
          const wait = error.retry_after_ms ?? Math.min(500 * 2 ** tries++, 15_000);
          const why = offline ? {} : { error, retry_at: Date.now() + wait };
          this.#set(entry, { error: undefined, ...why, status: "waiting" });
          if (!offline) await this.#pause(wait);
        }
      }
    } finally {
      this.#flushing = false;
    }
  }

  #next() {
    const session_id = this.live();
    return (
      session_id &&
      this.entries.find((entry) => entry.session_id === session_id && entry.status === "waiting")
    );
  }

  #get(client_msg_id) {
    return this.entries.find((entry) => entry.client_msg_id === client_msg_id);
  }

  #set({ client_msg_id }, values) {
    this.entries = this.entries.map((entry) =>
      entry.client_msg_id === client_msg_id ? { ...entry, ...values } : entry,
    );
    this.#keep();
  }

  #settle({ client_msg_id }, how, value) {
    this.#promises.get(client_msg_id)?.[how](value);
    this.#promises.delete(client_msg_id);
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(ms, 2 ** 31 - 1)); // more would be none
      this.#wake = () => (clearTimeout(timer), resolve());
    });
  }

  #keep() {
    const unacked = this.entries.filter((entry) => entry.status !== "acked");
    this.storage.setItem(
      KEY,
      JSON.stringify(unacked.map(({ status, error, retry_at, ...entry }) => entry)),
    );
    this.changed();
  }
}
