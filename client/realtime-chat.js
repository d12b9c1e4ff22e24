/**
 * `<realtime-chat>`: the chat as an element of any page, in a shadow root of its own.
 *
 *     <script type="module" src="https://example.com/client/realtime-chat.js"></script>
 *     <realtime-chat></realtime-chat>
 *
 * docs/embedding.md says what it takes and tells.
 */

import { wanted } from "./page/language.js";
import { Keep } from "./storage.js";

const SHEETS = [
  new URL("./style.css", import.meta.url),
  new URL("./page/answer.css", import.meta.url),
  new URL("./page/messages.css", import.meta.url),
];
const SHOWN = "realtime.shown"; // the session that this one shows in this tab
const taken = new Set(); // the numbers of the elements that stand in a page

class RealtimeChat extends HTMLElement {
  static observedAttributes = ["server", "session", "heading"];
  #token;
  #chat = null;
  #begun = null; // what is to become `#chat`; another one, or null, takes its place
  #keep;
  #number = 0; // keeps those without an id apart; a reload gives the same ones

  constructor() {
    super();
    this.attachShadow({ mode: "open" });
  }

  /** A token of your own sign-in, or a function that gives one; without it people are guests. */
  get token() {
    return this.#token;
  }

  set token(token) {
    this.#token = token;
    this.#restart();
  }

  /** The URL of the server; by default the one that this module comes from. */
  get server() {
    return new URL(`${this.getAttribute("server") ?? new URL("../", import.meta.url)}`.replace(/\/?$/, "/"), document.baseURI);
  }

  set server(url) {
    this.setAttribute("server", url);
  }

  /** The session that is shown; null before a new one has begun. */
  get session() {
    return this.#keep?.getItem(SHOWN) ?? this.getAttribute("session");
  }

  set session(session_id) {
    if (session_id) this.setAttribute("session", session_id);
    else this.removeAttribute("session");
  }

  focus() {
    this.#chat?.composer.focus();
  }

  connectedCallback() {
    if (Object.hasOwn(this, "token")) {
      const { token } = this; // given before this class was there
      delete this.token;
      this.#token = token;
    }
    while (taken.has(this.#number)) this.#number += 1;
    taken.add(this.#number);
    this.#start();
  }

  disconnectedCallback() {
    taken.delete(this.#number);
    this.#end();
  }

  #end() {
    this.#begun = null;
    this.#chat?.close();
    this.#chat = null;
    this.shadowRoot.replaceChildren();
  }

  attributeChangedCallback(name, before, now) {
    if (before === now || !this.#begun) return;
    if (name !== "session" || !this.#chat) this.#restart();
    else if (now !== this.#keep.getItem(SHOWN)) this.#chat.acts.open(now, undefined, false);
  }

  #restart() {
    if (!this.#begun) return;
    this.#end();
    this.#start();
  }

  async #start() {
    const begun = (this.#begun = {});
    wanted.language = this.getAttribute("language") ?? this.closest("[lang]")?.lang ?? "";
    const [{ chat }] = await Promise.all([import("./page/chat.js"), this.#dressed()]);
    if (begun !== this.#begun) return;
    const container = document.createElement("div");
    container.className = "chat";
    container.part = "chat";
    this.shadowRoot.append(container);
    this.#chat = chat(this.shadowRoot, container, this.#place(container));
    this.#tell(this.#chat.client);
  }

  /** With its style sheets. One that does not come is missed, no more. */
  #dressed() {
    return Promise.all(SHEETS.map(({ href }) => new Promise((done) => {
      const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href, onload: done, onerror: done });
      this.shadowRoot.append(link);
    })));
  }

  #place(container) {
    const root = this.server;
    const own = root.origin === location.origin; // there one is the guest of the server's own page
    const tab = (this.#keep = new Keep(() => sessionStorage, `${root}#${this.id || this.#number}:`));
    const session = this.getAttribute("session");
    if (session) tab.setItem(SHOWN, session);
    return {
      address: {
        root,
        addressOf: (session_id) => new URL(`c/${encodeURIComponent(session_id)}`, root).href,
        named: () => tab.getItem(SHOWN),
        follow: (session_id) => this.#follow(session_id),
        invitation: () => undefined,
      },
      name: this.getAttribute("heading") ?? "",
      themed: container,
      keys: container,
      whole: false,
      autofocus: this.autofocus,
      local: new Keep(() => localStorage, own ? "" : `${root}:`),
      tab,
      again: () => this.#restart(),
      token: this.#token && (() => (typeof this.#token === "function" ? this.#token() : this.#token)),
      failed: ({ code, message }) => this.#say("error", { code, message }),
    };
  }

  #follow(session_id) {
    if (session_id === this.#keep.getItem(SHOWN)) return;
    if (session_id) this.#keep.setItem(SHOWN, session_id);
    else this.#keep.removeItem(SHOWN);
    this.#say("session", { session_id });
  }

  #tell(client) {
    let known = null;
    client.onEvent(({ event, ...payload }) => {
      if (event === "user_message") this.#say("message", payload);
      if (event === "done") this.#say("done", payload);
    });
    client.subscribe(({ error, connection }) => {
      if (connection === "error" && error !== known) this.#say("error", { code: error.code, message: error.message });
      known = error;
    });
  }

  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

customElements.get("realtime-chat") ?? customElements.define("realtime-chat", RealtimeChat);
