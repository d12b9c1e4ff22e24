/**
 * Messages on their way: kept, also across a reload, until the server has committed them.
 *
 * A retry carries the same `client_msg_id`, so the server takes each message once. Those of a
 * session are posted one after the other: their order is the order in which they were said. A
 * message goes to the session that it was said in, wherever one is by then.
 *
 * @typedef {{client_msg_id: string, session_id: string | null, begins?: {id: string, options?: object},
 *   text: string, options: object,
 *   status: "waiting" | "sending" | "acked" | "failed", seq?: number, before?: number, breaks?: number, heard?: object,
 *   error?: {code: string, message: string}, retry_at?: number}} Outgoing
 *   `begins`: the session that has not begun yet, in place of `session_id`; with neither it never
 *   began; `before`: the `seq` of the first message that was said later; `retry_at`: when one that
 *   was refused for now is posted again, ms since the Unix epoch;
 *   `breaks`: how often the connection broke while it was posted; `heard`: what the log says of it
 */

import { deferred } from "./deferred.js";
import { CommandError } from "./errors.js";
import { randomId } from "./random-id.js";

const KEY = "realtime.outbox";
const BREAKS = 3;
const NEVER = 2 ** 31 - 1; // ms

const broken = () =>
  new CommandError({
    code: "broken",
    count: BREAKS,
    message: `The connection broke ${BREAKS} times while this message was sent.`,
  });

const dropped = () => new CommandError({ code: "dropped", message: "This message was not sent." });

export class Outbox {
  /** @type {Outgoing[]} */
  entries = [];
  #parts;
  #acks = new Map(); // client_msg_id → the deferred ack
  #stored = new Map(); // client_msg_id of one that steers → once the log holds it
  #flushing = new Map(); // session_id → cuts the pause short that its messages wait for

  /**
   * @param {object} parts
   * @param {import("./storage.js").Keep} parts.storage
   * @param {import("./limits.js").Limits} parts.limits
   * @param {(name: string, payload: object, timeout?: number) => Promise<object>} parts.request  sends a command
   * @param {() => boolean} parts.live  whether messages can be posted now
   * @param {() => void} parts.changed
   */
  constructor(parts) {
    this.#parts = parts;
    const stored = parts.storage.read(KEY);
    const known = Array.isArray(stored) ? stored.filter((entry) => entry?.client_msg_id) : [];
    this.entries = known.map((entry) => ({ ...entry, status: entry.error ? "failed" : "waiting" }));
  }

  /** @param {import("./where.js").Place} place @returns {Promise<object>} the ack */
  add({ session_id = null, begins }, text, options) {
    /** @type {Outgoing} */
    const entry = { client_msg_id: randomId(), session_id, begins, text, options, status: "waiting" };
    const ack = deferred(); // the entry shows an error too
    this.#acks.set(entry.client_msg_id, ack);
    this.entries = [...this.entries, entry];
    this.#keep();
    this.flush();
    return ack.promise;
  }

  /** The sessions that have not begun, and that something was said for. */
  beginnings() {
    const waiting = this.entries.filter(({ begins, status }) => begins && status === "waiting");
    return new Map(waiting.map(({ begins }) => [begins.id, begins])).values();
  }

