/** The page at `/`: a chat that fills the document, and whose sessions have addresses. */

import * as address from "./page/address.js";
import { chat } from "./page/chat.js";
import { Keep } from "./storage.js";

const landing = address.landing();
const embed = new URLSearchParams(location.search).get("embed");
const framed = embed && parent !== window ? await import("./page/framed.js") : null;

const { acts } = chat(document, document.body, {
  address,
  name: document.title,
  titled: (title) => (document.title = title),
  logo: document.querySelector(".logo") ?? "",
  themed: document.documentElement,
  keys: window,
  whole: true,
  autofocus: true,
  local: new Keep(() => localStorage),
  tab: new Keep(() => sessionStorage),
  landing,
  again: (empty) => (empty ? location.assign(address.root.href + location.search) : location.reload()),
  returns: Boolean(framed),
  leaves: !framed,
  token: embed === "token" ? framed?.token : undefined,
});
framed?.appear();

addEventListener("hashchange", () => location.hash.startsWith("#session=") && acts.arrive());
addEventListener("popstate", () => location.hash.startsWith("#session=") || acts.arrive());
