/**
 * One assistant message as a pure fold: text at its offsets, and between stretches of it tool calls
 * and the messages that it took in.
 *
 * @typedef {{type: "text", offset: number, text: string}} TextPart
 *   A stretch of the answer; `offset` counts the UTF-16 units before it.
 * @typedef {{type: "tool_call", offset: number, call: ToolCall}} CallPart
 *   A tool call where it first appeared; `offset` is the text's length at that moment.
 * @typedef {{type: "message", offset: number, run_id: string,
 *   user: import("./reducer.js").UserMessage | null}} MessagePart
 *   What a user said meanwhile, where the answer took it in; null: it lies on an older page.
 * @typedef {{tool_call_id: string, name: string, status: string, arguments?: any, output?: any,
 *   output_ref?: string, error?: {code: string, message: string}, files?: import("./files.js").File[],
 *   approval?: {expires_at: number, asked_by?: string, decision?: "approve" | "deny",
 *   decided_by?: string, reason?: string, defaults?: Record<string, any>, editable?: boolean, edited_by?: string,
 *   asked_arguments?: any}, client?: {expires_at?: number, answered_by?: string},
 *   hosted?: boolean}} ToolCall
 * @typedef {{url?: string, title?: string, file_id?: string, start?: number, end?: number}} Source
 *   What the answer cites, and where in its text.
 * @typedef {{message_id: string, text_from: number, text: string, reasoning_from: number,
 *   reasoning: string, parts: (TextPart | CallPart | MessagePart)[], sources: Source[]}} Message
 *   `*_from`: how much of the beginning is not known, because it lies on an older page.
 */

/** @type {Message} */
export const emptyMessage = {
  message_id: "", text_from: 0, text: "", reasoning_from: 0, reasoning: "", parts: [], sources: [],
};

/** The message under the id that an event gives it, if any. */
export const named = (message, { message_id }) =>
  message_id && message_id !== message.message_id ? { ...message, message_id } : message;

/** Put text where its offset says. What is there already is not added again. */
export function grown(message, { kind, offset, delta }) {
  const known = message[kind];
  let from = message[`${kind}_from`];
  if (!known && offset > from) from = offset;
  const end = from + known.length;
  if (offset + delta.length <= end) return message;
  const fresh = delta.slice(Math.max(0, end - offset));
  const next = { ...message, [kind]: known + fresh, [`${kind}_from`]: from };
  return kind === "text" ? { ...next, parts: withText(message.parts, end, fresh) } : next;
}

function withText(parts, offset, text) {
  const last = parts.at(-1);
  return last?.type === "text"
    ? [...parts.slice(0, -1), { ...last, text: last.text + text }]
    : [...parts, { type: "text", offset, text }];
}

/** Put the newest state of a tool call in the place where it first appeared. */
export function placed(message, event) {
  const call = pick(event, [
    "tool_call_id", "name", "status", "arguments", "output", "output_ref", "error", "approval", "files",
    "client", "hosted",
  ]);
  const at = message.parts.findIndex((part) => part.call?.tool_call_id === call.tool_call_id);
  if (at >= 0) return { ...message, parts: message.parts.with(at, { ...message.parts[at], call }) };
  const offset = message.text_from + message.text.length;
  return { ...message, parts: [...message.parts, { type: "tool_call", offset, call }] };
}

/** Put a user's message behind what there is; one that is there gets its words where they lacked. */
export function tookIn(message, { run_id, user }) {
  const at = message.parts.findIndex((part) => part.type === "message" && part.run_id === run_id);
  const known = message.parts[at];
  if (known) return known.user || !user ? message : { ...message, parts: message.parts.with(at, { ...known, user }) };
  const offset = message.text_from + message.text.length;
  return { ...message, parts: [...message.parts, { type: "message", offset, run_id, user }] };
}

/** Add what the answer cites. @param {Source[]} sources */
export const cited = (message, sources) => ({ ...message, sources: [...message.sources, ...sources] });

const OPEN = ["streaming", "ready", "awaiting_approval", "awaiting_client", "running"];

/** Cut the text back to `offset`; calls behind it are void, and those that have not closed. */
export function cut(message, offset) {
  const parts = message.parts
    .filter((part) => (part.type === "text" ? part.offset < offset : part.offset <= offset && !OPEN.includes(part.call?.status)))
    .map((part) =>
      part.type === "text" && part.offset + part.text.length > offset
        ? { ...part, text: part.text.slice(0, offset - part.offset) }
        : part,
    );
  const text = message.text.slice(0, Math.max(0, offset - message.text_from));
  const sources = message.sources.filter(({ end = 0 }) => end <= offset);
  return { ...message, text, text_from: Math.min(message.text_from, offset), parts, sources };
}

/** Add what is still missing of the whole answer, which `done` repeats. */
export const completed = (message, { message_id, text }) =>
  grown(named(message, { message_id }), { kind: "text", offset: 0, delta: text });

/** The whole of a message whose beginning is on an older page. */
export function joinedMessages(older, newer) {
  const { message_id, text, text_from, reasoning, reasoning_from } = newer;
  const start = Math.max(text_from, older.text_from);
  const overlap = older.text.slice(start - older.text_from);
  const fits = !text || text.slice(start - text_from).startsWith(overlap);
  let message = fits ? older : cut(older, text_from); // the model began anew there
  for (const part of newer.parts) {
    message =
      part.type === "text"
        ? grown(message, { kind: "text", offset: part.offset, delta: part.text })
        : part.type === "message"
          ? tookIn(message, part)
          : placed(message, part.call);
  }
  message = grown(message, { kind: "reasoning", offset: reasoning_from, delta: reasoning });
  if (newer.sources.length) message = cited(message, newer.sources);
  return named(message, { message_id });
}

/** The named fields of an event, those that it has. @param {object} event @param {string[]} names */
export const pick = (event, names) =>
  Object.fromEntries(names.filter((name) => event[name] !== undefined).map((name) => [name, event[name]]));
