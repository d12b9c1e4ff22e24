/** What can be done with a session of the list, behind its ⋯. */

import { ask } from "./ask.js";
import { h } from "./element.js";

/**
 * @param {import("../session.js").SessionClient} client
 * @param {object} parts
 * @param {(work: () => Promise<any>) => Promise<any>} parts.command  with a connection; says what goes wrong
 * @param {(session_id: string) => void} parts.share
 * @param {(session: object) => Promise<void>} parts.save  the conversation, as a file
 * @param {(session_id: string) => void} parts.deleted
 * @returns {(session: object, title: string, button: HTMLElement) => void} opens it beside a button
 */
export function sessionMenu(client, { command, share, save, deleted }) {
  const menu = h("div", { class: "menu", id: "session-menu", popover: "auto", role: "group" });
  document.body.append(menu);

  async function rename({ session_id }, title) {
    const value = await ask("Rename this chat", { value: title, yes: "Rename" });
    if (value?.trim()) await command(() => client.setTitle(value, session_id));
  }

  async function remove({ session_id }, title) {
    const said = `“${title}” and its files are deleted for good, for everybody it was shared with too.`;
    if ((await ask("Delete this chat?", { said, yes: "Delete", grave: true })) === null) return;
    await command(async () => {
      await client.delete(session_id);
      deleted(session_id);
    });
  }

  return (session, title, button) => {
    const { session_id, pinned, archived } = session;
    const item = (label, act, name = "") =>
      h("button", { type: "button", class: name, onclick: () => (menu.hidePopover(), act()) }, label);
    menu.setAttribute("aria-label", `Actions for ${title}`);
    menu.replaceChildren(
      item("Rename", () => rename(session, title)),
      item(pinned ? "Unpin" : "Pin", () => command(() => client.pin(!pinned, session_id))),
      item("Share", () => share(session_id)),
      item("Export", () => command(() => save(session))),
      item(archived ? "Unarchive" : "Archive", () => command(() => client.archive(!archived, session_id))),
      item("Delete", () => remove(session, title), "grave"),
    );
    menu.showPopover({ source: button });
    const { right, bottom, top } = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = menu;
    menu.style.left = `${Math.max(8, Math.min(right - 28, innerWidth - width - 8))}px`;
    menu.style.top = `${bottom + height + 8 > innerHeight ? Math.max(8, top - height) : bottom}px`;
    menu.firstElementChild.focus();
  };
}
