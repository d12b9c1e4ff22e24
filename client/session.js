/**
 * One session on one socket, for any front end: no DOM, no framework.
 *
 *     const client = new SessionClient({ io, storage: () => localStorage, window });
 *     client.subscribe(({ state, connection }) => draw(state, connection));
 *     await client.connect();
 *     await client.send("hello");
 *
 * It resumes by itself after every loss of the connection, and loses or doubles nothing:
 * see the client rule in PROTOCOL.md. `reducer.js` says what `state` holds.
 */

import { CommandError, Connection } from "./connection.js";
import { Identity } from "./identity.js";
import { Limits } from "./limits.js";
import { Outbox } from "./outbox.js";
import { places, serverInfo, whyNot } from "./reach.js";
import { apply, initial, load, prepend } from "./reducer.js";
import { kept } from "./storage.js";

export { CommandError };

const SESSION = "realtime.session";
const PROBE_MS = 3000;
const LIMITS_MS = 3000; // how long a message waits for the limits

export class SessionClient {
  state = initial();
  /** @type {"offline" | "connecting" | "live" | "error"} */
  connection = "offline";
  /** @type {{code: string, message: string} | null} why `connection` is not "live" */
  error = null;
  /** @type {{type: string, retry_in_ms?: number} | null} the server's last word, until it is back */
  notice = null;
  model = "";
  /** @type {"owner" | "full" | "read"} what the server lets us do in this session */
  access = "owner";
  /** @type {string | undefined} who we are to the server */
  user_id;
  /** @type {Map<string, object>} the last `progress` of each running tool call */
  progress = new Map();

  #subscribers = new Set();
  #where; // {session_id?, share?}: kept across reloads
  #syncing = true; // live events wait until the log is known up to them
  #held = [];
  #round = 0; // of catching up: a newer one takes over
  #devices = new Map();
  #opening = deferred();
  #explaining = false;
  #info;
  #places; // where the server is
  #tab;
  #identity;
  #limits;
  #learnt; // resolves once the server has been asked for its limits
  #link;

