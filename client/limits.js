/** How much the server takes at once. Whatever is larger closes the connection without a word. */

import { CommandError } from "./connection.js";

const AROUND = 32; // bytes of a frame around its command

export class Limits {
  #most = {};
  #ask;

  /** @param {() => Promise<{limits?: {text_bytes: number, frame_bytes: number}}>} ask */
  constructor(ask) {
    this.#ask = ask;
  }

  /** Ask the server, unless the limits are known. A server that names none sets none here. */
  async learn() {
    if (this.#most.text_bytes) return;
    const { limits } = (await this.#ask().catch(() => null)) ?? {};
    this.#most = limits ?? {};
  }

  /** @returns {CommandError | undefined} why a command is too large to send, as far as is known */
  excess(name, payload) {
    const { text_bytes = Infinity, frame_bytes = Infinity } = this.#most;
    const text = name === "send" ? bytes(payload.text) : 0;
    const frame = bytes(JSON.stringify([name, payload])) + AROUND;
    if (text > text_bytes) return tooLarge(text, text_bytes);
    if (frame > frame_bytes) return tooLarge(frame, frame_bytes);
  }
}

const bytes = (text) => new TextEncoder().encode(text).length;

const tooLarge = (size, most) =>
  new CommandError({
    code: "too_large",
    message: `This is too long to send: ${size.toLocaleString("en")} bytes, at most ${most.toLocaleString("en")}.`,
  });
