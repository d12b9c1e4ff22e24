/** What the server has stored for a user, read over HTTP. No DOM. */

import { initial, load, prepend } from "./reducer.js";

export class Api {
  #base;
  #bearer;

  /**
   * @param {string} base  the URL of `/api/`, with the slash at its end
   * @param {() => Promise<string | undefined>} bearer  a token, e.g. `() => client.bearer()`
   */
  constructor(base, bearer) {
    this.#base = base;
    this.#bearer = bearer;
  }

  /**
   * A page of the user's sessions, pinned ones first, then the newest; none without a token.
   * @param {{before?: string, q?: string, archived?: boolean, limit?: number}} [wanted]  `before`:
   *   the `next_before` of the page before; `q`: words that stand in each
   * @returns {Promise<{sessions: object[], next_before: string | null}>}
   */
  async sessions(wanted = {}) {
    if (!(await this.#bearer())) return { sessions: [], next_before: null };
    const given = Object.entries(wanted).filter(([, value]) => value !== undefined);
    return this.#json(`sessions?${new URLSearchParams(given)}`);
  }

  /**
   * Everything that was said in a session.
   * @param {string} session_id
   * @returns {Promise<import("./reducer.js").State>}
   */
  async read(session_id) {
    const path = `sessions/${encodeURIComponent(session_id)}`;
    const { session, ...newest } = await this.#json(path);
    const { user_id } = session;
    const payload = { mode: "snapshot", session_id, user_id, epoch: 0, seq: 0, ...newest };
    let { state } = load(initial(), payload);
    while (state.next_before_seq) {
      state = prepend(state, await this.#json(`${path}?before_seq=${state.next_before_seq}`));
    }
    return state;
  }

  /**
   * The whole result of a tool call, where the conversation holds a part of it.
   * @param {string} session_id
   * @param {string} output_ref  of the `tool_call`
   * @returns {Promise<Blob>} JSON or plain text, as its `type` says
   */
  async output(session_id, output_ref) {
    const path = `sessions/${session_id}/outputs/${encodeURIComponent(output_ref)}`;
    return (await this.#get(path)).blob();
  }

  /** What was said in a session, as Markdown. @param {string} session_id @returns {Promise<Blob>} */
  async markdown(session_id) {
    return (await this.#get(`sessions/${session_id}/export?format=markdown`)).blob();
  }

  async #json(path) {
    return (await this.#get(path)).json();
  }

  async #get(path) {
    const headers = { authorization: `Bearer ${await this.#bearer()}` };
    const response = await fetch(this.#base + path, { headers });
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    return response;
  }
}
