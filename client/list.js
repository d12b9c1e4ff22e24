/** The rows of a user's list of sessions, kept up to date by what the server tells. No DOM. */

/**
 * The rows after a change, in their order.
 * @param {object[]} rows  as `Api.sessions` gave them
 * @param {{sessions: object[], deleted: string[]}} change  as `client.onList` gave it
 * @param {boolean} [archived]  which list it is
 * @returns {object[]}
 */
export function listWith(rows, { sessions, deleted }, archived = false) {
  const gone = new Set([...deleted, ...sessions.map((row) => row.session_id)]);
  const here = sessions.filter((row) => row.archived === archived);
  return [...rows.filter((row) => !gone.has(row.session_id)), ...here].sort(byPlace);
}

/**
 * The rows after a page was read. What was told meanwhile is newer than the page.
 * @param {object[]} rows  that the page adds to
 * @param {object[]} page  as `Api.sessions` gave it
 * @param {{sessions: object[], deleted: string[]}[]} told  changes since the page was asked for, the
 *   first ones first
 * @param {boolean} [archived]  which list it is
 * @returns {object[]}
 */
export const listAfter = (rows, page, told, archived = false) =>
  [{ sessions: page, deleted: [] }, ...told].reduce((list, change) => listWith(list, change, archived), rows);

const byPlace = (one, other) =>
  other.pinned - one.pinned ||
  other.active_at - one.active_at ||
  (one.session_id < other.session_id ? 1 : -1);
