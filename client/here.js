/**
 * Who watches which session now, as the last `presence` of each says.
 *
 * @typedef {{user_id: string, name?: string}} Person  anybody may have any name
 */
export class Here {
  #told = new Map();

  /** @param {{session_id: string, devices: number, people?: Person[]}} presence */
  take(presence) {
    this.#told.set(presence.session_id, presence);
  }

  /** @returns {number} */
  devices(session_id) {
    return this.#told.get(session_id)?.devices ?? 1;
  }

  /** @returns {Person[]} each user once, in the order of arrival; the same array until it changes */
  people(session_id) {
    return this.#told.get(session_id)?.people ?? NOBODY;
  }
}

const NOBODY = [];
