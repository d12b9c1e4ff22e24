/**
 * A device of the page's own make: client/session.js over stock socket.io-client.
 *
 *     node node.mjs '{"url": …, "token": …, "session_id": …}'
 *
 * It prints its tape as JSON lines: {seen: [name, payload]} for each event on the wire,
 * {state, connection} at each change of its cursor, {ack | error, id} for each command.
 * A line on its input is a command: {id, send: text, options} or {id, stop: run_id}.
 */
import { createInterface } from "node:readline";
import { io } from "socket.io-client";
import { SessionClient } from "../../client/session.js";

const { url, token, session_id } = JSON.parse(process.argv[2]);
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const items = new Map();
const storage = {
  getItem: (key) => items.get(key) ?? null,
  setItem: (key, value) => items.set(key, value),
};
if (session_id) storage.setItem("realtime.session", JSON.stringify({ session_id }));

const client = new SessionClient({
  url,
  token,
  storage,
  ackTimeout: 3000,
  options: { transports: ["websocket"], reconnectionDelay: 40, reconnectionDelayMax: 200 },
  io(...parts) {
    const socket = io(...parts);
    socket.onAny((name, payload) => print({ seen: [name, payload] }));
    return socket;
  },
});

const tookIn = ({ parts }) => {
  const messages = parts.filter(({ type }) => type === "message");
  return messages.length && { messages: messages.map(({ user, offset }) => ({ text: user?.text ?? null, offset })) };
};

const view = ({ runs, last_seq, session_id: id, epoch, next_before_seq }) => ({
  session_id: id,
  epoch,
  last_seq,
  next_before_seq,
  runs: runs.map(({ run_id, user, message, status }) => ({
    run_id,
    user_text: user?.text ?? null,
    text: message.text,
    reasoning: message.reasoning,
    tool_calls: message.parts
      .filter(({ type }) => type === "tool_call")
      .map(({ call }) => ({ tool_call_id: call.tool_call_id, status: call.status })),
    status,
    ...tookIn(message),
  })),
});

let told = "";
client.subscribe(({ state, connection }) => {
  const cursor = `${connection} ${state.epoch} ${state.last_seq}`;
  if (cursor === told) return;
  told = cursor;
  print({ connection, last_seq: state.last_seq, session_id: state.session_id });
});

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { id, send, stop, options } = JSON.parse(line);
    try {
      if (send !== undefined) print({ id, ack: await client.send(send, options) });
      else if (stop !== undefined) print({ id, ack: await client.stop(stop) });
      else {
        while (client.state.next_before_seq) await client.history(200);
        print({ id, ack: view(client.state) });
      }
    } catch (error) {
      print({ id, error: { code: error.code, message: error.message } });
    }
  })
  .on("close", () => process.exit(0));

await client.connect();
