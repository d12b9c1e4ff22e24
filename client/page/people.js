/** What the page calls the users of a session. Anybody may have any name, so ours stand apart. */

import { h } from "./element.js";
import { phrase, words } from "./words.js";

/**
 * @param {string} user_id
 * @param {string} owner  a user id, as is `reader`
 * @returns {string} in the reader's terms
 */
export function inWords(user_id, owner, reader) {
  return words(role(user_id, owner, reader));
}

/** The same after a verb: "by you". */
export const byWords = (user_id, owner, reader) => words(`by_${role(user_id, owner, reader)}`);

const role = (user_id, owner, reader) => (user_id === reader ? "you" : user_id === owner ? "owner" : "somebody");

/**
 * Somebody by the name that they gave, if they did, and by what they are to the reader.
 * @param {{user_id: string, name?: string}} person
 * @returns {HTMLElement}
 */
export function shown({ user_id, name }, owner, reader) {
  const known = inWords(user_id, owner, reader);
  if (!name) return h("span", { class: "person" }, h("span", { class: "role" }, known));
  const also = [owner, reader].includes(user_id) ? [" ", h("span", { class: "role" }, known)] : [];
  return h("span", { class: "person" }, h("span", { class: "name" }, name), ...also);
}

/** How many users there are: here, or among those who said something. */
export const headcount = (state, people) =>
  new Set([...people, ...state.runs.flatMap(said)].flatMap((one) => one?.user_id ?? [])).size;

/** Who asked, and who steered the answer. */
const said = ({ user, message }) => [user, ...message.parts.map((part) => part.user)];

/** Who is here, drawn anew when that changes. */
export class PeopleLine {
  #element;
  #drawn;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  draw(people, owner, reader) {
    if (this.#drawn === people) return;
    this.#drawn = people;
    const others = people.length > 1 ? people : [];
    this.#element.hidden = !others.length;
    const names = h("span");
    names.append(...others.flatMap((person, index) => [...(index ? [words("and")] : []), shown(person, owner, reader)]));
    this.#element.replaceChildren(...phrase("here", { people: names }));
  }
}
