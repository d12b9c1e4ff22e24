/** The page: wires the session client to the elements of index.html. */

import { io } from "socket.io-client";
import { Api } from "./api.js";
import { follow, named, root, takeInvitation } from "./page/address.js";
import { Announcer } from "./page/announcer.js";
import { Attachments } from "./page/attachments.js";
import { Composer } from "./page/composer.js";
import { $, text } from "./page/element.js";
import { Following } from "./page/following.js";
import { lasting, summaryLine } from "./page/format.js";
import { PeopleLine, headcount, inWords } from "./page/people.js";
import { QueueView } from "./page/queue-view.js";
import { SessionList, titleOf } from "./page/session-list.js";
import { sessionMenu } from "./page/session-menu.js";
import { SharePanel } from "./page/share-panel.js";
import { sidebar } from "./page/sidebar.js";
import { suggest } from "./page/suggestions.js";
import { theme } from "./page/theme.js";
import { Transcript } from "./page/transcript.js";
import { CONNECTION, banner, modelLine, trouble } from "./page/wording.js";
import { untilSaid } from "./reach.js";
import { activeRun, queued } from "./reducer.js";
import { SessionClient } from "./session.js";
import { Keep } from "./storage.js";

const local = new Keep(() => localStorage);
const tab = new Keep(() => sessionStorage);

let info = {}; // what the server says of itself, once it does
let silence = ""; // why it does not yet
let user = null; // who signed in, where the server wants that
let asking = false; // for email and password
let moving = 0; // to another session: the address stays until it is there
let due = false; // a drawing
let wasLive = false;

const options = { path: new URL("socket.io/", root).pathname };
const client = new SessionClient({
  io, storage: local, tab, window, options, info: introduced(), token: () => user?.token(),
});

/** Know the server, and where it wants a Supabase user, have one. */
async function introduced() {
  info = await untilSaid(new URL("api/info", root), missed);
  missed("");
  suggest($("suggestions"), info.suggestions ?? [], (text) => composer.edit(text));
  if (info.sign_in) await signedIn(info.sign_in);
  return info;
}

function missed(why) {
  silence = why;
  schedule();
}

const reload = () => location.reload();

async function signedIn(project) {
  const [{ SignIn }, { askToSignIn }] = await Promise.all([import("./sign-in.js"), import("./page/sign-in-form.js")]);
  const someone = new SignIn({ ...project, storage: local, lost: reload });
  asking = !someone.user;
  schedule();
  if (asking) await askToSignIn($("sign-in"), someone);
  asking = false;
  user = someone;
  $("sign-out").hidden = false;
  $("user").textContent = user.user.email;
  list.refresh();
  schedule();
}

const api = new Api(new URL("api/", root).href, () => client.bearer());

const transcript = new Transcript($("transcript"), {
  continue: (run_id) => attempt(client.continue(run_id)),
  regenerate: (run_id) => attempt(client.regenerate(run_id)),
  replace: (replaces, text) => attempt(client.send(text, { replaces })),
  select: (message_id) => attempt(client.select(message_id)),
  rate: (message_id, value) => attempt(client.rate(message_id, value)),
  approve: (...decision) => attempt(approve(...decision)),
  save: (call) => attempt(save(call)),
  retry: (id) => client.retry(id),
  drop: (id) => client.drop(id),
  edit: (entry) => {
    composer.edit(entry.text);
    attachments.restore(entry.options?.files ?? []);
    client.drop(entry.client_msg_id);
  },
}, (file_id) => client.fileUrl(file_id));

const side = sidebar($("sidebar"), {
  search: (q) => list.want(q ? { q } : {}),
  archived: (archived) => list.want(archived ? { archived } : {}),
});
const menu = sessionMenu(client, {
  command: (work) => attempt(connected().then(work)),
  share: (session_id) => open(session_id).then(() => client.state.session_id === session_id && sharing.open()),
  save: async ({ session_id }) => download(await api.markdown(session_id), "conversation.md"),
  deleted: (session_id) => session_id === named() && open(null),
});
const list = new SessionList($("past-sessions"), $("no-past"), {
  sessions: (wanted) => api.sessions(wanted),
  current: () => client.state.session_id,
  chosen: (session_id) => open(session_id),
  menu,
  changed: schedule,
});

