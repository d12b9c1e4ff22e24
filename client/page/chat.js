/** A chat: makes its parts, wires the session client to them, and ends with them. */

import { io } from "socket.io-client";
import { Api } from "../api.js";
import { untilSaid } from "../reach.js";
import { SessionClient } from "../session.js";
import { Acts } from "./acts.js";
import { Attachments } from "./attachments.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { draw } from "./draw.js";
import { beside, h } from "./element.js";
import { Following } from "./following.js";
import { frame } from "./frame.js";
import { PeopleLine } from "./people.js";
import { SessionList } from "./session-list.js";
import { sidebar, theme } from "./sidebar.js";
import { direction, language, problem, words } from "./words.js";

/**
 * @typedef {object} Place  what a chat is told of where it stands
 * @property {typeof import("./address.js")} address  the server, and what names the session there
 * @property {string} name  of the whole; a session without a title has it
 * @property {(title: string) => void} [titled]  another title is shown
 * @property {Node | string} [logo]
 * @property {HTMLElement} themed  wears `data-theme`, the language and its direction
 * @property {EventTarget} keys  where keys are heard
 * @property {boolean} whole  whether it is all of the document
 * @property {boolean} autofocus  whether one types at once
 * @property {import("../storage.js").Keep} local  what the browser keeps of the user
 * @property {import("../storage.js").Keep} tab  what this tab keeps of the session
 * @property {URLSearchParams | null} [landing]  what a link or a provider brought along that signs in
 * @property {(empty?: boolean) => void} again  begin anew, as nobody is signed in any more; empty: with no session
 * @property {boolean} [returns]  without an address it goes on where this tab was
 * @property {boolean} [leaves]  whether one may leave it for a provider, and come back
 * @property {() => string | Promise<string>} [token]  of a sign-in that is not the chat's own
 * @property {(error: Error) => void} [failed]  told of what the chat shows as an error
 *
 * @typedef {object} Page  the parts of a chat, and what it knows beside the client
 */

/**
 * Fill a container with a chat.
 * @param {Document | ShadowRoot} root  which the container is in
 * @param {HTMLElement} container
 * @param {Place} place
 * @returns {{client: SessionClient, acts: Acts, composer: Composer, close: () => void}} `close` ends all of it
 */
