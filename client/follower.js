/**
 * Follows the log of one session, by the client rule of PROTOCOL.md. Live events are folded into
 * `state` as they arrive. Where some are missing, later ones are held until the gap is filled.
 */

import { known } from "./branches.js";
import { apply, initial, load } from "./reducer.js";

export class Follower {
  /** @type {import("./reducer.js").State} */
  state = initial();
  /** Whether events may be missing. Live ones are held meanwhile. */
  behind = true;
  #held = [];
  #round = 0; // of catching up: a newer round takes over
  #parts;

  /**
   * @param {object} parts
   * @param {(cursor: object, timeout?: number) => Promise<object>} parts.join  asks for the page
   *   behind a cursor, a `session` payload
   * @param {(page: object) => void} parts.loaded  a page is in `state`
   * @param {(event: object) => void} parts.applied  a live event is in `state`
   * @param {() => void} parts.caughtUp  the last page is in `state`, and the held events too
   * @param {(error: Error) => void} parts.failed  a page that was needed did not come
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Take a live event. @param {object} event  its payload, with its name as `event` */
  take(event) {
    if (this.behind) return void this.#held.push(event);
    const { state, verdict } = apply(this.state, event);
    if (verdict === "gap") {
      this.#held.push(event);
      this.sync();
    } else if (verdict === "applied") {
      this.state = state;
      this.#parts.applied(event);
      if (!known(state)) this.catchUp(this.#snapshot()).catch(this.#parts.failed);
    }
  }

  /** Ask for what is missing behind the cursor. @param {number} [timeout]  ms */
  sync(timeout) {
    const page = this.#parts.join(cursor(this.state), timeout);
    return this.catchUp(page).catch(this.#parts.failed);
  }

  /** All anew: the branch that is active now was on none of the pages. */
  #snapshot() {
    return this.#parts.join({ session_id: this.state.session_id });
  }

  /**
   * Take a `session` payload and the pages behind it.
   * @param {object | Promise<object>} first
   * @param {() => void} [begin]  called before the first page is taken
   * @returns {Promise<void>} at the end of the log, or once a newer round has taken over
   * @throws what a page is rejected with
   */
  async catchUp(first, begin) {
    const round = ++this.#round;
    const overtaken = () => round !== this.#round;
    const unlessOvertaken = (error) => overtaken() || Promise.reject(error);
    this.behind = true;
    for (let next = first; ; begin = undefined) {
      const page = await Promise.resolve(next).catch(unlessOvertaken);
      if (overtaken()) return;
      begin?.();
      const { state, verdict } = load(this.state, page);
      this.state = state;
      this.#parts.loaded(page);
      const whole = verdict === "applied" && page.seq >= page.head;
      if (whole && (known(state) || page.mode === "snapshot")) break;
      next = whole || verdict === "gap" ? this.#snapshot() : this.#parts.join(cursor(state));
    }
    this.release();
    this.#parts.caughtUp();
  }

  /** Nothing is missing up to the held events, so they may follow. */
  release() {
    this.behind = false;
    for (const event of this.#held.splice(0)) this.take(event);
  }

  /** The connection is gone, and with it what was held. The next one brings it again. */
  interrupt() {
    this.#round++;
    this.behind = true;
    this.#held = [];
  }
}

const cursor = ({ session_id, epoch, last_seq }) => ({ session_id, epoch, after_seq: last_seq });
