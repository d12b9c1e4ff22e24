/**
 * A button that opens a chat, for any site:
 *
 *     <script src="https://chat.example.com/embed.js" async></script>
 *
 * The chat is the page of the server that this comes from, in a frame. docs/embedding.md has the rest.
 */

(() => {
  const WORDS = {
    en: {
      chat: "Chat",
      close: "Close",
      wait: "One moment…",
      refused: "The chat of {server} cannot be shown. Either the server cannot be reached now, or its operator has to list this site: FRAME_ANCESTORS={site}",
      blocked: "The Content-Security-Policy of this site does not let the chat in. It lacks: frame-src {server}",
    },
    de: {
      chat: "Chat",
      close: "Schließen",
      wait: "Einen Moment…",
      refused: "Der Chat von {server} kann nicht gezeigt werden. Entweder ist der Server gerade nicht erreichbar, oder sein Betreiber muss diese Website nennen: FRAME_ANCESTORS={site}",
      blocked: "Die Content-Security-Policy dieser Website lässt den Chat nicht herein. Es fehlt: frame-src {server}",
    },
  };
  const STYLE = `
    :host { all: initial !important; position: fixed !important; z-index: 2147483647 !important; inset: auto 1rem 1rem auto !important; color-scheme: inherit !important; }
    :host([data-side="left"]) { inset: auto auto 1rem 1rem !important; }
    * { box-sizing: border-box; font: 1rem/1.4 system-ui, sans-serif; }
    [hidden] { display: none !important; }
    button { min-height: 2.75rem; padding: 0.6rem 1.2rem; border: 0; border-radius: 999px; cursor: pointer; color: var(--accent-ink, light-dark(#fff, #10211f)); background: var(--accent, light-dark(#256a64, #6fc0b6)); box-shadow: 0 2px 10px rgb(0 0 0 / 0.25); }
    button:focus-visible { outline: 2px solid var(--accent, light-dark(#256a64, #6fc0b6)); outline-offset: 2px; }
    section { position: fixed; inset: auto 1rem 4.75rem auto; width: min(26rem, 100vw - 2rem); height: min(42rem, 100dvh - 6.5rem); overflow: hidden; border: 1px solid light-dark(#dcd9d0, #34383e); border-radius: 12px; background: light-dark(#f6f5f1, #16181b); box-shadow: 0 8px 32px rgb(0 0 0 / 0.25); }
    :host([data-side="left"]) section { inset: auto auto 4.75rem 1rem; }
    iframe { display: block; width: 100%; height: 100%; border: 0; }
    section:not([data-ready]) iframe { opacity: 0; }
    p { margin: 0; padding: 1.5rem; overflow-wrap: anywhere; color: light-dark(#22252a, #e6e4df); }
    @media (max-width: 30rem), (max-height: 30rem) {
      section[data-ready] { inset: 0 !important; width: 100vw; height: 100dvh; border: 0; border-radius: 0; }
    }
    @media (prefers-reduced-motion: no-preference) {
      section { transition: opacity 0.15s, translate 0.15s; }
      @starting-style { section { opacity: 0; translate: 0 0.5rem; } }
    }
    @media print { :host { display: none !important; } }`;
  const WAIT_MS = 3000; // for the page's first word, once the frame has loaded something

  const { src, dataset } = document.currentScript;
  const server = new URL(".", src);
  const language = document.documentElement.lang || navigator.language;
  const words = WORDS[language.split("-")[0]] ?? WORDS.en;
  const label = dataset.label ?? words.chat;

  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const host = make("realtime-embed");
  if (dataset.side) host.dataset.side = dataset.side;
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet(); // which no policy of the site forbids
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
  const button = make("button", { type: "button", part: "button", textContent: label, ariaExpanded: "false" });
  const panel = make("section", { part: "panel", role: "dialog", ariaLabel: label, hidden: true });
  const said = make("p", { role: "alert", hidden: true });
  const wait = make("p", { role: "status", textContent: words.wait }); // until the page is there; a browser shows a sign of its own where it may not be
  let frame = null;

  function show(open) {
    panel.hidden = !open;
    button.ariaExpanded = String(open);
    button.textContent = open ? words.close : label;
    if (!open) return button.focus();
    if (!frame || !said.hidden) begin();
    frame.focus();
  }

  /** The frame comes with the first opening, and anew with each one until it could be shown. */
  function begin() {
    frame?.remove();
    said.hidden = true;
    wait.hidden = false;
    const made = (frame = make("iframe", { title: label, allow: "clipboard-write" }));
    const silent = () => made === frame && said.hidden && !("ready" in panel.dataset);
    frame.addEventListener("load", () => setTimeout(() => silent() && refuse("refused"), WAIT_MS), { once: true });
    const token = typeof window.realtimeChat?.token === "function" ? "token" : "guest";
    frame.src = `${server}?${new URLSearchParams({ embed: token, lang: language })}`;
    panel.append(frame);
  }

  function refuse(why) {
    said.textContent = words[why].replace("{server}", server.origin).replace("{site}", location.origin);
    said.hidden = false;
    frame.hidden = wait.hidden = true;
    if (!panel.hidden) button.focus(); // out of the frame
    console.error(said.textContent);
  }

  /** What the page in the frame says. Nobody else is listened to, and nobody else is answered. */
  async function heard({ source, origin, data }) {
    if (!frame || source !== frame.contentWindow || origin !== server.origin) return;
    if (data?.realtime === "close") show(false);
    if (data?.realtime === "ready") {
      panel.dataset.ready = "";
      said.hidden = wait.hidden = true;
      frame.hidden = false;
    }
    if (data?.realtime !== "token") return;
    const token = await Promise.resolve().then(() => window.realtimeChat.token()).catch((error) => {
      console.error(error);
      return null;
    });
    source.postMessage({ realtime: "token", id: data.id, token }, server.origin);
  }

  button.addEventListener("click", () => show(panel.hidden));
  root.addEventListener("keydown", ({ key }) => key === "Escape" && !panel.hidden && show(false));
  addEventListener("message", heard);
  document.addEventListener("securitypolicyviolation", ({ blockedURI, effectiveDirective }) => {
    if (frame && effectiveDirective === "frame-src" && blockedURI.startsWith(server.origin)) refuse("blocked");
  });
  panel.append(said, wait);
  root.append(button, panel);
  const put = () => document.body.append(host);
  if (document.body) put();
  else addEventListener("DOMContentLoaded", put);
})();
