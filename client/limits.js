/** How much the server takes at once. Whatever is larger closes the connection without a word. */

import { CommandError } from "./errors.js";

const AROUND = 32; // bytes of a frame around its command
const DEEPEST = 128; // levels of its JSON

export class Limits {
  /** Settles once the server has answered, or has not in time. @type {Promise<void>} */
  known = Promise.resolve();
  #most = {};
  #ask;
  #learnt;

  /**
   * @param {() => Promise<{limits?: {text_bytes: number, frame_bytes: number}}>} ask
   * @param {() => void} learnt  called after each question
   */
  constructor(ask, learnt) {
    this.#ask = ask;
    this.#learnt = learnt;
  }

  /** Ask the server, unless it is known. A server that does not say sets no limits here. */
  learn() {
    return (this.known = this.#learn());
  }

  async #learn() {
    if (!this.#most.text_bytes) {
      const { limits } = (await this.#ask().catch(() => null)) ?? {};
      this.#most = limits ?? {};
    }
    this.#learnt();
  }

  /** @returns {CommandError | undefined} why a command is too large to send, as far as is known */
  excess(name, payload) {
    const { text_bytes = Infinity, frame_bytes = Infinity } = this.#most;
    const text = name === "send" ? bytes(payload.text) : 0;
    const frame = bytes(JSON.stringify([name, payload])) + AROUND;
    if (text > text_bytes) return tooLarge(text, text_bytes);
    if (frame > frame_bytes) return tooLarge(frame, frame_bytes);
    if (!fits([name, payload], DEEPEST)) return tooDeep();
  }
}

const bytes = (text) => new TextEncoder().encode(text).length;

const fits = (value, levels) =>
  typeof value !== "object" || !value || (levels > 0 && Object.values(value).every((item) => fits(item, levels - 1)));

const tooDeep = () =>
  new CommandError({
    code: "too_large",
    message: `This is nested too deeply to send: at most ${DEEPEST} levels.`,
  });

const tooLarge = (size, most) =>
  new CommandError({
    code: "too_large",
    why: "too_long",
    size,
    most,
    message: `This is too long to send: ${size.toLocaleString("en")} bytes, at most ${most.toLocaleString("en")}.`,
  });
