const KEY = "realtime.session";

/** The session that this tab is in, and the share that opened it; kept across reloads. */
export class Where {
  #storage;
  #now;

  /** @param {import("./storage.js").Keep} storage */
  constructor(storage) {
    this.#storage = storage;
    this.#now = storage.read(KEY) ?? {};
  }

  /** @returns {{session_id?: string, share?: string, options?: object}} `options`: of one that begins */
  get now() {
    return this.#now;
  }

  set now(where) {
    this.#now = where;
    this.#storage.setItem(KEY, JSON.stringify(where));
  }

  /** What to join: the session, from what is known of it on. @param {import("./reducer.js").State} state */
  cursor({ session_id, epoch, last_seq }) {
    const { options, ...where } = this.#now; // a handshake has none
    return { ...where, ...(session_id && { session_id, epoch, after_seq: last_seq }) };
  }
}
