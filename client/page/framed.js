/** The page in a frame that `embed.js` has made: what it and the site around it tell each other. */

import { h } from "./element.js";
import { words } from "./words.js";

/** Where Escape closes something within the page. */
const OPEN = "dialog, .edit-form, .approval :is(textarea, form), .comment, .message-bar:has(.facts:not([hidden])), #share-panel, .chat[data-drawer] aside";
const inside = (target) => target.closest?.(OPEN) ?? document.querySelector(":popover-open");

/** Questions are no secret, and FRAME_ANCESTORS says who is around. */
const say = (realtime, more) => parent.postMessage({ realtime, ...more }, "*");

let asked = 0;

/** A token of the site around. @returns {Promise<string>} @throws {Error} where it has none */
export function token() {
  const id = (asked += 1);
  return new Promise((resolve, reject) => {
    addEventListener("message", function answered({ source, data }) {
      if (source !== parent || data?.realtime !== "token" || data.id !== id) return;
      removeEventListener("message", answered);
      if (typeof data.token === "string") resolve(data.token);
      else reject(Object.assign(new Error(words("error_no_token")), { code: "no_token" }));
    });
    say("token", { id });
  });
}

/** Show the way out, and say that the page is there. */
export function appear() {
  const close = h("button", { type: "button", id: "leave", class: "quiet icon", "aria-label": words("close"), onclick: () => say("close") }, "✕");
  document.getElementById("top").append(close);
  addEventListener("keydown", ({ key, target }) => key === "Escape" && !inside(target) && say("close"), true);
  say("ready");
}