export function chat(root, container, place) {
  const { address, local, tab } = place;
  const server = address.root;
  const $ = (id) => root.getElementById(id);
  const over = new AbortController();
  const { signal } = over;
  place.themed.lang = language;
  place.themed.dir = direction;
  container.dataset.view = "session"; // until it is known
  container.replaceChildren(...frame(place.whole, place.logo));

  const page = {
    $, container, place,
    info: {}, // what the server says of itself, once it does
    silence: "", // why it does not yet
    user: null, // who signed in, where the server wants that
    asking: false, // for email and password
    lasting: () => local.lasting && tab.lasting, // whether the browser stores things
    people: new PeopleLine($("people")),
    current: () => client.state.session_id ?? (acts.moving ? client.place.session_id : undefined), // the session
    title: "", // what it is called
    schedule,
  };

  const client = (page.client = new SessionClient({
    io, storage: local, tab, window,
    url: server.origin,
    options: { path: new URL("socket.io/", server).pathname },
    info: introduced(),
    token: () => (page.user ? page.user.token() : place.token?.()),
  }));
  const api = (page.api = new Api(new URL("api/", server).href, () => client.bearer()));
  const acts = (page.acts = new Acts(page));
  const attempt = (promise) => acts.attempt(promise);

  /** Know the server, and where it wants a Supabase user, have one. */
  async function introduced() {
    const missed = (error) => {
      page.silence = error ? words("trying", { why: problem(error) }) : words("silent");
      schedule();
    };
    page.info = await untilSaid(new URL("api/info", server), missed, signal);
    page.silence = "";
    schedule();
    const { suggestions = [], sign_in, models = [] } = page.info;
    $("models").replaceChildren(...models.map((name) => h("option", {}, name)));
    $("suggestions").hidden = !suggestions.length;
    $("suggestions").replaceChildren(...suggestions.map(suggestion));
    if (sign_in && !place.token) await signedIn(sign_in);
    return page.info;
  }

  const suggestion = (text, index, all) =>
    h("li", {}, h("button", { type: "button", dir: "auto", onclick: () => composer.suggest(text, all) }, text));

  async function signedIn(project) {
    const [{ SignIn }, { askForPassword, askToSignIn }] = await Promise.all([import("../sign-in.js"), import("./sign-in-form.js")]);
    const someone = new SignIn({ ...project, storage: local, lost: () => place.again() });
    let why;
    const came = place.landing && (await someone.arrive(place.landing).catch((error) => void (why = problem(error))));
    const forPassword = came === "recovery" || came === "invite";
    page.asking = !someone.user || forPassword;
    draw(page); // the form can have the focus
    if (forPassword) await askForPassword($("sign-in"), someone);
    else if (page.asking) await askToSignIn($("sign-in"), someone, { back: server.href, leaves: place.leaves ?? false, why });
    const asked = page.asking;
    page.asking = false;
    page.user = someone;
    $("sign-out").hidden = false;
    page.list.refresh();
    draw(page);
    if (asked) composer.focus(); // the form is gone
  }

  // ------------------------------------------------------------------ parts

  const messages = {
    continue: (run_id) => attempt(client.continue(run_id)),
    regenerate: (run_id) => attempt(client.regenerate(run_id)),
    replace: (replaces, text, files) => attempt(client.send(text, { replaces, files })),
    select: (message_id) => attempt(client.select(message_id)),
    rate: (message_id, value, comment) => attempt(client.rate(message_id, value, comment)),
    fork: (message_id) => attempt(acts.fork(message_id)),
    approve: (...decision) => attempt(acts.approve(...decision)),
    save: (call) => attempt(acts.save(call)),
    retry: (id) => client.retry(id),
    drop: (id) => client.drop(id),
    edit: (entry) => {
      composer.edit(entry.text);
      attachments.restore(entry.options?.files ?? []);
      client.drop(entry.client_msg_id);
    },
  };

  const waiting = {
    edit: (run_id, text) => attempt(client.queue({ edit: { run_id, text } })),
    now: (run_id) => attempt(acts.sendNow(run_id)),
    drop: (run_id) => attempt(client.queue({ drop: { run_id } })),
    rescue: (text) => composer.edit(text), // what was written, and has no place any more
    left: () => (matchMedia("(hover: none)").matches ? $("scroll").focus({ preventScroll: true }) : composer.focus()), // no keyboard comes up
  };

  const sharing = lazy(async () => {
    const { SharePanel } = await import("./share-panel.js");
    return new SharePanel($("share-panel"), $("copy-link"), client, { attempt, toast: (said) => acts.toast(said), tab, server });
  });

  const regions = lazy(() => import("./regions.js"));

  const menu = lazy(async () => {
    const { sessionMenu } = await import("./session-menu.js");
    return sessionMenu(client, {
      container,
      command: (work) => acts.command(work),
      share: async (session_id) => {
        await acts.open(session_id);
        if (client.state.session_id === session_id) attempt(sharing().then((panel) => panel.open()));
      },
      save: (session, title) => acts.export(session, title),
      deleted: (session_id) => session_id === address.named() && acts.open(null),
    });
  });

  page.side = sidebar($, container, {
    keys: place.keys,
    search: (q) => page.list.want(q ? { q } : {}),
    archived: (archived) => page.list.want(archived ? { archived } : {}),
    signal,
  });
  page.list = new SessionList($("past-sessions"), $("no-past"), {
    sessions: (wanted) => api.sessions(wanted),
    current: page.current,
    title: () => page.title,
    address: address.addressOf,
    chosen: (session_id) => acts.open(session_id),
    otherwise: $("start-session"),
    menu: (...session) => attempt(menu().then((open) => open(...session))),
    changed: schedule,
  });
  const attachments = (page.attachments = new Attachments($("attached"), $("files"), container, {
    upload: (file, options) => {
      acts.begin();
      return client.upload(file, options);
    },
    url: (file_id) => client.fileUrl(file_id),
    storage: tab,
    most: () => page.info.limits?.file_bytes || Infinity,
    failed: (why) => acts.toast(why),
    changed: schedule,
  }));
  const composer = (page.composer = new Composer($("composer"), $("message-box"), tab, {
    send: (message) => acts.send(message),
    attached: () => ({ count: attachments.files.length, busy: attachments.busy }),
    most: () => page.info.limits?.text_bytes ?? Infinity,
    count: $("count"),
    changed: schedule,
  }));
  page.conversation = new Conversation($, client, messages, waiting);
  page.following = new Following($("scroll"), container, $("transcript"), $("newest"));

  // ---------------------------------------------------------------- drawing

  /** Draw once a frame, in a task of its own: the browser lays out and paints in another one. */
  function schedule() {
    if (page.due) return;
    page.due = true;
    requestAnimationFrame(() => setTimeout(() => {
      page.due = false;
      if (!signal.aborted) draw(page);
    }));
  }

  let was;
  client.subscribe(({ connection }) => {
    if (connection !== was && ["live", "error"].includes(connection)) page.list.refresh(); // nobody told us what changed, or will
    was = connection;
    schedule();
  });
  client.onList((change) => {
    page.list.take(change);
    for (const session_id of change.deleted) [composer, attachments].forEach((one) => one.forget(session_id));
  });

  $("sign-out").addEventListener("click", async () => {
    client.close();
    await page.user.leave();
    tab.clear();
    place.again(true);
  });
  addEventListener("storage", () => page.user && !page.user.user && place.again(), { signal }); // signed out in another tab
  for (const id of ["start-session", "start-another"]) $(id).addEventListener("click", () => acts.open(null));
  $("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address stays the session's
    composer.focus();
  });
  $("models").addEventListener("change", () => acts.choose());
  $("stop").addEventListener("click", () => {
    attempt(acts.stop());
    composer.focus(); // the button goes
  });
  $("attach").addEventListener("click", () => $("files").click());
  $("copy-link").addEventListener("click", () => attempt(sharing().then((panel) => panel.toggle())));
  $("end-session").addEventListener("click", () => {
    $("details").hidePopover(); // and the focus is where it was
    attempt(client.end());
  });
  $("details").addEventListener("toggle", ({ newState }) => newState === "open" && beside($("details"), $("more")));
  $("name").value = client.identity.name;
  $("name").addEventListener("change", ({ target }) => attempt(client.rename(target.value)));
  $("earlier").addEventListener("click", () => attempt(client.history()));
  place.keys.addEventListener("keydown", (event) => {
    if (event.key !== "F6" || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    attempt(regions().then(({ onward }) => onward($, event.shiftKey)));
  }, { signal });
  document.addEventListener("visibilitychange", () => document.hidden || page.list.refresh(), { signal });

  theme($("theme"), local, place.themed);
  page.list.refresh();
  acts.arrive(true);
  schedule();
  return {
    client, acts, composer,
    close() {
      over.abort();
      client.close();
      attachments.follow(null);
    },
  };
}

/**
 * A part that is loaded when it is first needed.
 * @template Part
 * @param {() => Promise<Part>} load
 * @returns {() => Promise<Part>} the one part; loaded anew where that failed
 */
function lazy(load) {
  let part = null;
  return () => (part ??= load().catch((error) => {
    part = null;
    throw Object.assign(error, { code: "unreachable" });
  }));
}
