/**
 * Which exchanges are on the active branch. An exchange follows the answer before it; where a
 * question was edited or answered again, several follow the same one, and the last answer of the
 * branch, `leaf`, says which of them count.
 */

/** @param {{siblings: Record<string, string[]>}} state @param {string} message_id @returns {string[]} the
 *   message and those that stand in its place on other branches, in the order in which they began */
export const siblings = (state, message_id) => state.siblings[message_id] ?? [message_id];

/** Whether the active branch is known up to its end. */
export const known = ({ leaf, runs }) => leaf === null || runs.some((run) => run.message.message_id === leaf);

/** The state with the exchanges of the active branch in `runs`, and all others in `aside`. */
export function arranged(state) {
  const all = [...state.runs, ...state.aside];
  const answers = new Map(all.filter((run) => run.begun).map((run) => [run.message.message_id, run]));
  const branch = new Set();
  for (let at = state.leaf; answers.has(at); at = answers.get(at).follows) branch.add(at);
  const on = ({ begun, behind, message }) =>
    !begun || branch.has(message.message_id) || (behind !== undefined && (behind === null || branch.has(behind)));
  const runs = all.filter(on);
  return {
    ...state,
    runs: [...runs.filter((run) => run.begun).sort((a, b) => a.began - b.began), ...runs.filter((run) => !run.begun)],
    aside: all.filter((run) => !on(run)),
  };
}

/** Where a message stands among all of its siblings, of which `siblings` may be the nearest ones alone.
 *   @returns {{place: number, count: number}} `place` from 1 */
export const standing = (state, message_id) =>
  state.sibling_counts[message_id] ?? {
    place: siblings(state, message_id).indexOf(message_id) + 1,
    count: siblings(state, message_id).length,
  };

/** The siblings of all, once a message has taken its place beside those of the same parent. */
export function withSibling(siblings, message_id, others) {
  if (!others.length) return siblings;
  const family = [...new Set([...others.flatMap((id) => siblings[id] ?? [id]), message_id])];
  return { ...siblings, ...Object.fromEntries(family.map((id) => [id, family])) };
}

/** The counts of all, then; `others` as known before. */
export function withCount(sibling_counts, message_id, others) {
  const known = others.filter((id) => sibling_counts[id]);
  if (!known.length || sibling_counts[message_id]) return sibling_counts;
  const count = Math.max(...known.map((id) => sibling_counts[id].count)) + 1;
  const grown = known.map((id) => [id, { ...sibling_counts[id], count }]);
  return { ...sibling_counts, ...Object.fromEntries(grown), [message_id]: { place: count, count } };
}
