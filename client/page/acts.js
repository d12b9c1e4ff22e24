/** What a person does on the page. */

import { activeRun, queued } from "../reducer.js";
import { text } from "./element.js";
import { byWords } from "./people.js";
import { problem, words } from "./words.js";

const TOAST_MS = 6000;

export class Acts {
  #page;
  #toast;
  /** How many moves to another session are under way: the address stays until it is there. */
  moving = 0;

  /** @param {import("./chat.js").Page} page */
  constructor(page) {
    this.#page = page;
  }

  /** Say what went wrong, where it does. */
  async attempt(promise) {
    this.toast(""); // what was said of the act before
    try {
      return await promise;
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error) {
    this.#page.place.failed?.(error);
    this.toast(problem(error));
  }

  toast(message) {
    const { $ } = this.#page;
    text($("toast"), message);
    clearTimeout(this.#toast);
    this.#toast = setTimeout(() => text($("toast"), ""), TOAST_MS);
  }

  /**
   * Go to a session, or to a new one.
   * @param {string | null} session_id
   * @param {string} [share]
   * @param {boolean} [focus]  whether one goes on by typing
   */
  async open(session_id, share, focus = true) {
    const { $, client, composer, following, side, schedule, place } = this.#page;
    this.moving += 1;
    following.resume();
    side.close();
    if (!session_id && client.connection === "error") composer.abandon(); // its text is to be said somewhere
    else composer.enter(session_id);
    const there = session_id ? client.open(session_id, share) : client.create(this.#chosen());
    schedule();
    $("message-box").disabled = false; // after an error it was
    if (focus) composer.focus(); // what is typed on the way is not lost
    await there.catch((error) => {
      if (client.connection !== "error") this.#failed(error); // else the page says it
      if (this.beginning) composer.abandon();
      else composer.enter(place.address.named());
    });
    this.moving -= 1;
    schedule();
  }

  /** What a new session is begun with. */
  #chosen() {
    const { selectedIndex, value } = this.#page.$("models");
    return selectedIndex > 0 ? { model: value } : undefined;
  }

  /** Another model: a session that nobody has said anything in makes room for one with it. */
  choose() {
    const { connection, state } = this.#page.client;
    if (connection !== "offline" && !state.runs.length) this.open(null, undefined, false); // the arrow keys choose, too
  }

  /** Whether what is said now begins a session: before any connection, and where the address leads nowhere. */
  get beginning() {
    const { connection, state } = this.#page.client;
    return connection === "offline" || (this.gone && !state.session_id);
  }

  /** Whether there is no such session, or none for the reader. */
  get gone() {
    const { connection, error } = this.#page.client;
    return connection === "error" && ["not_found", "forbidden"].includes(error?.code);
  }

  /** Have a session for what is said or uploaded now. */
  begin() {
    if (this.beginning) this.open(null);
  }

  /** Do something on the server, with a connection. @param {() => Promise<any>} work */
  async command(work) {
    const { client } = this.#page;
    const connected = client.connection === "offline" ? client.create() : Promise.resolve();
    return this.attempt(connected.then(work));
  }

  /** Where the address leads. Without one, what waits to be sent leads to its session, or to a new one. @param {boolean} [first]  the chat has just been made */
  arrive(first = false) {
    const { client, composer, place } = this.#page;
    let share = place.address.invitation();
    let session_id = place.address.named();
    if (!session_id && (client.unsent || (first && place.returns))) ({ session_id, share } = client.place); // without an address yet
    if (session_id) this.open(session_id, share, place.autofocus);
    else if (client.pending.length || client.connection !== "offline") this.open(null);
    else if (place.autofocus) composer.focus();
  }

  /** @returns {boolean} whether the client has taken the message */
  send(message) {
    const { client, attachments, following } = this.#page;
    this.toast("");
    this.begin();
    try {
      client.send(message, { files: attachments.files });
    } catch (error) {
      this.toast(words("not_sent", { why: problem(error) }));
      return false;
    }
    attachments.clear();
    following.resume();
    return true;
  }

  /** Go on from a message in a new session. */
  async fork(message_id) {
    await this.open(await this.#page.client.fork(message_id));
  }

  /** Stop the answer under way. */
  stop() {
    const { client } = this.#page;
    return client.stop(activeRun(client.state)?.run_id);
  }

  /** Answer a message that waits at once, in place of what is answered now. */
  async sendNow(run_id) {
    const { client } = this.#page;
    const run = activeRun(client.state);
    const [first] = queued(client.state);
    if (first && first.run_id !== run_id) await client.queue({ move: { run_id, before: first.run_id } });
    if (run) await client.stop(run.run_id);
  }

  async approve(tool_call_id, decision, reason, edited) {
    const { client } = this.#page;
    try {
      await client.approve(tool_call_id, decision, reason, edited);
    } catch (error) {
      if (error.code !== "already_resolved") throw error;
      const by = byWords(error.decided_by, client.state.user_id, client.user_id);
      throw new Error(words(error.decision === "deny" ? "already_denied" : "already_approved", { by }));
    }
  }

  /** A result that is too long for the conversation, as a file. */
  async save({ name, output_ref }) {
    const { api, client } = this.#page;
    const whole = await api.output(client.state.session_id, output_ref).catch((error) => {
      throw new Error(words("no_result", { why: problem(error) }));
    });
    download(whole, `${name}.${whole.type.includes("json") ? "json" : "txt"}`);
  }

  /** The conversation, as a file of its title. */
  async export({ session_id }, title) {
    const name = title.replace(/[\p{C}<>:"/\\|?*]+/gu, " ").trim().slice(0, 80);
    download(await this.#page.api.markdown(session_id), `${name || words("export_file")}.md`);
  }
}

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
