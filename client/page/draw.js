/** Draws the page as the client and the server are now. */

import { activeRun } from "../reducer.js";
import { text } from "./element.js";
import { lasting, summaryLine } from "./format.js";
import { headcount } from "./people.js";
import { titleOf } from "./session-list.js";
import { problem, words } from "./words.js";

const TITLE_LENGTH = 120;

/** @param {import("./chat.js").Page} page */
export function draw(page) {
  const { $, client, container, info, list, place, acts } = page;
  const { address, name } = place;
  const { state, connection } = client;
  const said = Boolean(state.runs.length || client.pending.length || state.ended);
  const lost = connection === "error" && !state.session_id;
  const fresh = !said && (lost || !address.named());
  container.dataset.view = page.asking ? "sign-in" : fresh ? "new" : "session";
  container.dataset.access = client.access;
  if (!acts.moving && state.session_id) address.follow(said || client.access !== "owner" ? state.session_id : null);
  page.title = titleOfState(state, list.row(page.current()));
  text($("title"), (!fresh && page.title.slice(0, TITLE_LENGTH)) || name);
  place.titled?.($("title").textContent);

  const known = acts.beginning ? "offline" : connection; // what is said next connects
  text($("connection-state"), known === "offline" ? "" : words(`connection_${known}`));
  $("connection-state").dataset.state = known;
  text($("trouble"), lost ? trouble(client.error, Boolean(page.user)) : "");
  const { silence, lasting: stored } = page;
  text($("notice"), banner(client, { fresh, silence, lasting: stored(), signedIn: Boolean(page.user), model: info.model?.name }));
  $("banner").hidden = $("notice").hidden;
  text($("start-another"), acts.gone && !fresh ? words("start_another") : "");
  const choice = fresh && $("models").length > 1;
  $("models").hidden = !choice;
  text($("model"), choice ? "" : modelLine(client.model, info.model));

  drawDetails(page);
  drawComposer(page);
  drawConversation(page);
  list.draw();
}

/** Who the reader is, to a server that knows them otherwise than by the page's sign-in. */
function nameOf({ people, user_id, identity, connection }) {
  const { name } = people.find((one) => one.user_id === user_id) ?? {};
  const known = connection === "live" && !identity.guest;
  return name || (known && user_id) || words("guest");
}

/** Of a session without a title, what was asked first, where that is on the page. */
function titleOfState({ title, runs, next_before_seq }, row) {
  const asked = next_before_seq ? undefined : runs[0]?.user?.text;
  return title ?? row?.title ?? row?.summary ?? (asked || (row ? titleOf(row) : ""));
}

const usable = ({ connection, state }) => connection === "live" && Boolean(state.session_id);

function drawDetails({ $, client, people, user }) {
  const { state, devices } = client;
  text($("session-id"), state.session_id ?? "");
  text($("devices"), devices > 1 ? words("devices", { count: devices }) : "");
  people.draw(client.people, state.user_id, client.user_id);
  text($("user"), user?.user?.email ?? nameOf(client));
  $("name-row").hidden = Boolean(user) || !client.identity.guest || headcount(state, client.people) < 2;
  $("copy-link").disabled = !usable(client);
  $("copy-link").hidden = client.access !== "owner";
  $("more").hidden = !state.session_id;
  $("end-session").disabled = !usable(client) || Boolean(state.ended);
}

function drawComposer({ $, client, info, attachments, composer, acts, place }) {
  const { state, connection } = client;
  if (!acts.moving && !acts.beginning) composer.adopt(place.address.named());
  $("message-box").disabled = connection === "error" && !acts.beginning;
  $("stop").hidden = connection === "error" || !activeRun(state);
  $("stop").disabled = !usable(client);
  attachments.follow(acts.beginning ? null : client.place.session_id);
  $("attach").hidden = info.limits?.file_bytes === 0;
  $("attach").disabled = !usable(client) && !acts.beginning;
  $("send").disabled = !composer.ready || $("message-box").disabled;
}

function drawConversation({ $, client, following, conversation }) {
  const { state } = client;
  following.keep(() => {
    $("earlier").hidden = !state.next_before_seq;
    conversation.drawTranscript();
    $("ending").hidden = !state.ended;
    if (!state.ended) return;
    text($("ending-title"), words("ended", { time: lasting(state.ended.duration_seconds ?? 0) }));
    text($("ending-summary"), summaryLine(state.summary));
  }, state.last_seq);
  conversation.drawRest();
}

// -------------------------------------------------------------------- words

/**
 * Why there is no session.
 * @param {{code: string, message: string}} error
 * @param {boolean} signedIn
 */
function trouble(error, signedIn) {
  if (error.code === "not_found") return words("gone");
  if (error.code === "unauthorized" && !signedIn) return words("not_let_in", { why: error.message });
  return problem(error);
}

/**
 * What the reader has to know now, the most urgent first.
 * @param {import("../session.js").SessionClient} client
 * @param {{fresh: boolean, silence: string, lasting: boolean, signedIn: boolean, model?: string}} page
 *   `fresh`: the welcome says why there is no session; `silence`: why the server does not say what it is; `lasting`: whether the browser stores things
 */
function banner({ connection, notice, error, state, model, access }, page) {
  if (connection === "error" && !page.fresh) return trouble(error, page.signedIn);
  if (notice?.type === "draining") return words("draining");
  if (notice?.type === "storage_away") return words("storage_away");
  if (connection === "connecting") {
    if (error) return words(state.session_id ? "kept" : "trying", { why: problem(error) });
    if (state.session_id) return words("lost");
  }
  if (page.silence) return page.silence;
  if (access === "read") return words("read_only");
  if (!page.lasting) return words("nothing_stored");
  return isDemo(model || page.model) ? words("demo") : "";
}

/**
 * @param {string} used  the name of the session's model, where there is a session
 * @param {{name: string, label: string}} [offered]  the server's own
 */
function modelLine(used, { name, label } = {}) {
  const model = used || name;
  if (!model) return "";
  return model === name && !isDemo(name) ? (label ?? name) : model;
}

const isDemo = (name = "") => /^demo\b/i.test(name);