const peopleLine = new PeopleLine($("people"));
const announcer = new Announcer($("announcer"));
const sharing = new SharePanel(client, { attempt, toast, say: (words) => announcer.say(words) });
const attachments = new Attachments($("attached"), $("files"), $("main"), {
  upload: (file, options) => {
    begin();
    return client.upload(file, options);
  },
  url: (file_id) => client.fileUrl(file_id),
  failed: toast,
  changed: schedule,
});
const composer = new Composer($("composer"), $("message-box"), tab, {
  send,
  attached: () => ({ count: attachments.files.length, busy: attachments.busy }),
  changed: schedule,
});

const following = new Following($("scroll"), $("transcript"), $("newest"));
const queue = new QueueView($("queue"), {
  edit: (run_id, text) => attempt(client.queue({ edit: { run_id, text } })),
  now: (run_id) => attempt(sendNow(run_id)),
  drop: (run_id) => attempt(client.queue({ drop: { run_id } })),
  left: () => composer.focus(),
});

// ------------------------------------------------------------------ drawing

function schedule() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw();
  });
}

function draw() {
  const { state, connection, devices, error } = client;
  const { body } = document;
  const lost = connection === "error" && !state.session_id;
  const said = Boolean(state.runs.length || client.pending.length || state.ended);
  const fresh = !said && (lost || !named());
  body.dataset.view = asking ? "sign-in" : fresh ? "new" : "session";
  body.dataset.access = client.access;
  if (!moving && state.session_id) follow(said || client.access !== "owner" ? state.session_id : null);
  text($("title"), titleHere(state, said));
  document.title = said ? $("title").textContent : NAME;

  text($("connection-state"), CONNECTION[connection]);
  $("connection-state").dataset.state = connection;
  text($("trouble"), lost ? trouble(error, Boolean(user)) : "");
  const stored = local.lasting && tab.lasting;
  text($("banner"), banner(client, { silence, lasting: stored, signedIn: Boolean(user), model: info.model?.name }));
  text($("model"), modelLine(client.model, info.model));

  text($("session-id"), state.session_id ?? "");
  text($("devices"), devices > 1 ? `Open on ${devices} devices` : "");
  peopleLine.draw(client.people, state.user_id, client.user_id);
  $("name-row").hidden = Boolean(user) || !client.identity.guest || headcount(state, client.people) < 2;
  const usable = connection === "live" && Boolean(state.session_id);
  sharing.draw(usable);
  $("more").hidden = !state.session_id;
  $("end-session").disabled = !usable || Boolean(state.ended);
  $("message-box").disabled = connection === "error";
  const run = activeRun(state);
  $("stop").hidden = !run;
  $("stop").disabled = !usable;
  attachments.follow(state.session_id);
  $("attach").hidden = info.limits?.file_bytes === 0;
  $("attach").disabled = !usable && connection !== "offline";
  $("send").disabled = !composer.ready;
  queue.update(queued(state));
  following.keep(() => {
    $("earlier").hidden = !state.next_before_seq;
    transcript.update(state, client);
    ending(state.ended, state.summary);
  }, state.last_seq);
  announcer.update(state);
  if (connection === "live" && !wasLive) list.refresh(); // what changed while nobody could tell us
  wasLive = connection === "live";
  list.draw();
}

const NAME = document.title;

/** Of a session without a title, the beginning of what was asked first. */
function titleHere({ session_id, title, runs }, said) {
  const row = list.row(session_id);
  const name = title ?? (row && titleOf(row)) ?? runs[0]?.user?.text;
  return (said && name?.slice(0, 120)) || NAME;
}

