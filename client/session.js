/**
 * A client of one session at a time, for any front end: no DOM, no framework.
 *
 *     const client = new SessionClient({ io, storage: () => localStorage, window });
 *     client.subscribe(({ state, connection }) => draw(state, connection));
 *     await client.connect();
 *     await client.send("hello");
 *
 * It resumes after every loss of the connection, and loses and doubles nothing. `reducer.js`
 * says what `state` holds, docs/front-end.md how to use all of it in a front end of your own.
 */

import { Commands } from "./commands.js";
import { Connection } from "./connection.js";
import { deferred } from "./deferred.js";
import { CommandError } from "./errors.js";
import { Files } from "./files.js";
import { Follower } from "./follower.js";
import { Here } from "./here.js";
import { Identity } from "./identity.js";
import { Limits } from "./limits.js";
import { Outbox } from "./outbox.js";
import { offline, places, serverInfo } from "./reach.js";
import { initial, prepend } from "./reducer.js";
import { kept } from "./storage.js";
import { Tools } from "./tools.js";
import { beginning, Where } from "./where.js";

export { CommandError };

const PROBE_MS = 3000;
const PROBE_OFFLINE_MS = 1000; // where the browser says so, which a server on this device does not mind
const SHOWN_MS = 500; // how long the session that one leaves is still shown
const LIMITS_MS = 3000; // how long a message waits for the limits

/** Whether a command has got no answer. @param {CommandError} error */
const lost = ({ code }) => code === "offline" || code === "timeout";

export class SessionClient extends Commands {
  /** @type {"offline" | "connecting" | "live" | "error"} */
  connection = "offline";
  /** @type {{code: string, message: string, why?: string} | null} why `connection` is not "live" */
  error = null;
  /** @type {{type: string, retry_in_ms?: number} | null} the last `server` event, until it has passed */
  notice = null;
  /** The name of the model, once the server has said it. */
  model = "";
  /** @type {"owner" | "full" | "read"} what the server lets us do in this session */
  access = "owner";
  /** @type {string | undefined} who we are to the server */
  user_id;
  /** @type {Map<string, object>} the last `progress` of each running tool call */
  progress = new Map();

  #subscribers = new Set();
  #listeners = new Set(); // of the list
  #hearers = new Set(); // of events
  #where;
  #heading = null; // the place that we are on the way to
  #left = null; // the last session that was shown before
  #begun = new Set(); // the ids of beginnings that the server is asked for
  #here = new Here();
  #opening = deferred();
  #info;
  #limits;
  #link;
  #log;
  #tools;

