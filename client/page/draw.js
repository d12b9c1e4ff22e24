/** Draws the page as the client and the server are now. */

import { activeRun } from "../reducer.js";
import { follow, named } from "./address.js";
import { $, text } from "./element.js";
import { lasting, summaryLine } from "./format.js";
import { PeopleLine, headcount } from "./people.js";
import { titleOf } from "./session-list.js";
import { banner, modelLine, trouble } from "./wording.js";
import { words } from "./words.js";

const NAME = document.title;
const TITLE_LENGTH = 120;
const people = new PeopleLine($("people"));

/** @param {import("../app.js").Page} page */
export function draw(page) {
  const { client, info, list } = page;
  const { state, connection } = client;
  const said = Boolean(state.runs.length || client.pending.length || state.ended);
  const lost = connection === "error" && !state.session_id;
  const fresh = !said && (lost || !named());
  const { body } = document;
  body.dataset.view = page.asking ? "sign-in" : fresh ? "new" : "session";
  body.dataset.access = client.access;
  if (!page.acts.moving && state.session_id) follow(said || client.access !== "owner" ? state.session_id : null);
  text($("title"), (said && titleOfState(state, list).slice(0, TITLE_LENGTH)) || NAME);
  document.title = said ? $("title").textContent : NAME;

  text($("connection-state"), words(`connection_${connection}`));
  $("connection-state").dataset.state = connection;
  text($("trouble"), lost ? trouble(client.error, Boolean(page.user)) : "");
  const { silence, lasting: stored } = page;
  text($("banner"), banner(client, { silence, lasting: stored(), signedIn: Boolean(page.user), model: info.model?.name }));
  text($("model"), modelLine(client.model, info.model));

  drawDetails(page);
  drawComposer(page, said || named());
  drawConversation(page, said);
  list.draw();
}

/** Of a session without a title, the beginning of what was asked first. */
function titleOfState({ session_id, title, runs }, list) {
  const row = list.row(session_id);
  return title ?? (row && titleOf(row)) ?? runs[0]?.user?.text ?? "";
}

const usable = ({ connection, state }) => connection === "live" && Boolean(state.session_id);

function drawDetails({ client, user }) {
  const { state, devices } = client;
  text($("session-id"), state.session_id ?? "");
  text($("devices"), devices > 1 ? words("devices", { count: devices }) : "");
  people.draw(client.people, state.user_id, client.user_id);
  $("name-row").hidden = Boolean(user) || !client.identity.guest || headcount(state, client.people) < 2;
  $("copy-link").disabled = !usable(client);
  $("copy-link").hidden = client.access !== "owner";
  $("more").hidden = !state.session_id;
  $("end-session").disabled = !usable(client) || Boolean(state.ended);
}

function drawComposer({ client, attachments, composer }) {
  const { state, connection } = client;
  $("message-box").disabled = connection === "error";
  $("stop").hidden = !activeRun(state);
  $("stop").disabled = !usable(client);
  attachments.follow(state.session_id);
  $("attach").disabled = !usable(client) && connection !== "offline";
  $("send").disabled = !composer.ready;
}

/** It is loaded with the first one. */
function drawConversation({ client, following, shown, talk, schedule, acts }, said) {
  const { state } = client;
  if (!shown.conversation && (said || named())) acts.attempt(talk().then(schedule));
  following.keep(() => {
    $("earlier").hidden = !state.next_before_seq;
    shown.conversation?.transcript();
    $("ending").hidden = !state.ended;
    if (!state.ended) return;
    text($("ending-title"), words("ended", { time: lasting(state.ended.duration_seconds ?? 0) }));
    text($("ending-summary"), summaryLine(state.summary));
  }, state.last_seq);
  shown.conversation?.rest();
}
