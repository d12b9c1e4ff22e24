/**
 * Answers the tool calls that wait for this front end. Each is run once over all tabs of the
 * browser, as far as these know of each other; its result is kept until the server has it.
 */

import { deferred } from "./deferred.js";
import { inOneTab } from "./once.js";
import { callOf } from "./reducer.js";

const PASSING = ["offline", "timeout"];
const UNFIT = ["too_large", "bad_request"]; // of an output
const MOST = 2000; // characters of an error
const SKEW_MS = 60_000; // between the server's clock and ours

/**
 * @typedef {(args: object, call: object) => any} Run  its output, or a promise of one; what it
 *   throws becomes the call's error
 * @typedef {{description: string, parameters?: object, deadline_s?: number, run: Run}} Declared
 *   a tool that the server does not know: `parameters` is the JSON Schema of its arguments
 * @typedef {Record<string, Run | Declared>} Given
 */

export class Tools {
  /** What the server is told of them: `{tools: […]}` where there are any that it does not know. */
  offer = {};
  #runs;
  #client;
  #storage;
  #seen = new Set(); // ids of the calls that are seen to
  #live = deferred();

  /**
   * @param {Given} tools
   * @param {import("./session.js").SessionClient} client
   * @param {import("./storage.js").Keep} storage  that the tabs share
   */
  constructor(tools, client, storage) {
    const declared = Object.entries(tools).filter(([, tool]) => tool.run);
    this.#runs = new Map(Object.entries(tools).map(([name, tool]) => [name, tool.run ?? tool]));
    this.#client = client;
    this.#storage = storage;
    if (declared.length) this.offer = { tools: declared.map(([name, tool]) => ({ name, ...tool, run: undefined })) };
    if (this.#runs.size) client.subscribe(() => this.#look());
  }

  #look() {
    if (this.#client.connection !== "live") return;
    this.#live.resolve();
    this.#live = deferred();
    const { session_id, runs } = this.#client.state;
    for (const { call } of runs.findLast((run) => run.begun)?.message.parts ?? []) {
      if (call?.status === "awaiting_client") this.take({ session_id, ...call });
    }
  }

  /** See to a call, if it waits. @param {object} call  a `tool_call` */
  async take(call) {
    const { tool_call_id: id, name } = call;
    if (!this.#runs.has(name) || !call.arguments || this.#seen.has(id) || this.#client.access === "read") return;
    this.#seen.add(id);
    const work = async () => {
      if (this.#waits(call)) await this.#deliver(call, await this.#result(call));
    };
    await inOneTab(`realtime.tool.${id}`, work, { storage: this.#storage }).catch(console.error);
  }

  /** Whether the call still waits, as far as is known here. */
  #waits({ tool_call_id, client }) {
    const { status = "awaiting_client" } = callOf(this.#client.state, tool_call_id) ?? {};
    return status === "awaiting_client" && Date.now() < client.expires_at + SKEW_MS;
  }

  async #result(call) {
    try {
      const output = await this.#runs.get(call.name)(call.arguments, call);
      return { output: JSON.parse(JSON.stringify(output) ?? "null") };
    } catch (error) {
      return { error: failure(error) };
    }
  }

  async #deliver(call, result) {
    const { session_id, tool_call_id } = call;
    for (let sent = result; this.#waits(call); ) {
      const live = this.#live.promise;
      try {
        await this.#client.request("tool_result", { session_id, tool_call_id, ...sent });
        return await pause({}); // until the other tabs have heard of it
      } catch (error) {
        if (UNFIT.includes(error.code) && sent === result) sent = { error: failure(error) };
        else if (this.#client.connection === "offline") return void this.#seen.delete(tool_call_id); // closed
        else if (PASSING.includes(error.code) || error.retryable) await Promise.race([live, pause(error)]);
        else return; // another device was first, or nobody waits any more
      }
    }
  }
}

const pause = ({ retry_after_ms = 1000 }) => new Promise((resolve) => setTimeout(resolve, retry_after_ms));

const failure = (error) => ({
  message: String(error?.message ?? error).slice(0, MOST),
  ...(typeof error?.code === "string" && { code: error.code.slice(0, 64) }),
});