  /**
   * @param {object} parts
   * @param {typeof import("socket.io-client").io} parts.io
   * @param {string} [parts.url]  the server; by default where the page came from
   * @param {string | (() => string | Promise<string>)} [parts.token]  of your own sign-in. A
   *   function is asked at each connection, and again before its last token expires. Without
   *   one the server gives a guest token, which is kept in `storage`
   * @param {import("./storage.js").Source} [parts.storage]  for the guest token, e.g.
   *   `() => localStorage`. Where it throws, as blocked storage does, memory takes its place
   * @param {import("./storage.js").Source} [parts.tab]  for the session and unsent messages, e.g.
   *   `() => sessionStorage`
   * @param {Promise<object>} [parts.info]  what `GET /api/info` says, if you ask for it yourself:
   *   the first connection waits for it
   * @param {Window} [parts.window]  to reconnect at once when the page comes back
   * @param {number} [parts.ackTimeout]  ms
   * @param {object} [parts.options]  more options for socket.io-client
   * @param {import("./tools.js").Given} [parts.tools]  that run here, by name
   */
  constructor({
    io, url, token, storage, tab = storage, info, window, ackTimeout = 6_000, options, tools = {},
  }) {
    super();
    this.#info = info;
    const own = kept(tab);
    this.#where = new Where(own);
    this.identity = new Identity(token, kept(storage));
    const api = () => new URL(".", places(url, options?.path).info);
    this.files = new Files(api, () => this.bearer(), () => this.#where.now.share);
    this.#limits = new Limits(
      async () => info ?? serverInfo(places(url, options?.path).info, LIMITS_MS),
      () => this.outbox.flush(),
    );
    this.outbox = new Outbox({
      storage: own,
      limits: this.#limits,
      request: (name, payload, timeout) => this.request(name, payload, timeout),
      live: () => this.connection === "live" && !this.#log.behind,
      changed: () => this.#changed(),
    });
    this.#tools = new Tools(tools, this, kept(storage));
    this.#log = new Follower({
      join: (cursor, timeout) => this.#link.request("join", cursor, timeout),
      loaded: (page) => this.#loaded(page),
      applied: (event) => this.#applied(event),
      caughtUp: () => this.#caughtUp(),
      failed: (error) => this.#notCaughtUp(error),
    });
    this.#link = new Connection({
      io, url, options, window, ackTimeout,
      identity: this.identity,
      limits: this.#limits,
      cursor: () => ({ ...this.#where.cursor(this.state), ...this.#tools.offer }),
      greeted: (payload) => this.#greeted(payload),
      received: (name, payload) => this.#received(name, payload),
      lost: () => this.#lost(),
      refused: (error) => this.#fail(error),
      delayed: (error) => this.connection === "connecting" && this.#become("connecting", error),
      woken: () => this.#probe(),
    });
  }

  // -------------------------------------------------------------- the view

  /** The session as far as it is known. @returns {import("./reducer.js").State} */
  get state() {
    return this.#log.state;
  }

  /** Call `listener` with the client at every change. @returns {() => void} ends it */
  subscribe(listener) {
    this.#subscribers.add(listener);
    return () => this.#subscribers.delete(listener);
  }

  /**
   * Hear what changes in the user's list of sessions.
   * @param {(change: {sessions: object[], deleted: string[]}) => void} listener  rows as those of
   *   `Api.sessions`; `listWith` of `list.js` puts them in their place
   * @returns {() => void} ends it
   */
  onList(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Hear each event that is new here: live ones, and those that a reconnect replays. A snapshot
   * takes the place of more than that, and is not told.
   * @param {(event: object) => void} listener  the payload, with its name as `event`
   * @returns {() => void} ends it
   */
  onEvent(listener) {
    this.#hearers.add(listener);
    return () => this.#hearers.delete(listener);
  }

  /** The session that a reload would come back to. */
  get stored() {
    return this.#where.now.session_id ?? null;
  }

  /** How many devices watch the session now, this one included. */
  get devices() {
    return this.connection === "live" ? this.#here.devices(this.state.session_id) : 0;
  }

  /** Who watches the session now. @returns {import("./here.js").Person[]} */
  get people() {
    return this.#here.people(this.connection === "live" ? this.state.session_id : null);
  }

  /** Where what is said now belongs: on the way to another session, there. @returns {import("./where.js").Place} */
  get place() {
    return this.#heading ?? this.#where.now;
  }

  /** Whether a message that was said in the stored session waits for the first connection. */
  get unsent() {
    const { session_id } = this.#where.now;
    const waits = (entry) => entry.session_id === session_id && entry.status === "waiting";
    return this.connection === "offline" && Boolean(session_id) && this.outbox.entries.some(waits);
  }

  /** Messages that the log does not hold yet. */
  get pending() {
    const { begins, session_id } = this.#where.now;
    const here = this.state.session_id ?? (this.connection === "offline" ? null : session_id);
    return this.outbox.entries.filter((entry) => {
      if (entry.session_id) return !entry.heard && entry.session_id === here;
      return entry.begins ? entry.begins.id === begins?.id : true; // what never had a session is shown anywhere
    });
  }

  /** The bearer token for the HTTP API; undefined before the first connection. */
  bearer() {
    return this.identity.token();
  }

  // --------------------------------------------------------------- session

  /**
   * Connect to the stored session, or to a new one.
   * @returns {Promise<import("./reducer.js").State>} once live @throws {CommandError} if refused
   */
  connect() {
    this.#become("connecting");
    const { promise } = this.#opening;
    const dial = () => this.connection === "connecting" && this.#link.dial();
    if (this.#info) this.#limits.learn().then(dial);
    else dial();
    return promise;
  }

  /**
   * Begin a new session.
   * @param {{model?: string, instructions?: string, temperature?: number, max_output_tokens?: number,
   *   reasoning_effort?: string}} [options]  for its whole life, as far as the server offers them
   * @returns {Promise<import("./reducer.js").State>} @throws {CommandError} if refused
   */
  create(options) {
    const another = this.connection === "live" || (this.connection === "connecting" && this.pending.length);
    const { begins } = another ? {} : this.#where.now; // what was said there goes along
    return this.#enter(beginning(options, begins?.id));
  }

  /**
   * Watch another session.
   * @param {string} session_id
   * @param {string} [share]  opens a session of another identity
   * @returns {Promise<import("./reducer.js").State>} @throws {CommandError} if refused
   */
  open(session_id, share) {
    return this.#enter({ session_id, share });
  }

  /** @param {import("./where.js").Place} place */
  async #enter(place) {
    if (this.connection !== "live") return this.#connectTo(place);
    const left = this.state.session_id ?? this.#left;
    const before = this.#where.now;
    this.#heading = place;
    const late = setTimeout(() => this.#heading === place && this.#show(place), SHOWN_MS);
    const answer = place.begins ? this.#begin(place.begins) : this.request("join", { ...place, ...this.#tools.offer });
    const caughtUp = this.#log.catchUp(answer, () => this.#go(place));
    caughtUp.catch(() => {}); // it rejects as `answer` does, or is awaited below
    try {
      await answer;
    } catch (error) {
      if (this.#heading !== place) return this.state; // another move is under way
      if (lost(error)) return this.#connectTo(place);
      this.#heading = null;
      if (this.#where.now === place) this.#connectTo(before).catch(() => {}); // it is no longer shown
      else this.#log.release();
      this.outbox.flush();
      throw error;
    } finally {
      clearTimeout(late);
    }
    await caughtUp.catch(() => this.connect()); // and go on from there
    const { session_id } = await answer;
    this.#leave(session_id === this.state.session_id ? left : session_id);
    return this.state;
  }

  #connectTo(place) {
    this.#go(place);
    return this.connect();
  }

  /** Begin a session. What was said for it can go then. @returns {Promise<object>} its `session` payload */
  async #begin({ id, options }) {
    this.#begun.add(id);
    try {
      const payload = await this.request("create", { options, ...this.#tools.offer });
      this.outbox.adopt(id, payload.session_id);
      return payload;
    } catch (error) {
      if (!lost(error)) this.outbox.refuse(id, error);
      throw error;
    } finally {
      this.#begun.delete(id);
    }
  }

  /** Begin the sessions that something was said for before we went elsewhere. */
  #beginOthers() {
    for (const begins of this.outbox.beginnings()) {
      if (this.#begun.has(begins.id)) continue;
      this.#begin(begins).then(({ session_id }) => this.#leave(session_id), () => {}); // the outbox has the error
    }
  }

  /** Leave a session, unless we are in it or on the way to it. */
  #leave(session_id) {
    if ([this.state.session_id, this.place.session_id].includes(session_id)) return;
    this.request("leave", { session_id }).catch(() => {}); // a lost socket has left anyway
  }

  /** Disconnect. `connect` comes back to the same session. */
  close() {
    this.#heading = null;
    this.#link.close();
    this.#become("offline");
  }

  /** Put the next older page, if there is one, in front. @param {number} [limit]  entries */
  async history(limit = 100) {
    const { next_before_seq, session_id } = this.state;
    if (!next_before_seq) return;
    const page = await this.request("history", { session_id, before_seq: next_before_seq, limit });
    if (this.state.session_id !== session_id || this.state.next_before_seq !== next_before_seq) return;
    this.#log.state = prepend(this.state, page);
    this.#changed();
  }

  /** Any command. @returns {Promise<object>} its ack @throws {CommandError} */
  async request(name, payload, timeout) {
    try {
      return await this.#link.request(name, payload, timeout);
    } catch (error) {
      if (error.code === "timeout") this.#probe();
      throw error;
    }
  }

  /** Is the connection only half open? A question whose answer does not come closes it. */
  #probe() {
    if (!this.#log.behind) this.#log.sync(offline() ? PROBE_OFFLINE_MS : PROBE_MS);
  }

  // ---------------------------------------------------------------- events

  /** Each connection begins with a `session` payload. */
  #greeted(payload) {
    this.notice = null;
    if (payload.error) return this.#notCaughtUp(payload.error);
    this.#link.answered();
    this.#log.catchUp(this.#first(payload)).catch((error) => this.#notCaughtUp(error));
  }

  /** A handshake begins a session without options: one with options takes its place. */
  #first(payload) {
    const { begins } = this.#where.now;
    if (!begins?.options) return payload;
    this.request("leave", { session_id: payload.session_id }).catch(() => {});
    return this.#begin(begins);
  }

  #received(name, payload) {
    if (name === "presence") this.#here.take(payload);
    else if (name === "progress") this.progress.set(payload.tool_call_id, payload);
    else if (name === "server") this.#notified(payload);
    else if (name === "sessions") for (const listener of this.#listeners) listener(payload);
    else if (typeof payload.seq === "number") return this.#log.take({ ...payload, event: name });
    this.#changed();
  }

  async #notified(notice) {
    this.notice = notice;
    if (notice.type !== "token_expiring" || !(await this.#link.renew())) return;
    this.notice = null;
    this.#changed();
  }

  #applied(event) {
    if (event.event === "user_message") this.outbox.heard(event);
    if (event.event === "tool_call") this.progress.delete(event.tool_call_id);
    for (const listener of this.#hearers) listener(event);
    this.#changed();
  }

  #loaded({ events, mode, model, access, you, pending_client_calls: calls = [] }) {
    for (const event of events) if (event.event === "user_message") this.outbox.heard(event);
    this.model = model ?? this.model;
    this.access = access ?? "owner";
    this.user_id = you ?? this.user_id;
    for (const call of calls) this.#tools.take(call); // those on an older page, too
    if (mode === "replay") for (const listener of this.#hearers) events.forEach((event) => listener(event));
    this.#changed();
  }

  #caughtUp() {
    const { begins, share } = this.#where.now;
    const { session_id } = this.state;
    if (begins) this.outbox.adopt(begins.id, session_id);
    this.#where.now = { session_id, share };
    this.#become("live");
    this.#opening.resolve(this.state);
    this.#opening = deferred();
    this.outbox.flush();
    this.#beginOthers();
  }

  /** A new connection begins anew, where that can help. */
  #notCaughtUp(error) {
    if (error.code === "offline") return; // it is on its way
    if (error.code === "timeout") return this.#link.dial();
    if (!error.retryable) return this.#fail(error);
    this.#link.dialLater(error.retry_after_ms);
    this.#become("connecting", error);
  }

  #lost() {
    this.#log.interrupt();
    if (this.connection === "live") this.#become("connecting");
  }

  /** Go to another session, which is not known yet. */
  #go(place) {
    this.#heading = null;
    this.#show(place);
  }

  #show(place) {
    this.#left = this.state.session_id ?? this.#left;
    this.#log.state = initial();
    this.#where.now = place;
    this.#changed();
  }

  #fail(error) {
    this.#link.answered(); // a refusal is an answer too
    this.#become("error", error);
    this.#opening.reject(new CommandError(error));
    this.#opening = deferred();
  }

  #become(connection, error) {
    this.connection = connection;
    this.error = error ? { ...error, message: error.message } : null;
    this.#changed();
  }

  #changed() {
    this.outbox.prune(this.state);
    for (const listener of this.#subscribers) listener(this);
  }
}