  /** A session has begun: its messages can go. */
  adopt(begins, session_id) {
    for (const entry of this.#said(begins)) this.#set(entry, { session_id, begins: undefined });
    this.flush();
  }

  /** A session will not begin. */
  refuse(begins, error) {
    for (const entry of this.#said(begins)) {
      this.#set(entry, { begins: undefined });
      this.#fail(entry, error);
    }
  }

  /**
   * Try a refused message again under its old id; one that waits for its time is tried now.
   * @param {string} client_msg_id
   * @param {import("./where.js").Place} place  for a message whose session never began
   */
  retry(client_msg_id, { session_id = null, begins }) {
    const entry = this.#get(client_msg_id);
    if (!entry) return;
    const homeless = !entry.session_id && !entry.begins;
    if (entry.status === "failed") {
      this.#set(entry, { status: "waiting", error: undefined, breaks: 0, before: undefined, ...(homeless && { session_id, begins }) });
    }
    this.#wake(entry);
    this.flush();
  }

  /** Give a refused or waiting message up; those behind it wait for it no longer. */
  drop(client_msg_id) {
    const entry = this.#get(client_msg_id);
    if (!entry) return;
    this.entries = this.entries.filter((other) => other !== entry);
    this.#settle(entry, "reject", dropped());
    if (entry.status === "waiting") this.#wake(entry);
    this.#keep();
  }

  /** The log holds a message: it is sent, even if its ack is lost. */
  heard({ client_msg_id, run_id, message_id, seq }) {
    const entry = this.#get(client_msg_id);
    const ack = { ok: true, status: "duplicate", message_id, run_id, seq };
    if (entry?.status === "sending") this.#set(entry, { heard: ack });
    else if (entry) this.#acked(entry, ack);
    this.#stored.get(client_msg_id)?.resolve(0);
  }

  /** What the log holds now is no longer on its way, nor is what was taken elsewhere. */
  prune({ session_id, last_seq }) {
    const shown = (entry) => entry.session_id === session_id && entry.seq > last_seq;
    const left = this.entries.filter((entry) => entry.status !== "acked" || shown(entry));
    if (left.length < this.entries.length) this.entries = left;
  }

  /** Post what waits, until done or offline. */
  flush() {
    for (const entry of this.entries) {
      const error = entry.status === "waiting" && this.#parts.limits.excess("send", payload(entry));
      if (error) this.#fail(entry, error);
    }
    for (const { session_id } of this.entries) if (session_id && !this.#flushing.has(session_id)) this.#flush(session_id);
  }

  /** One session's. */
  async #flush(session_id) {
    this.#flushing.set(session_id, () => {});
    try {
      for (let tries = 0, entry; (entry = this.#next(session_id)); ) {
        const wait = await this.#deliver(entry, tries);
        tries = wait ? tries + 1 : 0;
        if (wait) await this.#pause(session_id, wait);
      }
    } finally {
      this.#flushing.delete(session_id);
    }
  }

  /** @returns {Promise<number>} ms until the next message may be posted */
  async #deliver(entry, tries) {
    if (!steers(entry)) return this.#sent(entry, tries);
    const stored = deferred(); // its ack may take long, and holds up nothing
    this.#stored.set(entry.client_msg_id, stored);
    return Promise.race([this.#sent(entry, tries), stored.promise]);
  }

  async #sent(entry, tries) {
    this.#set(entry, { status: "sending" });
    try {
      this.#acked(entry, await this.#post(entry));
      return 0;
    } catch (error) {
      return this.#undelivered(entry, error, tries);
    }
  }

  #undelivered(entry, error, tries) {
    const { heard } = this.#get(entry.client_msg_id) ?? {};
    const breaks = (entry.breaks ?? 0) + (error.broke ? 1 : 0);
    if (heard) this.#acked(entry, heard);
    else if (!error.retryable) this.#fail(entry, error);
    else if (breaks >= BREAKS) this.#fail(entry, broken());
    else if (error.code === "offline") this.#set(entry, { error: undefined, breaks, status: "waiting" });
    else {
      const wait = error.retry_after_ms ?? Math.min(500 * 2 ** tries, 15_000);
      this.#set(entry, { error, retry_at: Date.now() + wait, breaks, status: "waiting" });
      return wait;
    }
    return 0;
  }

  async #post(entry) {
    await this.#parts.limits.known;
    return this.#parts.request("send", payload(entry), steers(entry) ? NEVER : undefined);
  }

  #next(session_id) {
    if (!this.#parts.live()) return;
    return this.entries.find((entry) => entry.session_id === session_id && entry.status === "waiting");
  }

  #said(begins) {
    return this.entries.filter((entry) => entry.begins?.id === begins);
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
    const at = this.entries.findIndex(({ client_msg_id }) => client_msg_id === entry.client_msg_id);
    const earlier = (one, index) => index < at && !one.begins && [null, entry.session_id].includes(one.session_id);
    this.entries = this.entries.map((one, index) => (earlier(one, index) ? { ...one, before: one.before ?? ack.seq } : one));
    this.#set(entry, { status: "acked", seq: ack.seq, error: undefined });
    this.#settle(entry, "resolve", ack);
  }

  #fail(entry, error) {
    this.#set(entry, { status: "failed", error });
    this.#settle(entry, "reject", error);
  }

  #settle({ client_msg_id }, how, value) {
    this.#stored.delete(client_msg_id);
    this.#acks.get(client_msg_id)?.[how](value);
    this.#acks.delete(client_msg_id);
  }

  #pause(session_id, ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(ms, 2 ** 31 - 1)); // more would be none
      this.#flushing.set(session_id, () => (clearTimeout(timer), resolve()));
    });
  }

  #wake({ session_id }) {
    this.#flushing.get(session_id)?.();
  }

  #keep() {
    const unacked = this.entries.filter((entry) => entry.status !== "acked");
    this.#parts.storage.setItem(KEY, JSON.stringify(unacked.map(kept)));
    this.#parts.changed();
  }
}

const steers = ({ options }) => options?.if_busy === "steer";

/** Of the `send` command. */
const payload = ({ session_id, client_msg_id, text, options: { files, ...options } = {} }) => ({
  ...options, ...(files?.length && { files: files.map(({ id }) => id) }), session_id, client_msg_id, text,
});

/** As much of an entry as outlives the page: the error of one that failed for good. */
function kept({ status, error, retry_at, heard, ...entry }) {
  return status === "failed" ? { ...entry, error } : entry;
}
