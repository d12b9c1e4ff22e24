/**
 * A Socket.IO connection that comes back: after losses that socket.io-client leaves to its
 * user, and at once when the page wakes up or the network returns.
 */

/** What the server refused, or what came in between: `offline`, `timeout` and `broken` are ours. */
export class CommandError extends Error {
  constructor({ message, retryable = false, ...details }) {
    super(message);
    Object.assign(this, { ...details, retryable });
  }

  toJSON() {
    return { code: this.code, message: this.message };
  }
}

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

const SLOW_MS = 4_000; // no connection by then means that something is wrong

export class Connection {
  #timer;
  #attempts = 0;
  #dialled = 0;
  #unwatch = () => {};

  /**
   * @param {object} parts
   * @param {typeof import("socket.io-client").io} parts.io
   * @param {string} [parts.url]
   * @param {object} parts.options  for socket.io-client
   * @param {() => Promise<object>} parts.auth  asked again before each connection
   * @param {Window} [parts.window]
   * @param {number} parts.ackTimeout  ms
   * @param {(name: string, payload: object) => void} parts.received
   * @param {() => void} parts.lost  what happens until `welcomed` belongs to no connection
   * @param {(error: object) => void} parts.refused  for good
   * @param {(error?: Error) => void} parts.failed  no connection came about so far: it is tried again
   * @param {() => void} parts.woken  the page came back and the socket looks connected
   */
  constructor({ io, url, options, auth, window, ...parts }) {
    Object.assign(this, parts);
    const settings = {
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      reconnectionDelay: 500,
      reconnectionDelayMax: 10_000,
      randomizationFactor: 0.5,
      timeout: 8_000,
      ...options,
      autoConnect: false,
      auth: (callback) => auth().then(callback, (error) => this.#unready(error)),
    };
    this.socket = url ? io(url, settings) : io(settings);
    this.#listen();
    if (window) this.#watch(window);
  }

  /** Connect at once: socket.io-client ignores connect() while it waits for its back-off. */
  dial() {
    clearTimeout(this.#timer);
    this.#dialled = Date.now();
    this.socket.disconnect();
    this.socket.connect();
    this.#timer = setTimeout(() => this.failed(), SLOW_MS);
  }

  /** @param {number} [delay]  ms; at least so long, and not all at the same moment */
  dialLater(delay = Math.min(500 * 2 ** this.#attempts++, 10_000)) {
    clearTimeout(this.#timer);
    this.socket.disconnect();
    this.#timer = setTimeout(() => this.dial(), delay * (1 + Math.random() / 2));
  }

  /** The server has answered for this connection. */
  welcomed() {
    clearTimeout(this.#timer);
    this.#attempts = 0;
  }

  close() {
    clearTimeout(this.#timer);
    this.#unwatch();
    this.socket.disconnect();
  }

  /** Any command. @returns {Promise<object>} its ack @throws {CommandError} */
  async request(name, payload, timeout = this.ackTimeout) {
    if (!this.socket.connected) throw offline();
    const { id } = this.socket;
    let ack;
    try {
      ack = await this.socket.timeout(timeout).emitWithAck(name, payload);
    } catch {
      throw this.socket.id === id ? timedOut() : offline(true);
    }
    if (ack?.ok) return ack;
    throw new CommandError(ack?.error ?? { code: "internal", message: "The answer was empty." });
  }

  /** There is no token yet: later, perhaps. */
  #unready(error) {
    this.failed(error);
    this.dialLater();
  }

  #listen() {
    const { socket } = this;
    socket.on("connect", () => {
      this.lost();
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.dial(), this.ackTimeout); // unless welcomed
    });
    socket.on("disconnect", (reason) => {
      this.lost();
      if (reason === "io server disconnect") this.dialLater(); // socket.io-client gives up here
    });
    socket.on("connect_error", (error) => {
      if (socket.active) return this.failed(); // the library tries again
      const { code = "unauthorized", message = error.message, ...rest } =
        error.data?.error ?? error.data ?? {};
      if (rest.retryable) this.dialLater(rest.retry_after_ms);
      else this.refused(new CommandError({ code, message, ...rest }));
    });
    socket.onAny((name, payload) => this.received(name, payload ?? {}));
  }

  #watch(window) {
    const wake = () => {
      if (window.document?.visibilityState === "hidden") return;
      if (this.socket.connected) this.woken();
      else if (this.socket.active && Date.now() - this.#dialled > 500) this.dial();
    };
    const sources = [[window.document, "visibilitychange"], [window, "pageshow"], [window, "online"]];
    for (const [target, name] of sources) target?.addEventListener(name, wake);
    this.#unwatch = () => {
      for (const [target, name] of sources) target?.removeEventListener(name, wake);
    };
  }
}
