/** What can be done with a session of the list, behind its ⋯. */

import { ask } from "./ask.js";
import { beside, h } from "./element.js";
import { words } from "./words.js";

/**
 * @param {import("../session.js").SessionClient} client
 * @param {object} parts
 * @param {HTMLElement} parts.container  which the questions are put into, and which has the list
 * @param {(work: () => Promise<any>) => Promise<any>} parts.command  with a connection; says what goes wrong
 * @param {(session_id: string) => void} parts.share
 * @param {(session: object, title: string) => Promise<void>} parts.save  the conversation, as a file
 * @param {(session_id: string) => void} parts.deleted
 * @returns {(session: object, title: string, button: HTMLElement) => void} opens it beside a button
 */
export function sessionMenu(client, { container, command, share, save, deleted }) {
  const menu = h("div", { class: "menu", id: "session-menu", popover: "auto", role: "group" });
  menu.addEventListener("keydown", (event) => event.key === "Escape" && event.stopPropagation()); // the drawer stays
  container.querySelector("aside").append(menu);

  async function rename({ session_id }, title) {
    const value = await ask(container, words("rename_title"), { value: title, yes: words("rename") });
    if (value?.trim()) await command(() => client.setTitle(value, session_id));
  }

  async function remove({ session_id }, title) {
    const said = words("delete_said", { title });
    if ((await ask(container, words("delete_title"), { said, yes: words("delete"), grave: true })) === null) return;
    await command(async () => {
      await client.delete(session_id);
      deleted(session_id);
    });
  }

  return (session, title, button) => {
    const { session_id, pinned, archived } = session;
    const item = (label, act, name = "") =>
      h("button", { type: "button", class: name, onclick: () => (menu.hidePopover(), act()) }, label);
    menu.setAttribute("aria-label", words("actions_for", { title }));
    menu.replaceChildren(
      item(words("rename"), () => rename(session, title)),
      item(words(pinned ? "unpin" : "pin"), () => command(() => client.pin(!pinned, session_id))),
      item(words("share"), () => share(session_id)),
      item(words("export"), () => command(() => save(session, title))),
      item(words(archived ? "unarchive" : "archive"), () => command(() => client.archive(!archived, session_id))),
      item(words("delete"), () => remove(session, title), "grave"),
    );
    menu.onbeforetoggle = ({ newState }) => { // the list may have been drawn anew: it is another button
      if (newState === "open" || button.isConnected || !menu.matches(":focus-within")) return;
      container.querySelector(`[data-session-id="${CSS.escape(session_id)}"] button`)?.focus();
    };
    menu.showPopover({ source: button });
    beside(menu, button);
    menu.firstElementChild.focus();
  };
}
