/**
 * A Socket.IO connection that comes back as the same user: after losses that socket.io-client
 * leaves to its user, and at once when the page wakes up or the network goes or returns.
 */

import { CommandError } from "./errors.js";
import { places, whyNot } from "./reach.js";

const offline = (broke) =>
  new CommandError({
    code: "offline",
    message: "There is no connection at the moment.",
    retryable: true,
    broke, // while the command was on its way
  });
const timedOut = () =>
  new CommandError({
    code: "timeout",
    message: "The server did not answer in time.",
    retryable: true,
  });

const tokenless = () =>
  new CommandError({
    code: "no_token",
    message: "The function that gives the token has not answered.",
    retryable: true,
  });

const SLOW_MS = 4_000; // no connection by then means that something is wrong

export class Connection {
  #socket;
  #parts;
  #places;
  #timer;
  #attempts = 0;
  #dialled = 0;
  #explaining = false;
  #asking = false; // for a token
  #wake;
  #wakers; // what tells that the page is back, or the network

  /**
   * @param {object} parts
   * @param {typeof import("socket.io-client").io} parts.io
   * @param {string} [parts.url]
   * @param {object} [parts.options]  for socket.io-client
   * @param {Window} [parts.window]
   * @param {number} parts.ackTimeout  ms
   * @param {import("./identity.js").Identity} parts.identity
   * @param {import("./limits.js").Limits} parts.limits
   * @param {() => object} parts.cursor  what the handshake says beside the token
   * @param {(payload: object) => void} parts.greeted  the `session` payload of a new connection
   * @param {(name: string, payload: object) => void} parts.received  every other event
   * @param {() => void} parts.lost  what happens until `greeted` belongs to no connection
   * @param {(error: CommandError) => void} parts.refused  for good
   * @param {(error: {code?: string, message: string}) => void} parts.delayed  why no connection
   *   has come about yet; it is tried again
   * @param {() => void} parts.woken  the page came back and the socket looks connected
   */
  constructor({ io, url, options, window, ...parts }) {
    this.#parts = parts;
    this.#places = async () => places(url, options?.path);
    const settings = {
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      reconnectionDelay: 500,
      reconnectionDelayMax: 10_000,
      randomizationFactor: 0.5,
      timeout: 8_000,
      ...options,
      autoConnect: false,
      auth: (callback) => this.#handshake().then(callback, (error) => this.#unready(error)),
    };
    this.#socket = url ? io(url, settings) : io(settings);
    this.#listen();
    const { document } = window ?? {};
    this.#wakers = [[document, "visibilitychange"], [window, "pageshow"], [window, "online"], [window, "offline"]];
    this.#wake = () => document?.visibilityState === "hidden" || this.#woken();
  }

  /** Connect at once: socket.io-client ignores connect() while it waits for its back-off. */
  dial() {
    clearTimeout(this.#timer);
    for (const [target, name] of this.#wakers) target?.addEventListener(name, this.#wake);
    this.#dialled = Date.now();
    this.#socket.disconnect();
    this.#socket.connect();
    this.#timer = setTimeout(() => this.#explain(), SLOW_MS);
  }

  /** @param {number} [delay]  ms; at least so long, and not all at the same moment */
  dialLater(delay = Math.min(500 * 2 ** this.#attempts++, 10_000)) {
    clearTimeout(this.#timer);
    this.#socket.disconnect();
    this.#timer = setTimeout(() => this.dial(), delay * (1 + Math.random() / 2));
  }

  /** The server has answered on this connection. */
  answered() {
    clearTimeout(this.#timer);
    this.#attempts = 0;
  }

  close() {
    clearTimeout(this.#timer);
    for (const [target, name] of this.#wakers) target?.removeEventListener(name, this.#wake);
    this.#socket.disconnect();
  }

  /**
   * Any command. @returns {Promise<object>} its ack @throws {CommandError}
   * @param {number} [timeout]  ms
   */
  async request(name, payload, timeout = this.#parts.ackTimeout) {
    const socket = this.#socket;
    const excess = this.#parts.limits.excess(name, payload);
    if (excess) throw excess;
    if (!socket.connected) throw offline();
    const { id } = socket; // another one after each reconnect
    let ack;
    try {
      ack = await socket.timeout(timeout).emitWithAck(name, payload);
    } catch {
      throw socket.id === id ? timedOut() : offline(true);
    }
    if (ack?.ok) return ack;
    throw new CommandError(ack?.error ?? { code: "internal", message: "The server sent an empty answer." });
  }

  /**
   * Give the server a fresh token before the last one expires.
   * @returns {Promise<boolean>} whether there was one, and the server took it
   */
  async renew() {
    try {
      const token = await this.#parts.identity.renewed();
      if (token) await this.request("auth", { token });
      return Boolean(token);
    } catch {
      this.dialLater(); // a new connection asks for the token once more
      return false;
    }
  }

  async #handshake() {
    const { identity, limits, cursor } = this.#parts;
    limits.learn();
    const { name } = identity;
    this.#asking = true;
    const token = await identity.show().finally(() => (this.#asking = false));
    return { token, ...(name && { name }), ...cursor() };
  }

  /** There is no token yet: later, perhaps. */
  #unready(error) {
    this.#explain(error);
    this.dialLater();
  }

  /** The first event of each connection. */
  async #greet(payload) {
    const { id } = this.#socket;
    const accepted = await this.#parts.identity.accept(payload.guest_token);
    if (id !== this.#socket.id) return;
    if (accepted) this.#parts.greeted(payload);
    else this.dial();
  }

  #listen() {
    const socket = this.#socket;
    const { ackTimeout, lost, received, refused } = this.#parts;
    socket.on("connect", () => {
      lost();
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.dial(), ackTimeout); // unless answered
    });
    socket.on("disconnect", (reason) => {
      lost();
      if (reason === "io server disconnect") this.dialLater(); // socket.io-client gives up here
    });
    socket.on("connect_error", (error) => {
      if (socket.active) return this.#explain(); // it tries again by itself
      const { code = "unauthorized", message = error.message, ...rest } =
        error.data?.error ?? error.data ?? {};
      if (rest.retryable) this.dialLater(rest.retry_after_ms);
      else refused(new CommandError({ code, message, ...rest }));
    });
    socket.onAny((name, payload) => {
      if (name === "session") this.#greet(payload ?? {});
      else received(name, payload ?? {});
    });
  }

  /** No connection has come about. Say why; without an `error` the server is asked by HTTP. */
  async #explain(error) {
    if (this.#explaining) return;
    this.#explaining = true;
    const why = error ?? (this.#asking ? tokenless() : await this.#places().then(whyNot, () => null));
    this.#explaining = false;
    if (why) this.#parts.delayed(why);
  }

  #woken() {
    if (this.#socket.connected) this.#parts.woken();
    else if (this.#socket.active && Date.now() - this.#dialled > 500) this.dial();
  }
}
