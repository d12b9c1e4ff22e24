/** What the page calls the users of a session. */

/**
 * @param {string} user_id
 * @param {string} owner  a user id, as is `reader`
 * @returns {string} in the reader's terms
 */
export function inWords(user_id, owner, reader) {
  if (user_id === reader) return "you";
  return user_id === owner ? "the owner" : "somebody with the link";
}
