/**
 * A stand-in for the transport only: an `io` whose sockets reach a log in this process. It
 * can be cut, muted and made to lose events. The browser test covers the real Socket.IO.
 */

import { folded, merged, page } from "./histories.js";

const soon = () => new Promise((resolve) => setImmediate(resolve));

export class FakeServer {
  log = [];
  epoch = 1;
  sockets = new Set();
  handshakes = [];
  commands = [];
  pageSize = Infinity;
  largestFrame = Infinity; // a command that is longer breaks the connection
  away = false; // connections do not come about; the socket goes on trying
  deaf = false; // commands reach nobody
  refuse = null; // (name, payload) => error of the ack, or nothing
  refuseConnect = null; // error of the CONNECT
  held = {}; // name → what its answer waits for
  #created = 0;
  model = "demo";
  steered = Promise.resolve("consumed"); // what comes of messages that steer

  io = (settings) => new FakeSocket(this, settings);

  /** Append, and tell every socket that watches, unless `lost`. */
  append(event, { lost = false } = {}) {
    const entry = { session_id: "s", ...event, seq: this.log.length + 1 };
    this.log.push(entry);
    const { event: name, ...payload } = entry;
    if (!lost) for (const socket of this.sockets) if (socket.watching) socket.receive(name, payload);
    return entry;
  }

  /** The answer to a handshake or a join. */
  session({ session_id = "s", epoch, after_seq }) {
    const head = this.log.length;
    const base = { session_id, epoch: this.epoch, head, model: this.model };
    if (session_id !== "s") return page([], { ...base, mode: "live", seq: 0, head: 0 });
    if (epoch !== this.epoch || after_seq === undefined || after_seq > head) {
      return page(folded(this.log), { ...base, mode: "snapshot", seq: head });
    }
    const to = Math.min(head, after_seq + this.pageSize);
    const events = merged(this.log.slice(after_seq, to));
    return page(events, { ...base, mode: events.length ? "replay" : "live", seq: to });
  }

  answer(socket, name, payload) {
    const error = this.refuse?.(name, payload);
    if (error) return { ok: false, error };
    if (name === "join") {
      const answer = this.session(payload);
      socket.watching = answer.seq === answer.head;
      return { ok: true, ...answer };
    }
    if (name === "create") return { ok: true, ...this.session({ session_id: ["t", "t2", "t3"][this.#created++] }) };
    if (name === "share") return { ok: true, share: "let-me-in" };
    if (name === "history") return { ok: true, events: this.log.slice(0, payload.before_seq - 1), next_before_seq: null };
    if (name !== "send") return { ok: true };
    const { client_msg_id, text, session_id, if_busy } = payload;
    const known = this.log.find((entry) => entry.client_msg_id === client_msg_id);
    const entry = known ?? this.append({
      event: "user_message", run_id: `r-${client_msg_id}`, message_id: `q-${client_msg_id}`, client_msg_id, text, user_id: "u", session_id,
    });
    const ack = { ok: true, message_id: entry.message_id, run_id: entry.run_id, seq: entry.seq };
    if (if_busy === "steer" && !known) return this.steered.then((status) => ({ ...ack, status }));
    return { ...ack, status: known ? "duplicate" : "started" };
  }

  /** Every connection ends, as after a lost network or, by `reason`, by the server. */
  cut(reason = "transport close") {
    for (const socket of [...this.sockets]) socket.drop(reason);
  }
}

class FakeSocket {
  static count = 0;
  connected = false;
  active = false;
  watching = false;
  id = undefined;
  #listeners = {};
  #any = [];
  #pending = new Set();

  constructor(server, settings) {
    Object.assign(this, { server, settings });
  }

  on(name, listener) {
    this.#listeners[name] = listener;
  }

  onAny(listener) {
    this.#any.push(listener);
  }

  connect() {
    if (this.active) return; // as socket.io-client does while it waits for its back-off
    this.active = true;
    this.#open();
  }

  disconnect() {
    this.active = false;
    if (this.connected) this.drop("io client disconnect");
  }

  /** Back-off is over, or the first attempt. */
  #open() {
    this.settings.auth(async (given) => {
      const auth = JSON.parse(JSON.stringify(given));
      await soon();
      if (!this.active || this.connected) return;
      const { server } = this;
      if (server.away) {
        this.#listeners.connect_error(new Error("websocket error"));
        return soon().then(() => this.#open());
      }
      if (server.refuseConnect) {
        this.active = false;
        return this.#listeners.connect_error(server.refuseConnect);
      }
      server.handshakes.push(auth);
      this.connected = true;
      this.id = `sid-${++FakeSocket.count}`;
      server.sockets.add(this);
      this.#listeners.connect();
      if (server.deaf) return;
      const answer = server.session(auth);
      this.watching = answer.seq === answer.head && answer.session_id === "s";
      this.receive("session", server.welcome ?? { ...answer, guest_token: auth.token ?? "guest-1" });
    });
  }

  receive(name, payload) {
    const { id } = this;
    const copy = JSON.parse(JSON.stringify(payload));
    soon().then(() => this.id === id && this.#any.forEach((listener) => listener(name, copy)));
  }

  drop(reason) {
    this.connected = this.watching = false;
    this.id = undefined;
    this.server.sockets.delete(this);
    for (const reject of this.#pending) reject(new Error("socket has been disconnected"));
    this.#pending.clear();
    if (reason.startsWith("io ")) this.active = false;
    this.#listeners.disconnect(reason);
    if (this.active) soon().then(() => this.active && this.#open());
  }

  timeout(ms) {
    return {
      emitWithAck: (name, payload) =>
        new Promise((resolve, reject) => {
          const { id } = this;
          const timer = setTimeout(() => reject(new Error("operation has timed out")), ms);
          const fail = (error) => (clearTimeout(timer), reject(error));
          this.#pending.add(fail);
          const sent = JSON.parse(JSON.stringify(payload));
          soon().then(async () => {
            if (this.server.deaf || this.id !== id) return;
            if (JSON.stringify(sent).length > this.server.largestFrame) return this.drop("transport close");
            this.server.commands.push([name, sent]);
            await this.server.held[name];
            if (this.id !== id) return;
            const ack = await this.server.answer(this, name, sent);
            await soon();
            if (this.id !== id || this.server.swallowAcks) return;
            clearTimeout(timer);
            this.#pending.delete(fail);
            resolve(JSON.parse(JSON.stringify(ack)));
          });
        }),
    };
  }
}

/** `Storage`, as far as it is used. */
export class Store extends Map {
  getItem = (key) => this.get(key) ?? null;
  setItem = (key, value) => this.set(key, value);
  removeItem = (key) => this.delete(key);
}
