import { CommandError } from "./errors.js";
import { randomId } from "./random-id.js";

/**
 * The commands on the session that is open, as methods. PROTOCOL.md says what each of them does.
 *
 * @abstract  A subclass has `state`, `place`, `outbox`, `files`, `identity`, `connection`, `subscribe` and `request`.
 */
export class Commands {
  /**
   * Say something, now or as soon as there is a connection.
   * @param {string} text
   * @param {{files?: import("./files.js").File[], if_busy?: "queue" | "reject" | "interrupt" | "steer",
   *   on_abandon?: string | object, replaces?: string, schema?: object}} [options]  `files`: as
   *   `upload` gave them; with any of them the text may be empty. `replaces`: the `message_id` of a
   *   question that this one takes the place of, on a branch of its own. `schema`: a JSON Schema
   *   that the answer is held to; `run.done.value` is then what it says. With `if_busy: "steer"` the
   *   ack comes once it is known whether the answer under way takes the message in
   * @returns {Promise<object>} the ack, after the commit @throws {CommandError} refused for good
   */
  send(text, options = {}) {
    const place = options.replaces ? { session_id: this.state.session_id } : this.place;
    return this.outbox.add(place, text, options);
  }

  /**
   * Upload a file to this session, to be sent with a message.
   * @param {Blob & {name?: string}} file
   * @param {{name?: string, signal?: AbortSignal, progress?: (fraction: number) => void}} [options]
   * @returns {Promise<import("./files.js").File>} @throws {CommandError}
   */
  async upload(file, options) {
    return this.files.upload(await this.#begun(), file, options);
  }

  /** The session's id, once there is one, if one is on its way. */
  #begun() {
    return new Promise((resolve, reject) => {
      const look = ({ state, place, connection }) => {
        if (state.session_id && state.session_id === place.session_id) resolve(state.session_id);
        else if (connection === "connecting" || connection === "live") return;
        else reject(new CommandError({ code: "offline", message: "There is no connection.", retryable: true }));
        stop();
      };
      const stop = this.subscribe(look);
      look(this);
    });
  }

  /** An address for an `<img>` or a download, good for some minutes. @param {string} file_id */
  fileUrl(file_id) {
    return this.files.url(this.state.session_id, file_id);
  }

  /** Try a refused message again. @param {string} client_msg_id */
  retry(client_msg_id) {
    this.outbox.retry(client_msg_id, this.place);
  }

  /** Give a refused message up. @param {string} client_msg_id */
  drop(client_msg_id) {
    this.outbox.drop(client_msg_id);
  }

  /**
   * Cancel a run. Like all below it rejects with a `CommandError` if it is refused or not answered.
   * @param {string} [run_id]  by default the active one
   * @returns {Promise<object>} the ack
   */
  stop(run_id) {
    return this.#command("stop", { run_id });
  }

  /** Go on with an interrupted or incomplete answer. @param {string} run_id  of its last run */
  continue(run_id) {
    return this.#command("continue", { run_id });
  }

  /**
   * Have a question answered once more, on a branch of its own.
   * @param {string} run_id  of any answer to it
   * @param {{model?: string, options?: object}} [choice]  for this answer
   */
  regenerate(run_id, choice = {}) {
    return this.#command("regenerate", { run_id, client_msg_id: randomId(), ...choice });
  }

  /**
   * Change what waits.
   * @param {{edit: {run_id: string, text: string}} | {move: {run_id: string, before?: string}} |
   *   {drop: {run_id: string}}} change  `before`: the run that it is to go before; by default it
   *   goes behind all
   */
  queue(change) {
    return this.#command("queue", change);
  }

  /** Go over to the branch of a message, on all devices. @param {string} message_id */
  select(message_id) {
    return this.#command("select", { message_id });
  }

  /**
   * Decide whether a tool call that waits for approval is made.
   * @param {string} tool_call_id
   * @param {"approve" | "deny"} decision
   * @param {string} [reason]  which the model is told of a denial
   * @param {object} [edited]  arguments in place of those that were asked for, where
   *   `call.approval.editable`
   */
  approve(tool_call_id, decision, reason, edited) {
    return this.#command("approve", { tool_call_id, decision, reason, arguments: edited });
  }

  /** Give the session a title. @param {string} title @param {string} [session_id]  of another one */
  setTitle(title, session_id) {
    return this.#command("rename", { title, session_id });
  }

  /** Keep the session at the top of the list. @param {boolean} pinned @param {string} [session_id] */
  pin(pinned, session_id) {
    return this.#command("pin", { pinned, session_id });
  }

  /** Take the session out of the list. @param {boolean} archived @param {string} [session_id] */
  archive(archived, session_id) {
    return this.#command("archive", { archived, session_id });
  }

  /** Delete a session for good. @param {string} session_id */
  delete(session_id) {
    return this.request("delete", { session_id });
  }

  /**
   * Copy the conversation, up to a message and its answer, into a new session.
   * @param {string} message_id
   * @returns {Promise<string>} the new session's id, to be opened
   */
  async fork(message_id) {
    return (await this.#command("fork", { message_id })).session_id;
  }

  /**
   * Say what one thinks of an answer.
   * @param {string} message_id
   * @param {"up" | "down" | null} value  null takes it back
   * @param {string} [comment]
   */
  rate(message_id, value, comment) {
    return this.#command("feedback", { message_id, value, comment });
  }

  /** End the session, for every device. */
  end() {
    return this.#command("end", {});
  }

  /**
   * Let others in.
   * @param {"full" | "read"} [access]
   * @returns {Promise<string>} a token with which another identity can `open` this session
   */
  async share(access = "full") {
    return (await this.#command("share", { access })).share;
  }

  /** Make every token from `share` void. */
  unshare() {
    return this.#command("unshare", {});
  }

  /**
   * As a guest, be called so from now on, also after a reload; "" for no name. Users that signed
   * in have the name that their sign-in gives.
   * @param {string} name
   */
  async rename(name) {
    this.identity.name = name;
    if (this.connection !== "live") return; // the next handshake says it
    await this.request("auth", { token: await this.identity.token(), name });
  }

  #command(name, payload) {
    const { session_id = this.state.session_id, ...rest } = payload;
    return this.request(name, { session_id, ...rest });
  }
}
