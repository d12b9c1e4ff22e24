/** The page: wires the session client to the elements of index.html. */

import { io } from "socket.io-client";
import { Api } from "./api.js";
import { Acts } from "./page/acts.js";
import { named, root } from "./page/address.js";
import { Attachments } from "./page/attachments.js";
import { Composer } from "./page/composer.js";
import { Conversation } from "./page/conversation.js";
import { draw } from "./page/draw.js";
import { $, h } from "./page/element.js";
import { Following } from "./page/following.js";
import { SessionList } from "./page/session-list.js";
import { sidebar, theme } from "./page/sidebar.js";
import { fill, language, problem, words } from "./page/words.js";
import { untilSaid } from "./reach.js";
import { SessionClient } from "./session.js";
import { Keep } from "./storage.js";

document.documentElement.lang = language;
fill(document);

const local = new Keep(() => localStorage);
const tab = new Keep(() => sessionStorage);

/**
 * The parts of the page, and what it knows beside the client.
 * @typedef {typeof page} Page
 */
const page = {
  info: {}, // what the server says of itself, once it does
  silence: "", // why it does not yet
  user: null, // who signed in, where the server wants that
  asking: false, // for email and password
  lasting: () => local.lasting && tab.lasting, // whether the browser stores things
  schedule,
};

const client = (page.client = new SessionClient({
  io, storage: local, tab, window,
  options: { path: new URL("socket.io/", root).pathname },
  info: introduced(),
  token: () => page.user?.token(),
}));
const api = (page.api = new Api(new URL("api/", root).href, () => client.bearer()));
const acts = (page.acts = new Acts(page));
const attempt = (promise) => acts.attempt(promise);

/** Know the server, and where it wants a Supabase user, have one. */
async function introduced() {
  page.info = await untilSaid(new URL("api/info", root), (error) => {
    missed(error ? words("trying", { why: problem(error) }) : words("silent"));
  });
  missed("");
  const { suggestions = [], sign_in, models = [] } = page.info;
  $("models").replaceChildren(...models.map((name) => h("option", {}, name)));
  $("suggestions").hidden = !suggestions.length;
  $("suggestions").replaceChildren(...suggestions.map(suggestion));
  if (sign_in) await signedIn(sign_in);
  return page.info;
}

const suggestion = (text) =>
  h("li", {}, h("button", { type: "button", dir: "auto", onclick: () => page.composer.edit(text) }, text));

function missed(why) {
  page.silence = why;
  schedule();
}

const reload = () => location.reload();

async function signedIn(project) {
  const [{ SignIn }, { askToSignIn }] = await Promise.all([import("./sign-in.js"), import("./page/sign-in-form.js")]);
  const someone = new SignIn({ ...project, storage: local, lost: reload });
  page.asking = !someone.user;
  schedule();
  if (page.asking) await askToSignIn($("sign-in"), someone);
  page.asking = false;
  page.user = someone;
  $("sign-out").hidden = false;
  $("user").textContent = someone.user.email;
  page.list.refresh();
  schedule();
}

// -------------------------------------------------------------------- parts

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

const messages = {
  continue: (run_id) => attempt(client.continue(run_id)),
  regenerate: (run_id) => attempt(client.regenerate(run_id)),
  replace: (replaces, text) => attempt(client.send(text, { replaces })),
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
  left: () => composer.focus(),
};

const sharing = lazy(async () => {
  const { SharePanel } = await import("./page/share-panel.js");
  return new SharePanel(client, { attempt, toast: (said) => acts.toast(said), tab });
});

const regions = lazy(() => import("./page/regions.js"));

const menu = lazy(async () => {
  const { sessionMenu } = await import("./page/session-menu.js");
  return sessionMenu(client, {
    command: (work) => acts.command(work),
    share: async (session_id) => {
      await acts.open(session_id);
      if (client.state.session_id === session_id) attempt(sharing().then((panel) => panel.open()));
    },
    save: (session) => acts.export(session),
    deleted: (session_id) => session_id === named() && acts.open(null),
  });
});

page.side = sidebar($("sidebar"), {
  search: (q) => page.list.want(q ? { q } : {}),
  archived: (archived) => page.list.want(archived ? { archived } : {}),
});
page.list = new SessionList($("past-sessions"), $("no-past"), {
  sessions: (wanted) => api.sessions(wanted),
  current: () => client.state.session_id,
  chosen: (session_id) => acts.open(session_id),
  menu: (...session) => attempt(menu().then((open) => open(...session))),
  changed: schedule,
});
const attachments = (page.attachments = new Attachments($("attached"), $("files"), $("main"), {
  upload: (file, options) => {
    acts.begin();
    return client.upload(file, options);
  },
  url: (file_id) => client.fileUrl(file_id),
  failed: (why) => acts.toast(why),
  changed: schedule,
}));
const composer = (page.composer = new Composer($("composer"), $("message-box"), tab, {
  send: (message) => acts.send(message),
  attached: () => ({ count: attachments.files.length, busy: attachments.busy }),
  most: () => page.info.limits?.text_bytes ?? Infinity,
  changed: schedule,
}));
page.conversation = new Conversation(client, messages, waiting);
page.following = new Following($("scroll"), $("transcript"), $("newest"));

// ------------------------------------------------------------------ drawing

/** Draw once a frame, in a task of its own: the browser lays out and paints in another one. */
function schedule() {
  if (schedule.due) return;
  schedule.due = true;
  requestAnimationFrame(() => setTimeout(() => {
    schedule.due = false;
    draw(page);
  }));
}

let wasLive = false;
client.subscribe(({ connection }) => {
  if (connection === "live" && !wasLive) page.list.refresh(); // what changed while nobody could tell us
  wasLive = connection === "live";
  schedule();
});
client.onList((change) => {
  page.list.take(change);
  change.deleted.forEach((session_id) => composer.forget(session_id));
});

$("sign-out").addEventListener("click", async () => {
  client.close();
  await page.user.leave();
  tab.clear();
  location.assign(root);
});
addEventListener("storage", () => page.user && !page.user.user && reload()); // signed out in another tab
$("start-session").addEventListener("click", () => acts.open(null));
$("models").addEventListener("change", () => acts.choose());
$("stop").addEventListener("click", () => {
  attempt(acts.stop());
  composer.focus(); // the button goes
});
$("attach").addEventListener("click", () => $("files").click());
$("copy-link").addEventListener("click", () => attempt(sharing().then((panel) => panel.toggle())));
$("end-session").addEventListener("click", () => attempt(client.end()));
$("name").value = client.identity.name;
$("name").addEventListener("change", ({ target }) => attempt(client.rename(target.value)));
$("earlier").addEventListener("click", () => attempt(client.history()));
addEventListener("hashchange", () => location.hash.startsWith("#session=") && acts.arrive());
addEventListener("popstate", () => location.hash || acts.arrive());
addEventListener("keydown", (event) => {
  if (event.key !== "F6" || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  attempt(regions().then(({ onward }) => onward(event.shiftKey)));
});
document.addEventListener("visibilitychange", () => document.hidden || page.list.refresh());

theme($("theme"), local);
$("start-session").disabled = $("message-box").disabled = false; // from here on no click and no key is lost
page.list.refresh();
acts.arrive();
schedule();
