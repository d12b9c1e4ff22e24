/** The frame that a chat stands in: its list, its header, its conversation and its box, still empty. */

import { h } from "./element.js";
import { words } from "./words.js";

const button = (id, label, properties, ...children) =>
  h("button", { type: "button", id, "data-testid": id, ...properties }, label, ...children);
const iconic = (id, sign, label, properties) => button(id, sign, { class: "quiet icon", "aria-label": label, ...properties });
const hidden = true;

/**
 * @param {boolean} whole  it is all of the document
 * @param {Node | string} [logo]
 * @returns {HTMLElement[]}
 */
export function frame(whole, logo = h("slot", { name: "logo" })) {
  return [
    h("a", { id: "skip", class: "skip", href: "#message-box" }, words("skip")),
    side(logo),
    h("div", { id: "shade", class: "shade" }),
    h(whole ? "main" : "div", { id: "main", part: "main" },
      ...header(), h("div", { class: "slot" }, h("p", { id: "toast", class: "toast", part: "toast", role: "alert", hidden })), conversation(),
      h("div", { class: "slot" },
        button("newest", "↓ ", { class: "newest", hidden }, h("span", {}, words("new")), h("span", { class: "hidden" }, words("to_end")))),
      composer(),
      h("ul", { id: "suggestions", class: "suggestions", part: "suggestions", "data-testid": "suggestions", "aria-label": words("suggestions"), hidden })),
    h("p", { id: "announcer", class: "hidden", role: "status", "aria-live": "polite" }),
  ];
}

const side = (logo) =>
  h("aside", { id: "sidebar", part: "sidebar", "aria-label": words("chats") },
    h("div", { class: "side-head" }, logo,
      button("start-session", words("new_chat"), { part: "start" }),
      iconic("close-sidebar", "✕", words("close_chats"))),
    h("input", {
      id: "search", "data-testid": "search", type: "search", placeholder: words("search"), title: words("search_keys"),
      "aria-label": words("search_chats"), "aria-keyshortcuts": "Control+K",
    }),
    h("nav", { id: "chats", "aria-label": words("your_chats") },
      h("ul", { id: "past-sessions", "data-testid": "past-sessions" }),
      h("p", { id: "no-past", class: "hint" }, words("no_chats")),
      button("archived", words("archived_chats"), { class: "quiet", "aria-pressed": "false" })),
    h("div", { class: "side-foot" },
      h("span", { id: "user", class: "label" }, words("guest")),
      button("sign-out", words("sign_out"), { class: "quiet", hidden }),
      h("select", { id: "theme", "aria-label": words("colours") },
        ...["system", "light", "dark"].map((value) => h("option", { value }, words(`colours_${value}`))))));

function header() {
  const details = h("div", { id: "details", class: "menu details", popover: "auto" },
    h("p", { class: "label" }, words("session"), " ", h("code", { id: "session-id", "data-testid": "session-id" })),
    h("p", { id: "devices", class: "label", hidden }),
    button("end-session", words("end_session")));
  const top = h("header", { id: "top", class: "top", part: "header" },
    iconic("open-sidebar", "☰", words("open_chats"), { "aria-controls": "sidebar", "aria-expanded": "false" }),
    h("h1", { id: "title", dir: "auto" }),
    h("p", { id: "model", class: "model", hidden }),
    h("select", { id: "models", "data-testid": "models", "aria-label": words("model"), hidden }),
    h("p", { id: "connection-state", class: "connection", "data-testid": "connection-state", "data-state": "offline", role: "status" }),
    h("span", { id: "people", class: "label people", "data-testid": "people", hidden }),
    button("copy-link", words("share"), { "aria-controls": "share-panel" }),
    iconic("more", "⋯", words("details"), { popoverTargetElement: details }));
  return [
    top, details,
    h("section", { id: "share-panel", class: "share", "aria-label": words("share_chat"), hidden }),
    h("p", { id: "name-row", class: "share", hidden },
      h("label", { htmlFor: "name", class: "hint" }, words("your_name")),
      h("input", { id: "name", "data-testid": "name", maxLength: 64 })),
    h("p", { id: "banner", class: "banner", part: "banner", role: "status", hidden },
      h("span", { id: "notice" }), " ", button("start-another", "", { hidden })),
  ];
}

const conversation = () =>
  h("div", { id: "scroll", class: "scroll", part: "conversation", tabIndex: 0, role: "region", "aria-label": words("conversation") },
    h("section", { id: "welcome", class: "welcome", part: "welcome" },
      h("h2", {}, words("welcome")),
      h("p", { id: "trouble", class: "trouble", role: "alert", hidden })),
    h("form", { id: "sign-in", class: "welcome", part: "sign-in" }),
    button("earlier", words("earlier"), { class: "quiet earlier", hidden }),
    h("div", { id: "transcript", class: "transcript", "data-testid": "transcript", role: "log", "aria-live": "off", "aria-label": words("messages") }),
    h("section", { id: "ending", class: "ending", part: "ending", "data-testid": "ending", "aria-live": "polite", hidden },
      h("h2", { id: "ending-title" }),
      h("p", { id: "ending-summary", "data-testid": "summary" }),
      h("p", { id: "ending-hint", class: "hint" }, words("reopens"))));

const composer = () =>
  h("form", { id: "composer", class: "composer", part: "composer" },
    h("ul", { id: "queue", class: "queue", "data-testid": "queue", "aria-label": words("waiting"), hidden }),
    h("label", { htmlFor: "message-box", class: "hidden" }, words("message")),
    h("textarea", { id: "message-box", part: "box", dir: "auto", "data-testid": "message-box", rows: 1, placeholder: words("write"), "aria-describedby": "keys" }),
    h("ul", { id: "attached", class: "files", "data-testid": "attached", "aria-label": words("attached"), hidden }),
    h("input", { id: "files", "data-testid": "files", type: "file", multiple: true, hidden }),
    h("div", { class: "actions" },
      button("attach", words("add_files"), { part: "attach" }),
      h("span", { id: "keys", class: "hint" }, words("keys")),
      h("span", { id: "count", class: "hint count", "data-testid": "count", hidden }),
      button("stop", words("stop"), { part: "stop", hidden }),
      button("send", words("send"), { type: "submit", class: "primary", part: "send" })));
