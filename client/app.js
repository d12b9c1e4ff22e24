/** The page: wires the session client to the elements of index.html. */

import { io } from "socket.io-client";
import { lasting, summaryLine, when } from "./format.js";
import { PastSessions } from "./past.js";
import { untilSaid } from "./reach.js";
import { activeRun } from "./reducer.js";
import { SessionClient } from "./session.js";
import { filled } from "./sign-in-form.js";
import { SignIn } from "./sign-in.js";
import { Keep } from "./storage.js";
import { Transcript, inWords } from "./transcript.js";

const $ = (id) => document.getElementById(id);

const DRAFT = "realtime.draft";
const DRAFT_LENGTH = 100_000; // one that is longer could fill the storage of all the others
const local = new Keep(() => localStorage);
const tab = new Keep(() => sessionStorage);

let info = {}; // what the server says of itself, once it does
let silence = ""; // why it does not yet
let user = null; // who signed in, where the server wants that
let asking = false; // for email and password

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

const lost = () => location.reload();
async function signedIn(project) {
  const someone = new SignIn({ ...project, storage: local, lost });
  asking = !someone.user;
  schedule();
  if (asking) await filled($("sign-in"), someone);
  asking = false;
  user = someone;
  $("who").hidden = false;
  $("user").textContent = user.user.email;
  past.refresh();
  schedule();
}

const transcript = new Transcript($("transcript"), {
  stop: (run_id) => attempt(client.stop(run_id)),
  continue: (run_id) => attempt(client.continue(run_id)),
  approve: (...decision) => attempt(approve(...decision)),
  save: (call) => attempt(save(call)),
  retry: (id) => client.retry(id),
  drop: (id) => client.drop(id),
  edit,
});

const past = new PastSessions($("past-sessions"), $("no-past"), {
  bearer: () => client.bearer(),
  current: () => (client.state.ended ? null : client.state.session_id),
  chosen: (session) => attempt(view(session)),
});

let viewing = null; // the past session that is read now
let following = true; // the reader is at the end, and stays there
let sharing = null; // the session whose link is shown

// ------------------------------------------------------------------ drawing

const CONNECTION = {
  offline: "Not connected",
  connecting: "Connecting…",
  live: "Live",
  error: "Not connected",
};

let due = false;
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
  text($("trouble"), lost ? trouble(error) : "");
  text($("banner"), banner(client));
  text($("model"), modelLine());

  text($("session-id"), state.session_id ?? "");
  text($("devices"), devices > 1 ? `· ${devices} devices` : "");
  document.body.dataset.access = client.access;
  const usable = connection === "live" && Boolean(state.session_id);
  $("copy-link").disabled = !usable;
  $("copy-link").hidden = client.access !== "owner";
  $("share-panel").hidden = !sharing || sharing !== state.session_id;
  $("copy-link").setAttribute("aria-expanded", String(!$("share-panel").hidden));
  $("end-session").disabled = !usable || Boolean(state.ended);
  $("message-box").disabled = connection === "error";
  const run = activeRun(state);
  $("stop").hidden = !run;
  $("stop").disabled = !usable;
  $("send").disabled = !$("message-box").value.trim();
  $("earlier").hidden = !state.next_before_seq;
  $("empty").hidden = state.runs.length + client.pending.length > 0;

  transcript.update(state, client);
  if (!viewing) ending(state.ended, state.summary);
  if (following && !viewing) $("scroll").scrollTop = $("scroll").scrollHeight;
  announce(state);
}

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
  element.hidden = !value;
}

function trouble(error) {
  if (error.code === "not_found") return "That session is not here any more, or it is not yours. Start a new one.";
  if (error.code === "unauthorized" && !user) return "This server wants a sign-in that this page does not know.";
  return error.message;
}

function banner({ connection, notice, error, state, model, access }) {
  if (connection === "error" && state.session_id) return trouble(error);
  if (notice?.type === "draining") return "The server restarts. The connection comes back by itself, and nothing is lost.";
  if (connection === "connecting") {
    const hope = state.session_id ? "Messages are kept and sent when it is back." : "Trying again.";
    if (error) return `${error.message} ${hope}`;
    if (state.session_id) return `The connection is lost. ${hope}`;
  }
  if (silence) return silence;
  if (access === "read") return "You read along. Only who started this session, or was given a link to take part, can write.";
  if (!local.lasting || !tab.lasting) return "This browser stores nothing for this page: after a reload it begins anew, without the sessions so far.";
  if (isDemo(model || info.model?.name)) return "Demonstration model: its answers are scripted, there is no language model behind them.";
  return "";
}

const isDemo = (name = "") => /^demo\b/i.test(name);

function modelLine() {
  const { name, label } = info.model ?? {};
  const used = client.model || name;
  if (!used) return "";
  return `Model: ${used === name && !isDemo(name) ? (label ?? name) : used}`;
}

function ending(ended, summary) {
  $("ending").hidden = !ended;
  if (!ended) return;
  text($("ending-title"), `Session ended after ${lasting(ended.duration_seconds ?? 0)}`);
  text($("ending-summary"), summaryLine(summary));
  $("ending-hint").hidden = Boolean(viewing);
}

