import { randomId } from "./random-id.js";

const KEY = "realtime.session";

/**
 * Where a tab is, kept across reloads.
 *
 * @typedef {{session_id: string, share?: string} | {begins: {id: string, options?: object}}} Place
 *   a session, and the share that opened it; or one that has not begun yet, by an id of our own
 */
export class Where {
  #storage;
  #now;

  /** @param {import("./storage.js").Keep} storage */
  constructor(storage) {
    this.#storage = storage;
    const known = storage.read(KEY) ?? {};
    this.#now = known.session_id || known.begins ? known : beginning();
  }

  /** @returns {Place} */
  get now() {
    return this.#now;
  }

  set now(place) {
    this.#now = place;
    this.#storage.setItem(KEY, JSON.stringify(place));
  }

  /** What to join: the session, from what is known of it on. @param {import("./reducer.js").State} state */
  cursor({ session_id, epoch, last_seq }) {
    const { begins, ...where } = this.#now;
    return { ...where, ...(session_id && { session_id, epoch, after_seq: last_seq }) };
  }
}

/** A session that is to begin. @param {object} [options] @param {string} [id] @returns {Place} */
export const beginning = (options, id = randomId()) => ({ begins: { id, options } });
