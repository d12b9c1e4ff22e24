/** The page: wires the session client to the elements of index.html. */

import { io } from "socket.io-client";
import { Api } from "./api.js";
import { Announcer } from "./page/announcer.js";
import { Attachments } from "./page/attachments.js";
import { Composer } from "./page/composer.js";
import { $, text } from "./page/element.js";
import { Following } from "./page/following.js";
import { lasting, summaryLine, when } from "./page/format.js";
import { PastSessions } from "./page/past.js";
import { PeopleLine, headcount, inWords } from "./page/people.js";
import { QueueView } from "./page/queue-view.js";
import { SharePanel } from "./page/share-panel.js";
import { askToSignIn } from "./page/sign-in-form.js";
import { Transcript } from "./page/transcript.js";
import { CONNECTION, banner, modelLine, trouble } from "./page/wording.js";
import { untilSaid } from "./reach.js";
import { activeRun, queued } from "./reducer.js";
import { SessionClient } from "./session.js";
import { SignIn } from "./sign-in.js";
import { Keep } from "./storage.js";

const local = new Keep(() => localStorage);
const tab = new Keep(() => sessionStorage);

let info = {}; // what the server says of itself, once it does
let silence = ""; // why it does not yet
let user = null; // who signed in, where the server wants that
let asking = false; // for email and password
let viewing = null; // the past session that is read now
let due = false; // a drawing
let listed = { session_id: null, ended: null, live: false }; // what the list of past sessions follows

// the page may be mounted under a prefix
const options = { path: new URL("./socket.io/", location.href).pathname };
const client = new SessionClient({
  io, storage: local, tab, window, options, info: introduced(), token: () => user?.token(),
});

/** Know the server, and where it wants a Supabase user, have one. */
async function introduced() {
  info = await untilSaid("./api/info", missed);
  missed("");
  if (info.sign_in) await signedIn(info.sign_in);
  return info;
}

function missed(why) {
  silence = why;
  schedule();
}

const reload = () => location.reload();

async function signedIn(project) {
  const someone = new SignIn({ ...project, storage: local, lost: reload });
  asking = !someone.user;
  schedule();
  if (asking) await askToSignIn($("sign-in"), someone);
  asking = false;
  user = someone;
  $("who").hidden = false;
  $("user").textContent = user.user.email;
  past.refresh();
  schedule();
}

const api = new Api("./api/", () => client.bearer());

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

const past = new PastSessions($("past-sessions"), $("no-past"), {
  sessions: (wanted) => api.sessions(wanted),
  current: () => (client.state.ended ? null : client.state.session_id),
  chosen: (session) => attempt(view(session)),
});

