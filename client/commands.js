/**
 * The commands on the session that is open, as methods. PROTOCOL.md says what each of them does.
 *
 * @abstract  A subclass has `state`, `outbox` and `request`.
 */
export class Commands {
  /**
   * Say something, now or as soon as there is a connection.
   * @param {string} text
   * @param {{if_busy?: "queue" | "reject" | "interrupt", on_abandon?: string | object, schema?: object}} [options]
   *   `schema`: a JSON Schema that the answer is held to; `run.done.value` is then what it says
   * @returns {Promise<object>} the ack, after the commit @throws {CommandError} refused for good
   */
  send(text, options = {}) {
    return this.outbox.add(this.state.session_id, text, options);
  }

  /** Try a refused message again. @param {string} client_msg_id */
  retry(client_msg_id) {
    this.outbox.retry(client_msg_id);
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

  #command(name, payload) {
    return this.request(name, { session_id: this.state.session_id, ...payload });
  }
}