function ending(ended, summary) {
  $("ending").hidden = !ended;
  if (!ended) return;
  text($("ending-title"), `Session ended after ${lasting(ended.duration_seconds ?? 0)}`);
  text($("ending-summary"), summaryLine(summary));
}

// ------------------------------------------------------------------ actions

/** Say what went wrong, where it does. */
async function attempt(promise) {
  try {
    return await promise;
  } catch (error) {
    toast(error.message);
  }
}

let toastTimer;
function toast(message) {
  text($("toast"), message);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => text($("toast"), ""), 6000);
}

/** Go to a session, or to a new one. @param {string | null} session_id @param {string} [share] */
async function open(session_id, share) {
  moving += 1;
  following.resume();
  side.close();
  const there = session_id ? client.open(session_id, share) : client.create();
  schedule();
  await attempt(there);
  moving -= 1;
  schedule();
  composer.focus();
}

/** Have a session for what is said or uploaded now. */
function begin() {
  if (client.connection === "offline") open(null);
}

/** A connection, for commands on the list. */
const connected = async () => client.connection === "offline" && client.create();

/** Where the address leads. What was said before a session had one goes to a new one. */
function arrive() {
  takeInvitation();
  const session_id = named();
  if (session_id) open(session_id, history.state?.share ?? undefined);
  else if (client.pending.length || client.connection !== "offline") open(null);
  else composer.focus();
}

/** @returns {boolean} whether the client has taken the message */
function send(message) {
  try {
    client.send(message, { files: attachments.files });
  } catch (error) {
    toast(`The message was not sent: ${error.message}`);
    return false;
  }
  begin();
  attachments.clear();
  following.resume();
  return true;
}

/** Answer a message that waits at once, in place of what is answered now. */
async function sendNow(run_id) {
  const run = activeRun(client.state);
  const [first] = queued(client.state);
  if (first && first.run_id !== run_id) await client.queue({ move: { run_id, before: first.run_id } });
  if (run) await client.stop(run.run_id);
}

async function approve(tool_call_id, decision, reason, edited) {
  try {
    await client.approve(tool_call_id, decision, reason, edited && asObject(edited));
  } catch (error) {
    if (error.code !== "already_resolved") throw error;
    const who = inWords(error.decided_by, client.state.user_id, client.user_id);
    throw new Error(`It was ${error.decision === "deny" ? "denied" : "approved"} already, by ${who}.`);
  }
}

function asObject(json) {
  try {
    return JSON.parse(json);
  } catch {
    throw new Error("The arguments are not JSON.");
  }
}

/** A result that is too long for the conversation, as a file. */
async function save({ name, output_ref }) {
  const whole = await api.output(client.state.session_id, output_ref).catch((error) => {
    throw new Error(`The result cannot be read. ${error.message}`);
  });
  download(whole, `${name}.${whole.type.includes("json") ? "json" : "txt"}`);
}

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

$("sign-out").addEventListener("click", async () => {
  client.close();
  await user.leave();
  tab.clear();
  location.assign(root);
});
addEventListener("storage", () => user && !user.user && reload()); // signed out in another tab
$("start-session").addEventListener("click", () => open(null));
$("stop").addEventListener("click", () => {
  attempt(client.stop(activeRun(client.state)?.run_id));
  composer.focus(); // the button goes
});
$("attach").addEventListener("click", () => $("files").click());
$("end-session").addEventListener("click", () => attempt(client.end()));
$("name").value = client.identity.name;
$("name").addEventListener("change", ({ target }) => attempt(client.rename(target.value)));
$("earlier").addEventListener("click", () => attempt(client.history()));
addEventListener("hashchange", () => location.hash.startsWith("#session=") && arrive());
addEventListener("popstate", () => location.hash || arrive());
document.addEventListener("visibilitychange", () => document.hidden || list.refresh());

theme($("theme"), local);
client.subscribe(schedule);
client.onList((change) => list.take(change));
$("start-session").disabled = false; // from here on no click is lost
list.refresh();
arrive();
schedule();