const peopleLine = new PeopleLine($("people"));
const announcer = new Announcer($("announcer"));
const sharing = new SharePanel(client, { attempt, toast, say: (words) => announcer.say(words) });
const attachments = new Attachments($("attached"), $("files"), $("main"), {
  upload: (file, options) => client.upload(file, options),
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
  const started = connection !== "offline" || Boolean(state.session_id);
  const lost = connection === "error" && !state.session_id;
  document.body.dataset.view = asking ? "sign-in" : viewing ? "past" : started && !lost ? "session" : "welcome";
  const start = started && !lost ? $("start-slot") : $("welcome");
  if ($("start-session").parentNode !== start) start.insertBefore($("start-session"), lost ? $("trouble") : null);

  $("connection-state").textContent = CONNECTION[connection];
  $("connection-state").dataset.state = connection;
  text($("trouble"), lost ? trouble(error, Boolean(user)) : "");
  const stored = local.lasting && tab.lasting;
  text($("banner"), banner(client, { silence, lasting: stored, signedIn: Boolean(user), model: info.model?.name }));
  text($("model"), modelLine(client.model, info.model));

  text($("session-id"), state.session_id ?? "");
  text($("devices"), devices > 1 ? `· ${devices} devices` : "");
  peopleLine.draw(client.people, state.user_id, client.user_id);
  $("name").hidden = Boolean(user) || !client.identity.guest || headcount(state, client.people) < 2;
  document.body.dataset.access = client.access;
  const usable = connection === "live" && Boolean(state.session_id);
  sharing.draw(usable);
  $("end-session").disabled = !usable || Boolean(state.ended);
  $("message-box").disabled = connection === "error";
  const run = activeRun(state);
  $("stop").hidden = !run;
  $("stop").disabled = !usable;
  attachments.follow(state.session_id);
  $("attach").disabled = !usable;
  $("send").disabled = !composer.ready;
  queue.update(queued(state));
  following.keep(() => {
    $("earlier").hidden = !state.next_before_seq;
    $("empty").hidden = state.runs.length + client.pending.length > 0;
    transcript.update(state, client);
    if (!viewing) ending(state.ended, state.summary);
  }, state.last_seq);
  announcer.update(state);
  refreshPast(state);
}

function ending(ended, summary) {
  $("ending").hidden = !ended;
  if (!ended) return;
  text($("ending-title"), `Session ended after ${lasting(ended.duration_seconds ?? 0)}`);
  text($("ending-summary"), summaryLine(summary));
  $("ending-hint").hidden = Boolean(viewing);
}

/** The session on the page is in the list once it has ended. */
function refreshPast({ session_id, ended }) {
  const before = listed;
  const live = client.connection === "live";
  listed = { session_id, ended, live };
  if (live && !before.live) past.refresh(); // what changed while nobody could tell us
  else if (Object.keys(listed).some((key) => listed[key] !== before[key])) past.draw();
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

async function start() {
  viewing = null;
  const begun = client.create();
  following.resume();
  schedule();
  await attempt(begun);
  composer.focus();
}

/** @returns {boolean} whether the client has taken the message */
function send(message) {
  try {
    client.send(message, { files: attachments.files });
  } catch (error) {
    toast(`The message was not sent: ${error.message}`);
    return false;
  }
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
  const link = document.createElement("a");
  link.href = URL.createObjectURL(whole);
  link.download = `${name}.${whole.type.includes("json") ? "json" : "txt"}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

async function view(session) {
  const state = await api.read(session.session_id);
  viewing = session;
  $("past-transcript").replaceChildren();
  const url = (file_id) => client.files.url(session.session_id, file_id);
  new Transcript($("past-transcript"), undefined, url).update(state);
  text($("viewing-date"), when(session.start_time));
  ending(state.ended ?? (session.end_time ? session : null), state.summary);
  if (matchMedia("(max-width: 48rem)").matches) $("past").open = false;
  following.pause();
  draw();
  $("scroll").scrollTop = 0;
  $("scroll").focus();
}

function back() {
  viewing = null;
  following.resume();
  draw();
}

async function reopen() {
  const { session_id } = viewing;
  viewing = null;
  if (session_id !== client.state.session_id) await client.open(session_id);
  following.resume();
  schedule();
  composer.focus();
}

/** `#session=<id>&share=<token>`, taken out of the address, so that nobody copies it by accident. */
function invitation() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const session_id = fragment.get("session");
  if (!session_id) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return client.open(session_id, fragment.get("share") ?? undefined);
}

$("sign-out").addEventListener("click", async () => {
  client.close();
  await user.leave();
  tab.clear();
  location.reload();
});
addEventListener("storage", () => user && !user.user && reload()); // signed out in another tab
$("start-session").addEventListener("click", start);
$("stop").addEventListener("click", () => {
  attempt(client.stop(activeRun(client.state)?.run_id));
  composer.focus(); // the button goes
});
$("attach").addEventListener("click", () => $("files").click());
$("end-session").addEventListener("click", () => attempt(client.end()));
$("name").value = client.identity.name;
$("name").addEventListener("change", ({ target }) => attempt(client.rename(target.value)));
$("earlier").addEventListener("click", () => attempt(client.history()));
$("back").addEventListener("click", back);
$("reopen").addEventListener("click", () => attempt(reopen()));
addEventListener("hashchange", () => attempt(invitation() ?? Promise.resolve()));
document.addEventListener("visibilitychange", () => document.hidden || past.refresh());

client.subscribe(schedule);
client.onList((change) => past.take(change));
$("start-session").disabled = false; // from here on no click is lost
if (matchMedia("(max-width: 48rem)").matches) $("past").open = false;
attempt(invitation() ?? (client.stored ? client.connect() : past.refresh()));
schedule();