/** A screen reader hears an answer once, when it is whole, not word by word. */
const told = { session: null, done: null, asked: null, ended: null, summary: null };
function announce({ session_id, runs, ended, summary }) {
  const done = runs.findLast((run) => run.done) ?? null;
  const news = told.session === session_id && done && told.done !== done.done;
  if (news) $("announcer").textContent = done.message.text.slice(0, 1000) || `The answer ended: ${done.status}`;
  const asked = activeRun({ runs })?.message.parts.findLast(({ call }) => call?.status === "awaiting_approval")?.call;
  if (asked && told.asked !== asked) $("announcer").textContent = `The tool ${asked.name} waits for approval.`;
  if (told.session !== session_id || told.ended !== ended || told.summary !== summary) past.refresh();
  Object.assign(told, { session: session_id, done: done?.done ?? null, asked, ended, summary });
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
  schedule();
  await attempt(begun);
  $("message-box").focus();
}

function send() {
  const box = $("message-box");
  if (!box.value.trim()) return;
  try {
    client.send(box.value);
  } catch (error) {
    return toast(`The message was not sent: ${error.message}`);
  }
  box.value = "";
  following = true;
  fit();
}

/** Take a message that was not sent back into the box. */
function edit({ client_msg_id, text }) {
  const box = $("message-box");
  box.value = [text, box.value].filter(Boolean).join("\n");
  client.drop(client_msg_id);
  fit();
  box.focus();
}

/** As high as its text, within the limit of the style sheet. */
function fit() {
  const box = $("message-box");
  if (box.value && box.value.length <= DRAFT_LENGTH) tab.setItem(DRAFT, box.value); // for a reload
  else tab.removeItem(DRAFT);
  box.rows = Math.min(8, box.value.split("\n").length + Math.floor(box.value.length / 90));
  schedule();
}

async function approve(...decision) {
  try {
    await client.approve(...decision);
  } catch (error) {
    if (error.code !== "already_resolved") throw error;
    const who = inWords(error.decided_by, client.state.user_id, client.user_id);
    throw new Error(`It was ${error.decision === "deny" ? "denied" : "approved"} already, by ${who}.`);
  }
}

/** A result that is too long for the conversation, as a file. */
async function save({ name, output_ref }) {
  const path = `./api/sessions/${client.state.session_id}/outputs/${encodeURIComponent(output_ref)}`;
  const response = await fetch(path, { headers: { authorization: `Bearer ${await client.bearer()}` } });
  if (!response.ok) throw new Error(`The result cannot be read: the server answered ${response.status}.`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  const kind = response.headers.get("content-type")?.includes("json") ? "json" : "txt";
  link.download = `${name}.${kind}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

async function copyLink() {
  const { session_id } = client.state;
  const share = await client.share($("share-access").value);
  const { origin, pathname } = location;
  const link = `${origin}${pathname}#${new URLSearchParams({ session: session_id, share })}`;
  $("share-link").value = link;
  sharing = session_id;
  draw();
  const copied = await navigator.clipboard?.writeText(link).then(() => true, () => false);
  $("announcer").textContent = $("share-label").textContent = copied ? "Link copied" : "Copy this link";
  if (!copied) $("share-link").select();
}

async function unshare() {
  await client.unshare();
  sharing = null;
  draw();
  toast("Every link to this session that was given is void.");
}

async function view(session) {
  const state = await past.read(session);
  viewing = session;
  $("past-transcript").replaceChildren();
  new Transcript($("past-transcript")).update(state);
  text($("viewing-date"), when(session.start_time));
  ending(state.ended ?? (session.end_time ? session : null), state.summary);
  if (matchMedia("(max-width: 48rem)").matches) $("past").open = false;
  draw();
  $("scroll").scrollTop = 0;
  $("scroll").focus();
}

function back() {
  viewing = null;
  following = true;
  draw();
}

async function reopen() {
  const { session_id } = viewing;
  viewing = null;
  if (session_id !== client.state.session_id) await client.open(session_id);
  schedule();
  $("message-box").focus();
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
addEventListener("storage", () => user && !user.user && lost()); // signed out in another tab
$("start-session").addEventListener("click", start);
$("stop").addEventListener("click", () => attempt(client.stop(activeRun(client.state)?.run_id)));
$("end-session").addEventListener("click", () => attempt(client.end()));
$("copy-link").addEventListener("click", () => {
  if ($("share-panel").hidden) return attempt(copyLink());
  sharing = null;
  draw();
});
$("share-access").addEventListener("change", () => attempt(copyLink()));
$("unshare").addEventListener("click", () => attempt(unshare()));
$("scroll").addEventListener("scroll", ({ target }) => {
  following = target.scrollHeight - target.scrollTop - target.clientHeight < 80;
});
$("earlier").addEventListener("click", () => attempt(client.history()));
$("back").addEventListener("click", back);
$("reopen").addEventListener("click", () => attempt(reopen()));
$("message-box").addEventListener("input", fit);
$("message-box").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return; // Safari ends a composition first
  event.preventDefault();
  send();
});
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
addEventListener("hashchange", () => attempt(invitation() ?? Promise.resolve()));
document.addEventListener("visibilitychange", () => document.hidden || past.refresh());

client.subscribe(schedule);
$("start-session").disabled = false; // from here on no click is lost
$("message-box").value = tab.getItem(DRAFT) ?? "";
fit();
if (matchMedia("(max-width: 48rem)").matches) $("past").open = false;
attempt(invitation() ?? (client.stored ? client.connect() : past.refresh()));
schedule();