  /**
   * @param {object} parts
   * @param {typeof import("socket.io-client").io} parts.io
   * @param {string} [parts.url]  the server; by default where the page came from
   * @param {string | (() => string | Promise<string>)} [parts.token]  of your own sign-in. A
   *   function is asked at each connection, and again before its last token expires. Without
   *   one the server gives a guest token, which is kept in `storage`
   * @param {Storage | (() => Storage)} [parts.storage]  for the guest token, e.g.
   *   `() => localStorage`. Where it throws, as blocked storage does, memory takes its place
   * @param {Storage | (() => Storage)} [parts.tab]  for the session and unsent messages, e.g.
   *   `() => sessionStorage`
   * @param {Promise<object>} [parts.info]  what `GET /api/info` says, if you ask for it yourself:
   *   the first connection waits for it
   * @param {Window} [parts.window]  to reconnect at once when the page comes back
   * @param {number} [parts.ackTimeout]  ms
   * @param {object} [parts.options]  more options for socket.io-client
   */
  constructor({
    io, url, token, storage, tab = storage, info, window, ackTimeout = 6_000, options,
  }) {
    this.#info = info;
    this.#tab = kept(tab);
    this.#places = async () => places(url, options?.path);
    this.#identity = new Identity(token, kept(storage));
    this.#limits = new Limits(async () => info ?? serverInfo((await this.#places()).info, LIMITS_MS));
    this.#where = this.#tab.read(SESSION) ?? {};
    this.outbox = new Outbox({
      storage: this.#tab,
      refuses: (entry) => this.#limits.excess("send", sending(entry)),
      post: async (entry) => {
        await this.#learnt;
        return this.request("send", sending(entry));
      },
      live: () => (this.connection === "live" && !this.#syncing ? this.state.session_id : null),
      changed: () => this.#changed(),
    });
    this.#link = new Connection({
      io, url, options, window, ackTimeout,
      auth: () => this.#handshake(),
      received: (name, payload) => this.#receive(name, payload),
      lost: () => this.#hold(),
      refused: (error) => this.#fail(error),
      failed: (error) => this.#explain(error),
      woken: () => this.#syncing || this.#sync(PROBE_MS),
    });
  }

  // ------------------------------------------------------------ for a view

  /** Call `listener` with the client at every change. @returns {() => void} ends it */
  subscribe(listener) {
    this.#subscribers.add(listener);
    return () => this.#subscribers.delete(listener);
  }

  /** The session that a reload would come back to. */
  get stored() {
    return this.#where.session_id ?? null;
  }

  /** How many devices watch the session now, this one included. */
  get devices() {
    return this.connection === "live" ? (this.#devices.get(this.state.session_id) ?? 1) : 0;
  }

  /** Messages that the log does not hold yet. */
  get pending() {
    const { session_id } = this.state;
    return this.outbox.entries.filter((entry) => !entry.session_id || entry.session_id === session_id);
  }

  /** What proves who we are to the HTTP API; undefined before the first connection. */
  bearer() {
    return this.#identity.token();
  }

  // --------------------------------------------------------------- session

  /** Connect, to the stored session or a new one. @returns {Promise<object>} the state, once live */
  connect() {
    this.#become("connecting");
    const { promise } = this.#opening;
    const dial = () => this.connection === "connecting" && this.#link.dial();
    if (this.#info) this.#learn().then(dial);
    else dial();
    return promise;
  }

  /** Begin a new session. */
  create() {
    return this.#enter({}, "create");
  }

  /** Watch another session; `share` lets another identity in. */
  open(session_id, share) {
    return this.#enter({ session_id, share }, "join");
  }

  async #enter(where, command) {
    const left = this.state.session_id;
    if (this.connection !== "live") {
      this.#go(where);
      return this.connect();
    }
    try {
      await this.#catchUp(this.request(command, where), () => this.#go(where));
    } catch (error) {
      if (error.code !== "offline" && this.state.session_id === left) this.#release();
      throw error;
    }
    if (left !== this.state.session_id) {
      this.request("leave", { session_id: left }).catch(() => {}); // a lost socket has left anyway
    }
    return this.state;
  }

  close() {
    this.#link.close();
    this.#become("offline");
  }

  // -------------------------------------------------------------- commands

  /**
   * Say something, now or as soon as there is a connection.
   * @param {string} text
   * @param {{if_busy?: "queue" | "reject" | "interrupt", on_abandon?: string | object}} [options]
   */
  send(text, options = {}) {
    return this.outbox.add(this.state.session_id, text, options);
  }

  /** Try a refused message again, or give it up. */
  retry(client_msg_id) {
    this.outbox.retry(client_msg_id);
  }

  drop(client_msg_id) {
    this.outbox.drop(client_msg_id);
  }

  /** Cancel the active run, or the one named. */
  stop(run_id) {
    return this.#command("stop", { run_id });
  }

  /** Go on with an interrupted or incomplete answer. */
  continue(run_id) {
    return this.#command("continue", { run_id });
  }

  /** @param {"approve" | "deny"} decision */
  approve(tool_call_id, decision, reason) {
    return this.#command("approve", { tool_call_id, decision, reason });
  }

  end() {
    return this.#command("end", {});
  }

  /**
   * @param {"full" | "read"} [access]
   * @returns {Promise<string>} a token that lets another identity open this session
   */
  async share(access = "full") {
    return (await this.#command("share", { access })).share;
  }

  /** Every share so far is void. */
  unshare() {
    return this.#command("unshare", {});
  }

  /** Put the next older page, if there is one, in front. */
  async history(limit = 100) {
    const { next_before_seq, session_id } = this.state;
    if (!next_before_seq) return;
    const page = await this.#command("history", { before_seq: next_before_seq, limit });
    if (this.state.session_id !== session_id || this.state.next_before_seq !== next_before_seq) return;
    this.state = prepend(this.state, page);
    this.#changed();
  }

  #command(name, payload) {
    return this.request(name, { session_id: this.state.session_id, ...payload });
  }

  /** Any command. @returns {Promise<object>} its ack @throws {CommandError} */
  async request(name, payload, timeout) {
    const excess = this.#limits.excess(name, payload);
    if (excess) throw excess;
    try {
      return await this.#link.request(name, payload, timeout);
    } catch (error) {
      // nothing answers: is the connection only half open?
      if (error.code === "timeout" && !this.#syncing) this.#sync(PROBE_MS);
      throw error;
    }
  }

  async #learn() {
    await this.#limits.learn();
    this.outbox.flush();
  }

  // ---------------------------------------------------------------- events

  async #handshake() {
    this.#learnt = this.#learn();
    const token = await this.#identity.show();
    const { session_id, epoch, last_seq } = this.state;
    const cursor = session_id ? { session_id, epoch, after_seq: last_seq } : {};
    return { token, ...this.#where, ...cursor };
  }

  #receive(name, payload) {
    if (name === "session") return void this.#welcome(payload);
    if (name === "presence") this.#devices.set(payload.session_id, payload.devices);
    else if (name === "progress") this.progress.set(payload.tool_call_id, payload);
    else if (name === "server") this.#told(payload);
    else if (typeof payload.seq === "number") return this.#take({ ...payload, event: name });
    this.#changed();
  }

  async #told(notice) {
    this.notice = notice;
    if (notice.type !== "token_expiring") return;
    try {
      const token = await this.#identity.renewed();
      if (!token) return;
      await this.request("auth", { token });
      this.notice = null;
      this.#changed();
    } catch {
      this.#link.dialLater(); // a new connection asks for the token once more
    }
  }

  /** The first event of each connection. */
  async #welcome(payload) {
    const round = this.#round;
    if (!(await this.#identity.accept(payload.guest_token))) return this.#link.dial();
    if (round !== this.#round) return;
    this.notice = null;
    if (payload.error) return this.#astray(payload.error);
    this.#link.welcomed();
    return this.#catchUp(payload).catch((error) => this.#astray(error));
  }

  #take(event) {
    if (this.#syncing) return void this.#held.push(event);
    const { state, verdict } = apply(this.state, event);
    if (verdict === "gap") {
      this.#held.push(event);
      this.#sync();
    } else if (verdict === "applied") {
      this.state = state;
      if (event.event === "user_message") this.outbox.heard(event);
      if (event.event === "tool_call") this.progress.delete(event.tool_call_id);
      this.#changed();
    }
  }

  // ----------------------------------------------------------- catching up

  /** Ask for what is missing behind the cursor; one such question at a time. */
  #sync(timeout) {
    const { session_id, epoch, last_seq: after_seq } = this.state;
    const page = this.#link.request("join", { session_id, epoch, after_seq }, timeout);
    return this.#catchUp(page).catch((error) => this.#astray(error));
  }

  /**
   * Take a `session` payload and the pages behind it, and hold live events meanwhile.
   * @param {object | Promise<object>} first
   * @param {() => void} [begin]  called before the first page is taken
   */
  async #catchUp(first, begin) {
    const round = ++this.#round;
    const overtaken = () => round !== this.#round;
    const unlessOvertaken = (error) => overtaken() || Promise.reject(error);
    this.#syncing = true;
    for (let page = first; ; begin = null) {
      const payload = await Promise.resolve(page).catch(unlessOvertaken);
      if (overtaken()) return;
      begin?.();
      const { state, verdict } = load(this.state, payload);
      this.state = state;
      for (const event of payload.events) if (event.event === "user_message") this.outbox.heard(event);
      this.model = payload.model ?? this.model;
      this.access = payload.access ?? "owner";
      this.user_id = payload.you ?? this.user_id;
      if (verdict === "applied" && payload.seq >= payload.head) break;
      this.#changed();
      const { session_id, epoch, last_seq: after_seq } = state;
      const cursor = verdict === "gap" ? { session_id } : { session_id, epoch, after_seq };
      page = this.#link.request("join", cursor);
    }
    this.#go({ ...this.#where, session_id: this.state.session_id }, this.state);
    this.outbox.adopt(this.state.session_id);
    this.#release();
    this.#become("live");
    this.#opening.resolve(this.state);
    this.#opening = deferred();
    this.outbox.flush();
  }

  /** The log is known up to the events that were held: they may follow. */
  #release() {
    this.#syncing = false;
    for (const event of this.#held.splice(0)) this.#take(event);
  }

  /** What is held belongs to a connection that is gone; the next one brings it anew. */
  #hold() {
    this.#round++;
    this.#syncing = true;
    this.#held = [];
    if (this.connection === "live") this.#become("connecting");
  }

  /** Catching up failed. A new connection begins it anew, where that can help. */
  #astray(error) {
    if (error.code === "offline") return; // it is on its way
    if (error.code === "timeout") return this.#link.dial();
    if (!error.retryable) return this.#fail(error);
    this.#link.dialLater(error.retry_after_ms);
    this.#become("connecting", error);
  }

  /** Say why no connection came about, while it is tried again. */
  async #explain(error) {
    if (this.#explaining) return;
    this.#explaining = true;
    const why = error ?? (await this.#places().then(whyNot, () => null));
    this.#explaining = false;
    if (why && this.connection === "connecting") this.#become("connecting", why);
  }

  // ----------------------------------------------------------------- state

  #go(where, state = initial()) {
    this.#where = where;
    this.state = state;
    this.#tab.setItem(SESSION, JSON.stringify(where));
    this.#changed();
  }

  #fail(error) {
    this.#link.welcomed(); // a refusal is an answer too
    this.#become("error", error);
    this.#opening.reject(new CommandError(error));
    this.#opening = deferred();
  }

  #become(connection, error) {
    this.connection = connection;
    this.error = error ? { code: error.code, message: error.message } : null;
    this.#changed();
  }

  #changed() {
    this.outbox?.prune(this.state.last_seq);
    for (const listener of this.#subscribers) listener(this);
  }
}

function deferred() {
  let parts;
  const promise = new Promise((resolve, reject) => (parts = { resolve, reject }));
  promise.catch(() => {}); // `connection` and `error` tell it too
  return { promise, ...parts };
}

const sending = ({ session_id, client_msg_id, text, options }) => ({ ...options, session_id, client_msg_id, text });
