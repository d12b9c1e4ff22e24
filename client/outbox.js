/**
 * Messages on their way: kept, also across a reload, until the server has committed them.
 *
 * A retry carries the same `client_msg_id`, so the server takes each message once. They
 * are posted one after the other: their order is the order in which they were said.
 *
 * @typedef {{client_msg_id: string, session_id: string | null, text: string, options: object,
 *   status: "waiting" | "sending" | "acked" | "failed", seq?: number, breaks?: number, heard?: object,
 *   error?: {code: string, message: string}, retry_at?: number}} Outgoing
 *   `retry_at`: when one that was refused for now is posted again, ms since the Unix epoch;
 *   `breaks`: how often the connection broke while it was posted; `heard`: what the log says of it
 */

import { CommandError } from "./connection.js";

const KEY = "realtime.outbox";
const BREAKS = 3;

const broken = () =>
  new CommandError({
    code: "broken",
    message: `The connection broke ${BREAKS} times while this message was sent.`,
  });

export class Outbox {
  /** @type {Outgoing[]} */
  entries = [];
  #promises = new Map();
  #flushing = false;
  #wake = () => {};

  /**
   * @param {object} parts
   * @param {import("./storage.js").Keep} parts.storage
   * @param {(entry: Outgoing) => Error | undefined} parts.refuses  what cannot be posted at all
   * @param {(entry: Outgoing) => Promise<object>} parts.post  the ack, or an error with
   *   `code`, `retryable` and perhaps `retry_after_ms`
   * @param {() => string | null} parts.live  the session that messages can be posted to now
   * @param {() => void} parts.changed
   */
  constructor({ storage, refuses, post, live, changed }) {
    Object.assign(this, { storage, refuses, post, live, changed });
    const stored = storage.read(KEY);
    const known = Array.isArray(stored) ? stored.filter((entry) => entry?.client_msg_id) : [];
    this.entries = known.map((entry) => ({ ...entry, status: entry.error ? "failed" : "waiting" }));
  }

  /** @returns {Promise<object>} the ack */
  add(session_id, text, options) {
    const entry = { client_msg_id: randomId(), session_id, text, options, status: "waiting" };
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

  /** Try a refused message again under its old id; one that waits for its time is tried now. */
  retry(client_msg_id) {
    const entry = this.#get(client_msg_id);
    if (entry?.status === "failed") this.#set(entry, { status: "waiting", error: undefined, breaks: 0 });
    this.#wake();
    this.flush();
  }

  /** Give up a refused or waiting message. */
  drop(client_msg_id) {
    this.entries = this.entries.filter((entry) => entry.client_msg_id !== client_msg_id);
    this.#keep();
  }

  /** The log holds a message: it is sent, even if its ack is lost. */
  heard({ client_msg_id, run_id, message_id, seq }) {
    const entry = this.#get(client_msg_id);
    const ack = { ok: true, status: "duplicate", message_id, run_id, seq };
    if (entry?.status === "sending") this.#set(entry, { heard: ack });
    else if (entry) this.#acked(entry, ack);
  }

  /** What the log holds now is no longer on its way. */
  prune(last_seq) {
    const left = this.entries.filter((entry) => !(entry.status === "acked" && entry.seq <= last_seq));
    if (left.length < this.entries.length) this.entries = left;
  }

  /** Post what waits for the live session, until done or offline. */
  async flush() {
    for (const entry of this.entries) {
      const error = entry.status === "waiting" && this.refuses(entry);
      if (error) this.#fail(entry, error);
    }
    if (this.#flushing) return;
    this.#flushing = true;
    try {
      for (let tries = 0, entry; (entry = this.#next()); ) {
        this.#set(entry, { status: "sending" });
        try {
          this.#acked(entry, await this.post(entry));
          tries = 0;
        } catch (error) {
          const { heard } = this.#get(entry.client_msg_id) ?? {};
          if (heard) {
            this.#acked(entry, heard);
            continue;
          }
          const breaks = (entry.breaks ?? 0) + (error.broke ? 1 : 0);
          if (!error.retryable || breaks >= BREAKS) {
            this.#fail(entry, error.retryable ? broken() : error);
            continue;
          }
          const offline = error.code === "offline";
          const wait = error.retry_after_ms ?? Math.min(500 * 2 ** tries++, 15_000);
          const why = offline ? {} : { error, retry_at: Date.now() + wait };
          this.#set(entry, { error: undefined, ...why, breaks, status: "waiting" });
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

  #acked(entry, ack) {
    this.#set(entry, { status: "acked", seq: ack.seq, error: undefined });
    this.#settle(entry, "resolve", ack);
  }

  #fail(entry, error) {
    this.#set(entry, { status: "failed", error });
    this.#settle(entry, "reject", error);
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
    this.storage.setItem(KEY, JSON.stringify(unacked.map(kept)));
    this.changed();
  }
}

/** As much of an entry as outlives the page: the error of one that failed for good. */
function kept({ status, error, retry_at, heard, ...entry }) {
  return status === "failed" ? { ...entry, error } : entry;
}

/** `crypto.randomUUID` exists on secure pages alone. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
